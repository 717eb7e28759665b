"""A benchmark of a tiny model: every mode, resuming, and failures that are rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from ocrhpi.bench.rows import BenchRow
from ocrhpi.bench.run import BenchJob, bench_all, row_path
from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.report.bench_figures import figures_of
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.tuning.progress import Step

ROUNDS = 4


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> HpiConfig:
    grids = tmp_path_factory.mktemp("grids")
    for backend, entries in {"openvino": [], "onnxruntime": [{"batch_size": 4}], "paddle": []}.items():
        (grids / f"{backend}.yaml").write_text(yaml.safe_dump({"cpu": entries}), "utf-8")
    cache = tmp_path_factory.mktemp("cache")
    return read_hpi_config({"backend_configs": str(grids), "cache_dir": str(cache), "budget_s": 30})


@pytest.fixture(scope="module")
def output(tiny_dir: Path, config: HpiConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of one model that runs, one that is missing, and one that is damaged."""
    folder = tmp_path_factory.mktemp("rows")
    damaged = tmp_path_factory.mktemp("models") / "damaged"
    damaged.mkdir()
    jobs = [
        BenchJob("missing", None, "official", "its weights are not here"),
        BenchJob("damaged", damaged, "own"),
        BenchJob("tiny_rec", tiny_dir, "reference"),
    ]
    rows = list(bench_all(jobs, config, folder, device="cpu", rounds=ROUNDS))
    assert [row.model for row in rows] == ["missing", "damaged", "tiny_rec"]
    return folder


def test_every_mode_is_timed_in_every_round(output: Path) -> None:
    row = BenchRow.model_validate_json(row_path(output, "tiny_rec").read_text("utf-8"))
    assert (row.reason, row.weights, row.device) == ("", "reference", "cpu")
    assert row.format == "ocrhpi-bench-2"
    assert row.tuning is not None
    assert not row.tuning.quick, "a budget was given"
    modes = {mode.mode: mode for mode in row.modes}
    assert set(modes) == {"plain", "onednn", "high-performance"}
    assert modes["high-performance"].setup == row.tuning.setups[0]
    for mode in modes.values():
        if mode.reason:  # oneDNN may refuse the tiny graph
            continue
        assert len(mode.engine_ms) == len(mode.samples) == ROUNDS
        assert all(ms > 0 for ms in (*mode.engine_ms, *mode.samples))
        assert mode.gate is not None
        assert mode.gate.changed == 0
        assert mode.effective is not None
        assert mode.effective["precision"] == "fp32"
        assert mode.peak_mib is not None
    assert not modes["plain"].reason
    assert modes["plain"].effective is not None
    assert modes["plain"].effective["settings"]["onednn"] is False
    assert row.size_mib is not None
    assert row.machine["usable_cores"] >= 1
    assert row.versions["paddle"]


def test_failures_are_rows(output: Path) -> None:
    reasons = {
        name: BenchRow.model_validate_json(row_path(output, name).read_text("utf-8")).reason
        for name in ("missing", "damaged")
    }
    assert reasons["missing"] == "its weights are not here"
    assert "inference.json" in reasons["damaged"]


def test_a_second_run_measures_only_what_failed(output: Path, tiny_dir: Path, config: HpiConfig) -> None:
    before = row_path(output, "tiny_rec").read_bytes()
    steps: list[Step] = []
    jobs = [BenchJob("tiny_rec", tiny_dir, "reference"), BenchJob("missing", None, "official", "still not here")]
    rows = list(bench_all(jobs, config, output, device="cpu", rounds=ROUNDS, on_progress=steps.append))
    assert steps == []
    assert row_path(output, "tiny_rec").read_bytes() == before
    assert rows[1].reason == "still not here"


def test_of_a_model_that_is_onnx_alone_normal_mode_is_onnx_runtime(tmp_path: Path, config: HpiConfig) -> None:
    tiny_onnx_model(tmp_path / "tiny")
    (row,) = bench_all([BenchJob("tiny", tmp_path / "tiny", "own")], config, tmp_path / "rows", device="cpu", rounds=2)
    modes = {mode.mode: mode for mode in row.modes}
    assert set(modes) == {"onnx", "high-performance"}
    assert modes["onnx"].effective is not None
    assert modes["onnx"].effective["backend"] == "onnxruntime"
    assert modes["high-performance"].gate is not None
    assert figures_of([row])[0].normal == "onnx"
