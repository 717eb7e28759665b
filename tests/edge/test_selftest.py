from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.edge.__main__ import main
from ocrhpi.edge.selftest import describe, verify_bundle
from ocrhpi.errors import BundleError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def disagreeing(folder_bundle: Path, change_manifest: Callable[..., Path]) -> Path:
    """A bundle whose second line is expected to read something else; its hashes are right."""
    path = folder_bundle / "calibration" / "lines.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    content["lines"][1]["expected"] = "something else"
    path.write_text(json.dumps(content), "utf-8")
    data = path.read_bytes()
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return change_manifest(lambda manifest: manifest["files"].update({"calibration/lines.json": entry}))


def test_a_good_bundle(made_zip: Path) -> None:
    found = verify_bundle(made_zip, threads=1, rounds=2)
    assert found.passed
    assert (found.lines, found.target, found.precision, found.model) == (4, "onnxruntime-cpu", "fp32", "tiny_rec")
    assert found.largest_shift < 1e-6
    assert found.files > 10
    assert found.speed is not None
    assert found.speed.lines_per_s > 0
    assert found.speed.line_ms > 0
    assert found.open_s > 0
    report = "\n".join(describe(found))
    assert "4 of 4 lines read as where the bundle was made" in report
    assert found.seal in report
    assert found.seal == hashlib.sha256(_manifest(made_zip)).hexdigest()


def _manifest(path: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read("manifest.json")


def test_a_line_that_reads_otherwise(disagreeing: Path) -> None:
    found = verify_bundle(disagreeing, rounds=0)
    assert not found.passed
    (change,) = found.changes
    assert (change.file, change.expected) == ("calibration/001.png", "something else")
    assert f"calibration/001.png: {change.received!r}, expected 'something else'" in "\n".join(describe(found))


def test_rounds_and_seal_are_checked(made_zip: Path) -> None:
    with pytest.raises(OptionError, match="rounds"):
        verify_bundle(made_zip, rounds=-1)
    with pytest.raises(BundleError, match="its SHA-256 is"):
        verify_bundle(made_zip, sha256="0" * 64)


def test_the_command_line_verifies(made_zip: Path, disagreeing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(made_zip), "--verify", "--threads", "1"]) == 0
    assert "lines/s" in capsys.readouterr().out
    assert main([str(made_zip), "--verify", "--rounds", "0"]) == 0
    assert "lines/s" not in capsys.readouterr().out
    assert main([str(disagreeing), "--verify", "--rounds", "1"]) == 1
    assert "something else" in capsys.readouterr().out


def test_the_command_line_reads(made_zip: Path, lines_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in sorted(lines_dir.glob("*.png"))[:2]]
    assert main([str(made_zip), *files]) == 0
    texts = capsys.readouterr().out.splitlines()
    assert len(texts) == 2
    assert main([str(made_zip), "--json", *files]) == 0
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [row["rec_text"] for row in rows] == texts
    assert [row["input_path"] for row in rows] == files


def test_the_command_line_goes_on_after_an_image_that_cannot_be_read(
    made_zip: Path, lines_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(min(lines_dir.glob("*.png")))
    assert main([str(made_zip), str(tmp_path / "none.png"), good]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "none.png: no such file" in captured.err
    assert len(captured.out.splitlines()) == 1


def test_the_command_line_wants_images_or_verify(made_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, problem in (([], "expected an image"), (["--verify", "line.png"], "takes no images")):
        with pytest.raises(SystemExit):
            main([str(made_zip), *arguments])
        assert problem in capsys.readouterr().err


def test_the_command_line_refuses_what_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.zip"), "line.png"]) == 1
    assert "not found" in capsys.readouterr().err


def test_the_command_line_writes_json_in_every_encoding(
    made_zip: Path, lines_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "é模型.png"
    image.write_bytes(min(lines_dir.glob("*.png")).read_bytes())
    for encoding in ("ascii", "latin-1"):
        content = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
        assert main([str(made_zip), "--json", str(image)]) == 0
        assert json.loads(content.getvalue().decode(encoding))["input_path"] == str(image)


def test_the_command_line_ends_quietly_when_its_pipe_is_closed(made_zip: Path, lines_dir: Path) -> None:
    files = [str(min(lines_dir.glob("*.png")))] * 50
    command = [sys.executable, "-m", "ocrhpi.edge", str(made_zip), "--json", *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"rec_text" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1
