"""Rows of a benchmark as they come out of an hour on two cores, without the hour."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from ocrhpi.bench.rows import Accuracy, BenchRow, ModeResult
from ocrhpi.config.candidate import Candidate
from tests.report.tuning_samples import OPENVINO, SAME, tuning

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.bench.rows import Mode

MACHINE: dict[str, Any] = {
    "cpu": "AMD EPYC 9J14",
    "cpu_flags": ["avx2", "avx512f"],
    "usable_cores": 2,
    "memory_gib": 8,
    "os": "Linux x86_64",
    "gpus": [],
    "gpu_driver": None,
}
VERSIONS: dict[str, Any] = {"ocrhpi": "0.1.0", "paddle": "3.3.0", "openvino": "2026.4.1", "tensorrt": None}
SETUPS: dict[Mode, Candidate] = {
    "plain": Candidate(backend="paddle", device="cpu", options={"onednn": False}),
    "onednn": Candidate(backend="paddle", device="cpu", options={"onednn": True}),
    "gpu": Candidate(backend="paddle", device="gpu:0"),
    "high-performance": OPENVINO,
}
HOSTILE = '<script>throw "x"</script>&"\'|`*_[a](b)\x1b[31m'


def result(mode: Mode, ms: float, *, rounds: int = 7, spread: float = 0.02, seed: int = 0, **facts: Any) -> ModeResult:
    """A mode whose engine takes ``ms`` a line, and half as much again from the image to the text."""
    rng = random.Random(f"{mode}{seed}")
    setup = SETUPS[mode]
    effective = {
        "backend": setup.backend,
        "engine_version": "1.2",
        "device": setup.device,
        "precision": setup.precision,
        "threads": 2 if setup.device == "cpu" else 0,
        "settings": {"hint": {"streams": 1}},
        "notes": ["a note"],
    }

    def steady(value: float) -> float:
        return value * rng.uniform(1 - spread, 1 + spread)

    found: dict[str, Any] = {
        "setup": setup,
        "effective": effective,
        "gate": SAME.model_copy(update={"lines": 32}),
        "load_s": 0.5,
        "peak_mib": 500.0,
        "engine_ms": tuple(steady(ms) for _ in range(rounds)),
        "samples": tuple(steady(1.5 * ms) for _ in range(rounds)),
    }
    return ModeResult(mode=mode, **{**found, **facts})


def failed(mode: Mode, reason: str) -> ModeResult:
    """A mode that gave no times."""
    return ModeResult(mode=mode, setup=SETUPS[mode], reason=reason)


def row(model: str, plain: float = 20.0, onednn: float = 10.0, high: float = 5.0, **facts: Any) -> BenchRow:
    """A model with these milliseconds per line in each mode; ``seed`` draws other noise."""
    seed = facts.pop("seed", 0)
    times: dict[Mode, float] = {"plain": plain, "onednn": onednn, "high-performance": high}
    found: dict[str, Any] = {
        "fingerprint": "ab" * 32,
        "size_mib": 10.25,
        "created": "2026-11-22T18:00:00+00:00",
        "seconds": 90.0,
        "threads": 2,
        "machine": MACHINE,
        "versions": VERSIONS,
        "load": (0.25, 2.0),
        "modes": tuple(result(mode, ms, seed=seed) for mode, ms in times.items()),
        "tuning": tuning(),
    }
    return BenchRow(model=model, **{**found, **facts})


def unmeasured(model: str, reason: str) -> BenchRow:
    """A model that could not be measured."""
    return BenchRow(model=model, created="2026-11-22T19:00:00+00:00", reason=reason, machine=MACHINE, threads=2)


def gpu_row(model: str, normal: float = 5.0, high: float = 1.0) -> BenchRow:
    """A model that was measured on a GPU."""
    modes = (result("gpu", normal), result("high-performance", high, setup=SETUPS["gpu"]))
    return row(model, device="gpu:0", machine={**MACHINE, "gpus": ["Tesla T4"]}, modes=modes)


def run_of_a_machine() -> list[BenchRow]:
    """Rows of every kind, not in the order of the published table."""
    accuracy = Accuracy(dataset="lines", lines=200, accuracy=0.8125, norm_edit_distance=0.95)
    few = tuple(result(mode, ms, rounds=2) for mode, ms in (("plain", 9.0), ("high-performance", 3.0)))  # type: ignore[arg-type]
    broken = (result("plain", 30.0), failed("onednn", "load: signal 11 <b>"), result("high-performance", 12.0))
    return [
        row("my_model", 40.0, 30.0, 29.9, weights="own", tuning=None, unstable="plain: the middle half spreads"),
        row("ch_SVTRv2_rec", 60.0, 30.0, 25.0, weights="reference", accuracy=accuracy),
        row("PP-OCRv4_mobile_rec", 30.0, 8.0, 4.0, accuracy=accuracy),
        row("PP-OCRv4_server_rec", modes=broken),
        row("te_PP-OCRv3_mobile_rec", modes=few, tuning=None),
        unmeasured("ka_PP-OCRv3_mobile_rec", "its weights are not here"),
    ]


def save(rows: list[BenchRow], directory: Path) -> Path:
    """Write rows as `ocrhpi bench` does."""
    directory.mkdir(parents=True, exist_ok=True)
    for one in rows:
        (directory / f"{one.model}.json").write_text(one.model_dump_json(indent=1), "utf-8")
    return directory
