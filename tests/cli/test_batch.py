"""``ocrhpi batch``: from files to files, stopped and killed in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from ocrhpi.cli import batch as module
from tests.batch.lines import json_rows, name_of, needs_arrow, png, write_lines, write_model
from tests.batch.plugins import install_plugins
from tests.cli.test_cli import run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from ocrhpi.cli import main; main()", "batch"]
WAIT_S = 60.0


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """Reads with a backend that takes 10 ms a line, without an engine."""
    install_plugins(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"auto_config": False, "backend": "slow"}), "utf-8")
    model = write_model(tmp_path / "model")
    options = ("--model", model, "--hpi-config", config, "--workers", 1, "--batch-size", 1, "--rows_per_part", 10)
    return ("-o", tmp_path / "out", *options)


def check(folder: Path, written: dict[str, str]) -> None:
    """All rows are there, once, and say what is in the picture."""
    rows = json_rows(folder)
    assert len(rows) == len(written)
    assert {row["rec_id"]: row["rec_text"] for row in rows} == written
    assert not list(folder.glob(".*.tmp"))


def part_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def test_a_folder_to_json_lines(arguments: tuple[object, ...], tmp_path: Path) -> None:
    written = write_lines(tmp_path / "in", range(25))
    (tmp_path / "in" / "bad.png").write_text("no image", "utf-8")
    result = run("batch", tmp_path / "in", *arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1] == f"26 rows in {tmp_path / 'out'}; 1 of those read now could not be read"
    *_, bad = sorted(json_rows(tmp_path / "out"), key=lambda row: row["rec_id"])
    assert bad["error"].startswith(f"{tmp_path / 'in' / 'bad.png'}: is not an image")
    check(tmp_path / "out", {**written, "bad.png": ""})

    before = part_times(tmp_path / "out")
    added = write_lines(tmp_path / "in", [100])
    assert run("batch", tmp_path / "in", *arguments).exit_code == 0
    after = part_times(tmp_path / "out")
    assert before.items() < after.items()
    check(tmp_path / "out", {**written, **added, "bad.png": ""})

    (tmp_path / "out" / "part-00001.jsonl").unlink()
    assert run("batch", tmp_path / "in", *arguments).exit_code == 0
    check(tmp_path / "out", {**written, **added, "bad.png": ""})


def test_nothing_to_do_starts_nothing(
    arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "in", range(3))
    assert run("batch", tmp_path / "in", *arguments).exit_code == 0
    monkeypatch.setattr(module, "_pool", lambda *_: pytest.fail("nothing is missing"))
    result = run("batch", tmp_path / "in", *arguments)
    assert (result.exit_code, result.stderr) == (0, f"3 rows in {tmp_path / 'out'}\n")


@needs_arrow
def test_parquet_to_parquet_keeps_columns(arguments: tuple[object, ...], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [png(name_of(number)) for number in range(12)]
    pq.write_table(pa.table({"image": [*images, None], "page": range(13)}), tmp_path / "lines.parquet")
    result = run("batch", tmp_path / "lines.parquet", *arguments)
    assert result.exit_code == 0, result.output
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert [row["page"] for row in rows] == list(range(13))
    assert [row["rec_text"] for row in rows] == [*map(name_of, range(12)), ""]
    assert [row["rec_id"] for row in rows][:2] == ["lines.parquet#0", "lines.parquet#1"]
    assert [row["error"] for row in rows][11:] == [None, "is empty (null)"]


def test_a_label_file_gives_its_labels_along(arguments: tuple[object, ...], tmp_path: Path) -> None:
    written = write_lines(tmp_path / "in", range(3))
    (tmp_path / "rec_gt.txt").write_text("".join(f"{path}\t{text}\n" for path, text in written.items()), "utf-8")
    result = run("batch", tmp_path / "rec_gt.txt", "--data", tmp_path / "in", *arguments)
    assert result.exit_code == 0, result.output
    rows = json_rows(tmp_path / "out")
    assert {row["path"]: row["label"] for row in rows} == written
    assert all(row["rec_text"] == row["label"] for row in rows)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let processes that are started take SIGINT; in the background of a shell they inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_run_that_was_ended_goes_on(arguments: tuple[object, ...], tmp_path: Path, name: str) -> None:
    written = write_lines(tmp_path / "in", range(160))  # in 16 parts, of which two are in work when it ends
    command = [*COMMAND, str(tmp_path / "in"), *map(str, arguments)]
    for _ in range(2):
        done = len(part_times(tmp_path / "out"))
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + WAIT_S
        while process.poll() is None and len(part_times(tmp_path / "out")) < done + 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(getattr(signal, name))
        said = process.communicate(timeout=WAIT_S)[1]
        if name == "SIGINT":
            assert process.returncode == 130
            assert "parts are missing, and the same command goes on with them" in said
            assert "Traceback" not in said
    kept = part_times(tmp_path / "out")
    assert 4 <= len(kept) < 16
    result = run("batch", tmp_path / "in", *arguments)
    assert result.exit_code == 0, result.output
    assert kept.items() <= part_times(tmp_path / "out").items()
    check(tmp_path / "out", written)


def test_what_does_not_fit_is_refused(arguments: tuple[object, ...], tmp_path: Path) -> None:
    write_lines(tmp_path / "in", range(3))
    result = run("batch", tmp_path / "in", *arguments, "--address", "auto")
    assert result.exit_code == 1
    assert "--engine ray" in result.stderr
    assert run("batch", tmp_path / "none", *arguments).exit_code == 2
    assert run("batch", tmp_path / "in", *arguments).exit_code == 0
    other = write_model(tmp_path / "model 2")
    shutil.copy(tmp_path / "config.yml", other / "inference.onnx")
    result = run("batch", tmp_path / "in", *arguments, "--model", other)
    assert result.exit_code == 1
    assert "holds results of another batch (fingerprint:" in result.stderr


def test_a_worker_that_fails_ends_it_with_its_reason(arguments: tuple[object, ...], tmp_path: Path) -> None:
    write_lines(tmp_path / "in", range(3))
    config = tmp_path / "config.yml"
    config.write_text(json.dumps({"auto_config": False, "backend": "slow", "backend_config": {"x": 1}}), "utf-8")
    result = run("batch", tmp_path / "in", *arguments)
    assert result.exit_code == 1
    assert "option 'x': unknown" in result.stderr


def test_a_disk_that_is_full_is_told(
    arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_lines(tmp_path / "in", range(3))
    monkeypatch.setattr("os.fsync", full)
    result = run("batch", tmp_path / "in", *arguments)
    assert result.exit_code == 1
    assert re.search(r"out/\S+ could not be written: No space left on device", result.stderr)
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_it_is_listed() -> None:
    assert "  batch " in run("--help").stdout
    assert "only what is missing" in run("batch", "--help").stdout
