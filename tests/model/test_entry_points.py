"""Models as people have them, through the commands: what one entry point takes and reads, the others take and read."""

from __future__ import annotations

import json
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from ocrhpi.edge import open_bundle
from tests.batch.lines import json_rows
from tests.cli.test_cli import run
from tests.conftest import needs_paddle2onnx
from tests.oracle import LETTERS, draw, labels_of, write_onnx
from tests.serving.fakes import WAIT_S, encoded, needs_serve
from tests.serving.running import Client, until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ocrhpi.serving.server import Server

TEXTS = ("abcj", "j", "fedcbabcdefghij", "ihg")
AS_WIDE = ("abcdefghijabcdef", "jihgfedcbabababa", "abababababababab")  # as 256 pixels
NARROW = ("abc", "j", "fedcbaj")  # some of less than 100 pixels


@dataclass(frozen=True)
class Given:
    """A model and lines, as commands take them.

    Attributes:
        model: The folder or file.
        facts: What its files do not say, as options.
        lines: Folder of the images, which are called as what is drawn on them.
        texts: What is drawn, in the order of their names.
        name: What it is called.
        one_width: Whether it has no width-masked form.
    """

    model: Path
    facts: tuple[object, ...]
    lines: Path
    texts: tuple[str, ...]
    name: str
    one_width: bool = False


