"""``use_hpip=True`` from the door to the file: the same text, one tuning, and what happens when things change."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ocrhpi.errors import OptionError
from ocrhpi.text_recognition import TextRecognition
from ocrhpi.tuning.cache import read_tuning

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
ENTRIES = {"openvino": [{"batch_size": 4}], "onnxruntime": [{"batch_size": 4}], "paddle": []}


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One candidate for each engine, so that a tuning takes seconds."""
    folder = tmp_path_factory.mktemp("grids")
    for backend, entries in ENTRIES.items():
        (folder / f"{backend}.yaml").write_text(yaml.safe_dump({"cpu": entries}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def tuned_cache(tiny_dir: Path, grids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the tiny model is tuned."""
    cache = tmp_path_factory.mktemp("cache")
    with TextRecognition(model_dir=tiny_dir, device="cpu", use_hpip=True, hpi_config=config(cache, grids)):
        pass
    return cache


@pytest.fixture
def cache(tuned_cache: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(tuned_cache, tmp_path / "cache"))


def config(cache: Path, grids: Path, **more: Any) -> dict[str, Any]:
    return {"cache_dir": str(cache), "backend_configs": str(grids), "budget_s": 40, **more}


def files(cache: Path) -> list[Path]:
    return sorted((cache / "hpi").glob("*.yml"))


def texts(recognition: TextRecognition, lines_dir: Path) -> list[str]:
    return [result["rec_text"] for result in recognition.predict(lines_dir)]


def messages(caplog: pytest.LogCaptureFixture, least: int = logging.NOTSET) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= least]


def test_it_reads_what_normal_mode_reads_and_keeps_the_evidence(
    cache: Path, grids: Path, tiny_dir: Path, lines_dir: Path
) -> None:
    (file,) = files(cache)
    tuning = read_tuning(file)
    assert {row.candidate.backend for row in tuning.rows if hasattr(row.candidate, "backend")} >= set(ENTRIES)
    assert sum(row.baseline for row in tuning.rows) == 1
    with TextRecognition(model_dir=tiny_dir, device="cpu") as normal:
        expected = texts(normal, lines_dir)
    assert len(set(expected)) > 10
    before = file.read_bytes()
    for spelling in ("use_hpip", "enable_hpi"):
        given: dict[str, Any] = {spelling: True, "hpi_config": config(cache, grids)}
        with TextRecognition(model_dir=tiny_dir, device="cpu", **given) as recognition:
            assert recognition.effective.backend == tuning.setups[0].name.split(",")[0]
            assert texts(recognition, lines_dir) == expected
    assert file.read_bytes() == before, "a hit measures nothing"


def test_what_changed_is_named_and_measured_anew(
    cache: Path, tiny_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grid = tmp_path / "grids" / "openvino.yaml"
    grid.parent.mkdir()
    given = config(cache, grid.parent, backend="openvino")
    tunings = []
    for batch_size in (2, 3):
        grid.write_text(f"cpu:\n  - {{batch_size: {batch_size}}}\n", "utf-8")
        before = set(files(cache))
        with TextRecognition(model_dir=tiny_dir, device="cpu", use_hpip=True, hpi_config=given):
            pass
        tunings.append(read_tuning(max(files(cache), key=lambda file: file.stat().st_mtime)))
    assert set(files(cache)) == before, "the same question has one file"
    assert messages(caplog, logging.WARNING) == ["measuring anew: grid: the options that are tried changed"]
    for batch_size, tuning in zip((2, 3), tunings, strict=True):
        tried = {row.candidate.name for row in tuning.rows}
        assert tried >= {"paddle, exact, batch 1", f"openvino, exact, batch {batch_size}"}


def test_without_a_budget_a_quick_look_does_until_a_thorough_one_is_asked_for(
    tiny_dir: Path, grids: Path, lines_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    thorough = config(cache, grids, budget_s=5)
    quick = {key: value for key, value in thorough.items() if key != "budget_s"}
    expected: list[str] = []
    for given, is_quick, measures in ((quick, True, True), (thorough, False, True), (quick, False, False)):
        caplog.clear()
        with (
            caplog.at_level("INFO", "ocrhpi"),
            TextRecognition(model_dir=tiny_dir, device="cpu", use_hpip=True, hpi_config=given) as recognition,
        ):
            read = texts(recognition, lines_dir)
        expected = expected or read
        assert read == expected
        (file,) = files(cache)
        assert read_tuning(file).quick is is_quick
        said = messages(caplog)
        assert any(text.startswith("measuring") for text in said) is measures
        assert any("after a quick look" in text for text in said) is is_quick


def test_tune_never_runs_in_normal_mode_and_says_why(
    cache: Path, grids: Path, tiny_dir: Path, lines_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = files(cache)
    content = file.read_text("utf-8").replace("usable_cores: ", "usable_cores: 9")
    file.write_text(content, "utf-8")
    given = config(cache, grids, tune="never")
    with TextRecognition(model_dir=tiny_dir, device="cpu", use_hpip=True, hpi_config=given) as recognition:
        assert recognition.effective.backend == "paddle"
        assert len(texts(recognition, lines_dir)) == 61
    (warning,) = [text for text in messages(caplog) if "tune is 'never'" in text]
    assert "machine.usable_cores: 9" in warning


def test_a_damaged_file_is_a_reason_and_no_error(
    cache: Path, grids: Path, tiny_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = files(cache)
    file.write_bytes(file.read_bytes()[:300])
    given = config(cache, grids, tune="never")
    with TextRecognition(model_dir=tiny_dir, device="cpu", use_hpip=True, hpi_config=given):
        pass
    assert any(file.name in text and "tune is 'never'" in text for text in messages(caplog))


def test_a_shipped_file_runs_without_measuring_and_falls_back_where_its_winner_is_missing(
    cache: Path, tiny_dir: Path, lines_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = files(cache)
    shipped = tmp_path / "shipped.yml"
    content = yaml.safe_load(file.read_text("utf-8"))
    missing, winner = "engine_of_another_machine", content["choice"]["winner"]
    content["rows"][winner]["candidate"]["backend"] = missing
    content["choice"]["order"] = [winner, *(number for number in content["choice"]["order"] if number != winner)]
    if len(content["choice"]["order"]) == 1:  # normal mode won and nothing else ran: let it be there twice
        content["rows"].append({**content["rows"][winner], "baseline": False, "candidate": {"backend": "paddle"}})
        content["choice"]["order"].append(len(content["rows"]) - 1)
        content["choice"]["ratios"].append(None)
    shipped.write_text(yaml.safe_dump(content), "utf-8")
    with TextRecognition(model_dir=tiny_dir, device="cpu", use_hpip=True, hpi_config=shipped) as recognition:
        assert len(texts(recognition, lines_dir)) == 61
    (warning,) = [text for text in messages(caplog) if "could not be loaded" in text]
    assert missing in warning


def test_a_shipped_file_of_another_model_is_refused(cache: Path, tiny_both_dir: Path) -> None:
    (file,) = files(cache)
    with pytest.raises(OptionError, match="other weights or another vocabulary"):
        TextRecognition(model_dir=tiny_both_dir, device="cpu", use_hpip=True, hpi_config=file)


def test_a_forced_backend_is_not_measured(tiny_both_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    forced = {
        "auto_config": False,
        "backend": "onnxruntime",
        "backend_config": {"cpu_num_threads": 1},
        "cache_dir": str(tmp_path),
    }
    with TextRecognition(model_dir=tiny_both_dir, device="cpu", use_hpip=True, hpi_config=forced) as recognition:
        assert (recognition.effective.backend, recognition.effective.threads) == ("onnxruntime", 1)
        assert len(texts(recognition, lines_dir)) == 61
    assert not (tmp_path / "hpi").exists()


def test_options_that_contradict_each_other(tiny_dir: Path, cache: Path) -> None:
    with pytest.raises(OptionError, match="use_hpip=True, which chooses the engine"):
        TextRecognition(model_dir=tiny_dir, use_hpip=True, engine="openvino")
    with pytest.raises(OptionError, match="without use_hpip=True"):
        TextRecognition(model_dir=tiny_dir, hpi_config={"cache_dir": str(cache)})
    with pytest.raises(OptionError, match="Did you mean 'backend'"):
        TextRecognition(model_dir=tiny_dir, use_hpip=True, hpi_config={"backends": "openvino"})


PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from ocrhpi import TextRecognition
config = {"cache_dir": sys.argv[2], "backend_configs": sys.argv[3], "budget_s": 40}
with TextRecognition(model_dir=sys.argv[1], device="cpu", use_hpip=True, hpi_config=config) as recognition:
    print(len(recognition.predict(sys.argv[4])))
"""


def start(tiny_dir: Path, cache: Path, grids: Path, lines_dir: Path) -> subprocess.Popen[str]:
    arguments: Sequence[Path | str] = (sys.executable, "-c", PROGRAM, tiny_dir, cache, grids, lines_dir)
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_processes_that_start_at_once_one_tunes_and_all_read(
    tiny_dir: Path, grids: Path, lines_dir: Path, tmp_path: Path
) -> None:
    processes = [start(tiny_dir, tmp_path / "cache", grids, lines_dir) for _ in range(3)]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [output.strip() for output, _ in outputs] == ["61"] * 3, outputs
    # Each that tunes says which reference it reads; those that wait read its result.
    assert sum("reading the reference" in errors for _, errors in outputs) == 1, outputs


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_tuning_that_is_killed_leaves_nothing_that_disturbs_the_next(
    tiny_dir: Path, grids: Path, lines_dir: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = start(tiny_dir, cache, grids, lines_dir)
    assert first.stderr is not None
    deadline = time.monotonic() + 120
    while "reading the reference" not in first.stderr.readline():
        assert time.monotonic() < deadline
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert files(cache) == []
    second = start(tiny_dir, cache, grids, lines_dir)
    output, errors = second.communicate(timeout=240)
    assert output.strip() == "61", errors
    assert len(files(cache)) == 1
