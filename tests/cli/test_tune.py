"""``ocrhpi tune``: what it asks for, what it prints, what it leaves behind."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi import tuner
from ocrhpi.cli import tune as module
from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.errors import TuningError
from ocrhpi.tuning.cache import read_tuning, save
from tests.cli.test_cli import run
from tests.report.tuning_samples import tuning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.progress import OnProgress


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What was to be measured; it is not, but finished with a sample."""
    plans: list[Plan] = []

    def measure(plan: Plan, on_progress: OnProgress, *, quick: bool = False) -> Tuning:
        del on_progress
        assert not quick, "whoever calls this command wants to know"
        plans.append(plan)
        return tuning()

    monkeypatch.setattr(tuner, "tune", measure)
    return plans


@pytest.fixture
def base(tiny_dir: Path, lines_dir: Path, tmp_path: Path) -> tuple[object, ...]:
    return ("tune", tiny_dir, "--device", "cpu", "--cache_dir", tmp_path / "cache", "--calibration_dir", lines_dir)


def test_both_commands_are_listed() -> None:
    listed = run("--help").stdout
    for name in ("tune", "explain"):
        assert f"  {name} " in listed
        assert run(name, "--help").exit_code == 0


def test_it_prints_the_table_and_keeps_the_result(base: tuple[object, ...], planned: list[Plan]) -> None:
    result = run(*base)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "▶  openvino, masked 64," in result.stdout
    assert "why: " in result.stdout
    assert f"file: {planned[0].path}" in result.stdout
    assert read_tuning(planned[0].path).choice.winner == tuning().choice.winner


def test_it_measures_even_where_a_result_is_kept(base: tuple[object, ...], planned: list[Plan]) -> None:
    for _ in range(2):
        assert run(*base).exit_code == 0
    assert len(planned) == 2
    assert planned[0].path == planned[1].path


def test_it_measures_thoroughly_whatever_a_quick_look_left(base: tuple[object, ...], planned: list[Plan]) -> None:
    assert run(*base).exit_code == 0
    path = planned[0].path
    path.unlink()
    assert save(tuning().model_copy(update={"quick": True, "key": planned[0].key}), path)
    assert run(*base).exit_code == 0
    assert not read_tuning(path).quick


def test_use_hpip_asks_for_the_same_file(
    base: tuple[object, ...], planned: list[Plan], lines_dir: Path, tmp_path: Path
) -> None:
    run(*base)
    config = read_hpi_config({"cache_dir": tmp_path / "cache", "calibration_dir": lines_dir})
    again = tuner.plan(planned[0].model, config, "cpu")
    assert (again.path, again.key) == (planned[0].path, planned[0].key)


def test_options(base: tuple[object, ...], planned: list[Plan], tmp_path: Path) -> None:
    options = (
        "--objective latency --max-latency-ms 20 --max_memory_mib 900 --budget 7.5 --accuracy cer<=2% --backend paddle"
    )
    result = run(*base, *options.split(), "--backend-configs", tmp_path, "--cpu-threads", 2)
    assert result.exit_code == 0, result.output
    asked = planned[0].config
    assert (asked.objective, asked.max_latency_ms, asked.max_memory_mib) == ("latency", 20.0, 900.0)
    assert (asked.budget_s, asked.accuracy, asked.backend, asked.tune) == (7.5, "cer<=2%", "paddle", "always")
    assert (asked.backend_configs, asked.cpu_threads) == (tmp_path, 2)


def test_options_that_are_not_given_have_the_defaults_of_hpi_config(
    base: tuple[object, ...], planned: list[Plan]
) -> None:
    run(*base)
    given = {"cache_dir", "calibration_dir", "tune"}
    assert planned[0].config.model_dump(exclude=given) == HpiConfig().model_dump(exclude=given)


def test_output(base: tuple[object, ...], planned: list[Plan], tmp_path: Path) -> None:
    file = tmp_path / "made" / "hpi_config.yml"
    result = run(*base, "-o", file)
    assert result.exit_code == 0, result.output
    assert read_tuning(file) == read_tuning(planned[0].path)
    assert f"file: {file}" in result.stdout
    assert run("explain", file).exit_code == 0


@pytest.mark.usefixtures("planned")
def test_output_that_cannot_be_written(base: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(*base, "-o", tmp_path / "file" / "hpi_config.yml")
    assert result.exit_code == 1
    assert "hpi_config.yml could not be written" in result.stderr
    assert "why: " in result.stdout  # what took a minute is shown all the same
    assert run(*base, "-o", tmp_path).exit_code == 2


def test_json_alone_on_stdout(base: tuple[object, ...], planned: list[Plan]) -> None:
    result = run(*base, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["winner"] == "openvino, masked 64, batch 8"
    assert values["path"] == str(planned[0].path)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--accuracy", "close"], 1, "hpi_config.accuracy"),
        (["--backend", "openvin"], 1, "openvin"),
        (["--budget", "0"], 1, "hpi_config.budget_s"),
        (["--calibration_dir", "/nowhere"], 1, "/nowhere"),
        (["--objective", "memory"], 2, "throughput"),
        (["--max_latency_ms", "soon"], 2, "soon"),
    ],
)
def test_wrong_options(base: tuple[object, ...], arguments: list[str], code: int, message: str) -> None:
    result = run(*base, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_wrong_models(tmp_path: Path) -> None:
    assert "Did you mean" in run("tune", "PP-OCRv4_mobil_rec").stderr
    assert run("tune", tmp_path).exit_code == 1


def raising(error: BaseException) -> Callable[..., Any]:
    def find_or_tune(*_: object, **_more: object) -> None:
        raise error

    return find_or_tune


def test_an_interrupt(base: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tuner, "tune", raising(KeyboardInterrupt()))
    result = run(*base, "-o", tmp_path / "out.yml")
    assert result.exit_code == 130
    assert (result.stdout, result.stderr) == ("", "stopped; no result was kept\n")
    assert not list(tmp_path.rglob("*.yml"))


def test_normal_mode_that_does_not_run(base: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_or_tune", raising(TuningError("tiny", "normal mode does not run")))
    result = run(*base)
    assert result.exit_code == 1
    assert result.stderr == "Error: tiny: tuning: normal mode does not run.\n"


def test_from_end_to_end(tiny_both_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("inference.onnx", "inference.yml"):  # without Paddle's files ONNX Runtime is normal mode
        shutil.copy(tiny_both_dir / name, model)
    file = tmp_path / "out.yml"
    options = ("--device", "cpu", "--budget", 6, "--backend", "openvino", "--cache_dir", tmp_path / "cache")
    result = run("tune", model, *options, "--calibration_dir", lines_dir, "-o", file, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["quick"] is False
    normal = next(row for row in values["rows"] if row["baseline"])
    assert normal["name"] == "onnxruntime, exact, batch 1"
    assert normal["rounds"] >= 3
    assert values["rows"][0]["winner"]
    assert {row["candidate"].get("backend") for row in values["rows"]} <= {"onnxruntime", "openvino", None}
    shown = run("explain", file)
    assert shown.exit_code == 0, shown.output
    assert "(normal mode)" in shown.stdout
