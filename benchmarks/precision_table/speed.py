"""How fast each row is against FP32: interleaved rounds in one process, with all rows loaded."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tqdm import tqdm

from benchmarks.precision_table.contenders import FULL, VERIFIED, contenders, verified
from benchmarks.precision_table.lines import CALIBRATION
from ocrhpi.assembly import open_reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from benchmarks.precision_table.lines import LineSet
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import LineImage

__all__ = ["LATENCY", "LINES", "measure_speed"]

LATENCY = "latency"
"""Name of the times of one line a call, on the first lines of the tuning."""

LINES = 48
"""Lines of a set that a round reads at most; the first ones stand for all."""

_SINGLE_LINES = 24
_WARM_UP = 1
_QUIET_S = 0.25  # idle threads of some engines spin for 0.2 s


def measure_speed(
    model: Model, sets: Mapping[str, LineSet], thresholds: Mapping[str, float | None], rounds: int
) -> dict[str, dict[str, Any]]:
    """Return for each title, for each set and `LATENCY`, milliseconds a line and how many times as fast as FP32."""
    alone = {contender.title: contender for contender in contenders()}
    pairs = [
        verified(title, alone, threshold)
        for title, threshold in thresholds.items()
        if title in VERIFIED and threshold is not None
    ]
    samples: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        readers: dict[str, LineReader] = {}
        for contender in (*alone.values(), *pairs):
            readers[contender.title] = open_reader(model, contender.setup)
            stack.callback(readers[contender.title].close)
            samples[contender.title] = {name: [] for name in (*sets, LATENCY)}
        for number in tqdm(range(_WARM_UP + rounds), unit="round", disable=None):
            for title in random.sample(list(readers), len(readers)):
                time.sleep(_QUIET_S)
                for name, ms in _round(readers[title], sets).items():
                    if number >= _WARM_UP:
                        samples[title][name].append(ms)
    return {
        title: {name: _summary(ms, samples[FULL][name]) for name, ms in one.items()} for title, one in samples.items()
    }


def _round(reader: LineReader, sets: Mapping[str, LineSet]) -> dict[str, float]:
    """Return milliseconds a line."""
    found = {name: _ms(reader, [lines.images[:LINES]]) for name, lines in sets.items()}
    return found | {LATENCY: _ms(reader, [[line] for line in sets[CALIBRATION].images[:_SINGLE_LINES]])}


def _ms(reader: LineReader, calls: Sequence[Sequence[LineImage]]) -> float:
    start = time.perf_counter()
    for lines in calls:
        reader.read(lines)
    return (time.perf_counter() - start) * 1e3 / sum(map(len, calls))


def _summary(ms: Sequence[float], full: Sequence[float]) -> dict[str, float]:
    ratios = [other / own for other, own in zip(full, ms, strict=True)]
    return {"ms": statistics.median(ms), "ratio": statistics.median(ratios)}