@pytest.fixture(scope="session")
def unnamed_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of no name, in a folder that is called by a number."""
    file = tmp_path_factory.mktemp("models") / "2024" / "inference.onnx"
    return write_onnx(file, LETTERS, name=None, config=True).parent


@pytest.fixture(scope="session")
def givens(
    spaceless_dir: Path,
    old_dir: Path,
    bare_file: Path,
    stretching_dir: Path,
    one_by_one_dir: Path,
    grey_dir: Path,
    unnamed_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Given]:
    folder = tmp_path_factory.mktemp("lines")
    usual = write_lines(folder / "48", TEXTS), tuple(sorted(TEXTS))
    spaceless = write_lines(folder / "spaceless", TEXTS, space=False), usual[1]
    wide = write_lines(folder / "64", AS_WIDE, height=64), tuple(sorted(AS_WIDE))
    grey = write_lines(folder / "32", NARROW, height=32), tuple(sorted(NARROW))
    old = ("--character_dict_path", old_dir / "en_dict.txt", "--use_space_char", "--rec-image-shape", "3, 48, 320")
    bare = ("--character-dict-path", bare_file.parent / "keys.txt")
    return {
        "without a space": Given(spaceless_dir, (), *spaceless, "my_rec"),
        "of PaddleOCR 2": Given(old_dir, old, *usual, "en_rec_infer"),
        "a bare file": Given(bare_file, bare, *usual, "rec"),
        "one width": Given(stretching_dir, (), *wide, "my_rec", one_width=True),
        "one line at a time": Given(one_by_one_dir, (), *usual, "my_rec"),
        "grey": Given(grey_dir, (), *grey, "my_rec"),
        "without a name": Given(unnamed_dir, (), *usual, "2024"),
    }


CONVERTED = ("without a space", "of PaddleOCR 2")
KINDS = (
    *(pytest.param(name, marks=needs_paddle2onnx) for name in CONVERTED),
    *("a bare file", "one width", "one line at a time", "grey", "without a name"),
)


@pytest.fixture(params=KINDS)
def given(request: pytest.FixtureRequest, givens: dict[str, Given]) -> Given:
    return givens[request.param]


def write_lines(folder: Path, texts: tuple[str, ...], *, height: int = 48, space: bool = True) -> Path:
    folder.mkdir()
    for text in texts:
        (folder / f"{text}.png").write_bytes(png(text, height, space=space))
    return folder


def png(text: str, height: int, *, space: bool = True) -> bytes:
    done, data = cv2.imencode(".png", draw(text, labels_of(LETTERS, space=space), height))
    assert done
    return bytes(data)


def texts_of(model: Path, lines: Path, *options: object) -> tuple[str, ...]:
    """Return what ``ocrhpi text_recognition`` reads in a folder."""
    result = run("text_recognition", "-i", lines, "--model_dir", model, "--device", "cpu", "--json", *options)
    assert result.exit_code == 0, result.output
    return tuple(json.loads(row)["rec_text"] for row in result.stdout.splitlines())


def test_text_recognition(given: Given) -> None:
    for options in ((), ("--batch_size", 3), ("--engine", "openvino")):
        assert texts_of(given.model, given.lines, *given.facts, *options) == given.texts


@pytest.mark.parametrize(
    "form", [(), ("--masked",), ("--head", "argmax", "--pixels")], ids=["plain", "masked", "pixels"]
)
def test_export_and_what_was_exported(given: Given, form: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "export"
    result = run("export", given.model, *given.facts, "-o", folder, *form)
    if given.one_width and "--masked" in form:
        assert result.exit_code == 1
        assert "it takes lines of 256 pixels only" in result.stderr
        assert result.stderr.count("\n") == 1
        return
    assert result.exit_code == 0, result.output
    bare = Path(shutil.copy(folder / "inference.onnx", tmp_path / "bare.onnx"))
    for model in (folder, bare):
        for options in ((), ("--batch_size", 4, "--engine", "openvino")):
            assert texts_of(model, given.lines, *options) == given.texts
    again = run("export", bare, "-o", tmp_path / "again")  # of itself
    if not form:
        assert again.exit_code == 0, again.output
        assert texts_of(tmp_path / "again", given.lines) == given.texts


def test_eval(given: Given, tmp_path: Path) -> None:
    labels = tmp_path / "rec_gt.txt"
    labels.write_text("".join(f"{text}.png\t{text}\n" for text in given.texts), "utf-8")
    options = ("--labels", labels, "--data", given.lines, "--device", "cpu", "--json")
    engines = ("--backend", "onnxruntime", "--backend", "openvino")
    for chosen in ((), engines):
        result = run("eval", given.model, *given.facts, *options, *chosen)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["model"] == given.name
        assert {row["correct"] for row in found["backends"]} == {len(given.texts)}


@pytest.mark.parametrize("batching", ["exact", "masked"])
def test_bundle_and_what_is_in_it(given: Given, batching: str, tmp_path: Path) -> None:
    output = tmp_path / "rec.zip"
    options = ("--target", "onnxruntime-cpu", "--lines", 2, "--batching", batching, "-o", output)
    result = run("bundle", given.model, *given.facts, *options)
    assert result.exit_code == 0, result.output
    assert "2 of 2 lines" in result.stdout
    with open_bundle(output, threads=1) as reader:
        for batch_size in (1, 3):
            lines = reader.read(sorted(given.lines.iterdir()), batch_size=batch_size)
            assert tuple(line.text for line in lines) == given.texts


def test_batch(given: Given, tmp_path: Path) -> None:
    options = ("--use_hpip", "false", "--workers", 1, "--device", "cpu", "--batch_size", 3)
    result = run("batch", given.lines, "-o", tmp_path / "out", "--model", given.model, *given.facts, *options)
    assert result.exit_code == 0, result.output
    rows = {row["path"]: row["rec_text"] for row in json_rows(tmp_path / "out")}
    assert rows == {f"{text}.png": text for text in given.texts}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], list[str]]:
    """Let ``ocrhpi serve`` answer one request and stop; return what is called first, and gets the texts then."""
    texts: list[str] = []
    body: dict[str, Any] = {}

    def answer_once(server: Server, listener: socket.socket) -> None:
        from ocrhpi.serving.server import url_of

        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            until(lambda: server.started)
            texts.extend(Client(url_of(listener)).texts(body))
        finally:
            server.should_exit = True
            thread.join(WAIT_S)

    def ask(request: dict[str, Any]) -> list[str]:
        body.update(request)
        return texts

    monkeypatch.setattr("ocrhpi.serving.server.run", answer_once)
    return ask


@needs_serve
def test_serve(given: Given, asked: Callable[[dict[str, Any]], list[str]]) -> None:
    texts = asked({"files": [encoded((given.lines / f"{text}.png").read_bytes()) for text in given.texts]})
    options = ("--use_hpip", "false", "--device", "cpu", "--port", 0)
    result = run("serve", given.model, *given.facts, *options)
    assert result.exit_code == 0, result.output
    assert re.search(rf"reads with {given.name} \(", result.stdout)
    assert tuple(texts) == given.texts


@pytest.mark.parametrize("name", ["one width", "one line at a time", "grey"])
def test_tune_and_what_was_found(name: str, givens: dict[str, Given], tmp_path: Path) -> None:
    given = givens[name]
    file = tmp_path / "tuned.yml"
    options = ("--budget", 2, "--device", "cpu", "--backend", "onnxruntime", "--calibration_dir", given.lines)
    result = run("tune", given.model, *given.facts, *options, "--json", "-o", file)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["model"]["name"] == given.name
    check_rows(found["rows"])
    assert texts_of(given.model, given.lines, *given.facts, "--use_hpip", "--hpi_config", file) == given.texts


@needs_paddle2onnx
def test_a_quick_look_at_first_use(givens: dict[str, Given], tmp_path: Path) -> None:
    given = givens["of PaddleOCR 2"]
    config = tmp_path / "config.yml"
    asked = {"backend": "onnxruntime", "tune": "quick", "calibration_dir": str(given.lines), "cache_dir": "cache"}
    config.write_text(json.dumps(asked), "utf-8")
    for _ in range(2):
        assert texts_of(given.model, given.lines, *given.facts, "--use_hpip", "--hpi_config", config) == given.texts
    (kept,) = (tmp_path / "cache" / "hpi").glob("*.yml")
    explained = json.loads(run("explain", kept, "--json").stdout)
    assert {row["effective"]["backend"] for row in explained["rows"] if row["effective"]} == {"paddle", "onnxruntime"}
    check_rows(explained["rows"])


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Check that nothing failed, and that whatever is to read the same text does."""
    assert {row["outcome"] for row in rows} <= {"measured", "skipped"}
    gated = [row for row in rows if row["gate"] and row["candidate"]["batching"] in {"exact", "masked", "split"}]
    assert {row["gate"]["changed"] for row in gated} == {0}
