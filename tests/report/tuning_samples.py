"""A tuning as it comes out of ten seconds on two cores, without the ten seconds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from ocrhpi.config.candidate import Candidate
from ocrhpi.config.objective import Objective
from ocrhpi.tuning.cache import TunedModel, Tuning
from ocrhpi.tuning.choose import choose
from ocrhpi.tuning.rows import Change, GateResult, Row

if TYPE_CHECKING:
    from ocrhpi.config.candidate import ExecutionPlan

KEY: dict[str, Any] = {
    "model": "ab" * 32,
    "machine": {"cpu": "AMD EPYC 9J14", "usable_cores": 2, "memory_gib": 8, "os": "Linux x86_64", "gpus": []},
    "device": "cpu",
    "engines": {"paddle": "3.3.0", "openvino": "2026.4.1", "tensorrt": None},
    "versions": {"ocrhpi": "0.1.0", "exporter": 1, "tuning": 2},
}
ACCURACY: dict[str, Any] = {
    "labelled": 190,
    "reference_cer": 0.0121,
    "reference_exact": 171,
    "cer_interval": (-0.001, 0.001),
    "exact_interval": (-0.01, 0.01),
}
SAME = GateResult(lines=200, changed=0, cer=0.0121, exact=171, **ACCURACY)
CHANGES = (
    Change(line="cn_001.png", expected="极速发货", read="极速发贷"),
    Change(line="en_002.png", expected="a\x1b[31mb", read="ab"),
)
CHANGED = GateResult(lines=200, changed=5, examples=CHANGES, cer=0.0119, exact=171, **ACCURACY)

PADDLE = Candidate(backend="paddle", device="cpu")
OPENVINO = Candidate(backend="openvino", device="cpu", batching="masked", batch_size=8)
SPLIT = OPENVINO.model_copy(update={"batching": "split"})
ONNX = Candidate(backend="onnxruntime", device="cpu", batch_size=8)
NATURAL = Candidate(backend="openvino", device="cpu", batching="natural", width_step=32, batch_size=8)
SLOW = Candidate(backend="paddle", device="cpu", options={"onednn": False})
BF16 = Candidate(backend="openvino", device="cpu", options={"precision": "bf16"}, batch_size=8)
LATE = tuple(Candidate(backend="onnxruntime", device="cpu", batch_size=size) for size in (2, 4))
TENSORRT = Candidate(backend="tensorrt", device="cpu")


def timed(candidate: ExecutionPlan, ms: float, *, rounds: int = 12, **facts: Any) -> Row:
    """A row whose lines take ``ms``, give or take 2 %."""
    rng = random.Random(candidate.name)
    samples = tuple(ms * rng.uniform(0.98, 1.02) for _ in range(rounds))
    look = round(1.05 * ms, 3)
    effective: dict[str, Any] = {"backend": candidate.name.split(",")[0], "engine_version": "1.2", "device": "cpu"}
    effective |= {"precision": candidate.precision, "threads": 2, "settings": {"hint": "latency"}, "notes": []}
    found = {"outcome": "measured", "gate": SAME, "effective": effective, "load_s": 0.5123, "first_call_ms": 31.4159}
    return Row(candidate=candidate, **{**found, "peak_mib": 512.5, "look": look, "samples": samples, **facts})


def rows() -> tuple[Row, ...]:
    """Rows of every kind."""
    late = "the budget of 60 s was spent before its turn"
    crash = "load: the process ended by signal 11 (SIGSEGV); it printed: \x1b[2J[bold]engine[/bold]\nbroken"
    return (
        timed(PADDLE, 10.0, baseline=True),
        timed(OPENVINO, 4.4),
        timed(ONNX, 5.6, rounds=3, reason="left after 3 rounds, 1.27 times as slow as the quickest then"),
        timed(SLOW, 31.0, rounds=0, reason="left after screening, 7.04 times as slow as the quickest then"),
        timed(NATURAL, 2.9, gate=CHANGED),
        timed(SPLIT, 4.41),
        Row(candidate=BF16, outcome="rejected", reason=crash),
        *(Row(candidate=one, outcome="skipped", reason=late) for one in LATE),
        Row(candidate=TENSORRT, outcome="skipped", reason="tensorrt is not installed: pip install tensorrt"),
    )


def tuning(all_rows: tuple[Row, ...] | None = None, **asked: Any) -> Tuning:
    """The tuning of these rows."""
    measured = rows() if all_rows is None else all_rows
    objective = Objective(**asked)
    return Tuning(
        created="2026-11-22T18:00:00.000+00:00",
        model=TunedModel(name="PP-OCRv4_mobile_rec", fingerprint="ab" * 32, path="/models/v4"),
        objective=objective,
        key=KEY,
        choice=choose(measured, objective),
        seconds=58.25,
        load=(0.75, 2.1),
        rows=measured,
    )
