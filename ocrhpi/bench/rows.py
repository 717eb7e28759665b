"""What a benchmark found out about each model, as plain values that fit into a JSON file."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from ocrhpi.config.candidate import ExecutionPlan
from ocrhpi.options import Options
from ocrhpi.tuning.cache import Tuning
from ocrhpi.tuning.rows import GateResult, Passing

Mode: TypeAlias = Literal["plain", "onednn", "gpu", "onnx", "high-performance"]
"""``plain``: Paddle FP32 on the CPU without oneDNN, as in the published tables. ``onednn``: the same with oneDNN, as
PaddleOCR 3.x runs by default. ``gpu``: Paddle FP32 on a GPU. ``onnx``: normal mode of a model that is ONNX alone, see
`ocrhpi.config.normal_mode`. ``high-performance``: the winner of a tuning."""

HIGH_PERFORMANCE: Mode = "high-performance"

MODES: dict[Mode, str] = {
    "plain": "Paddle, plain",
    "onednn": "Paddle + oneDNN",
    "gpu": "Paddle, GPU",
    "onnx": "ONNX Runtime",
    HIGH_PERFORMANCE: "high-performance",
}

Weights: TypeAlias = Literal["official", "reference", "own"]
"""``official``: PaddleOCR's. ``reference``: the published architecture with seeded random weights, which tells speed
and nothing about accuracy or precision. ``own``: of a model directory that the user gave."""


class ModeResult(Options):
    """One mode of one model.

    Attributes:
        mode: The mode that was measured.
        setup: What ran; None if it could not be decided.
        reason: Why there are no times; empty if there are.
        passing: Whether that reason may be gone the next time.
        effective: What really ran, as the engine said after loading.
        gate: How it reads the calibration lines, against normal mode.
        load_s: Seconds to load the model.
        peak_mib: Largest resident set of its process in MiB.
        engine_ms: Milliseconds per line in each round: the engine alone, 3x48x320, as the field reports it; in batches
            of `BenchRow.batch_size` lines.
        samples: In each round, milliseconds per line of a stream of lines of new widths, from the image in memory to
            the text, see `ocrhpi.tuning.rows.Row.times`.
    """

    mode: Mode
    setup: ExecutionPlan | None = None
    reason: str = ""
    passing: Passing = ""
    effective: dict[str, Any] | None = None
    gate: GateResult | None = None
    load_s: float | None = None
    peak_mib: float | None = None
    engine_ms: tuple[float, ...] = ()
    samples: tuple[float, ...] = ()


class Accuracy(Options):
    """How well a model reads a labelled dataset, as PaddleOCR's RecMetric counts it.

    Attributes:
        dataset: Name of the dataset.
        precision: Precision of the engine that read it.
        lines: Labelled lines that were read.
        accuracy: Share of lines read exactly.
        norm_edit_distance: 1 - mean of (edit distance / longer length).
        unreadable: Lines that could not be read or found; they count as wrong.
    """

    dataset: str
    precision: str = ""
    lines: int
    accuracy: float
    norm_edit_distance: float
    unreadable: int = 0


class BenchRow(Options):
    """One model.

    Attributes:
        format: Kind and version of the file.
        model: Its name.
        weights: Whose weights.
        reason: Why there is nothing but this row; empty if the model was measured.
        fingerprint: `ocrhpi.model.Model.fingerprint`.
        size_mib: Size of its weight files in MiB.
        created: When it was measured, in ISO 8601.
        seconds: Wall time that it took.
        device: Device.
        threads: CPU threads asked for; None: the usable cores.
        machine: As `ocrhpi.machine.describe_machine` says.
        versions: Of ocrhpi and the engines.
        load: Average number of busy processes in the minute before it and in its last; None if it is unknown.
        unstable: Why the times are to be taken with care; empty if they are steady.
        batch_size: Lines in one call of the engine alone; 1 is what the field reports.
        budget_s: Seconds that its tuning was given; None if a file of an earlier version does not say.
        precision: The one that its candidates were limited to; empty: none.
        calibration: Name of the folder of the user's own lines; empty for the shipped ones.
        modes: The modes that were measured, normal ones first.
        tuning: How the high-performance mode was chosen.
        accuracy: If a dataset was given.
    """

    format: Literal["ocrhpi-bench-2"] = "ocrhpi-bench-2"
    model: str
    weights: Weights = "official"
    reason: str = ""
    fingerprint: str = ""
    size_mib: float | None = None
    created: str
    seconds: float = 0.0
    device: str = "cpu"
    threads: int | None = None
    machine: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, Any] = Field(default_factory=dict)
    load: tuple[float, float] | None = None
    unstable: str = ""
    batch_size: int = 1
    budget_s: float | None = None
    precision: str = ""
    calibration: str = ""
    modes: tuple[ModeResult, ...] = ()
    tuning: Tuning | None = None
    accuracy: Accuracy | None = None
