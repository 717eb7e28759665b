"""Decode 512 lines of 80 time steps and 6,625 classes: the vectorised decoder against a plain loop over the lines.

Run it with ``python -m benchmarks.ctc_decode``. Interleaved rounds in one process, medians; texts must be equal and
scores within 1e-6, and decoding emissions must be at least five times faster, else it exits with 1.

Two inputs are timed. *Emissions* (what backends return) is decoding proper. *Probabilities* starts from the full
network output, 1 GiB here, where both sides spend their time in the same arg-max over memory.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import click
import numpy as np

from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.values import Emissions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocrhpi.values import Probabilities

MIN_SPEEDUP = 5.0
SCORE_TOLERANCE = 1e-6


def decode_indices_per_line(emissions: Emissions, labels: Sequence[str]) -> list[tuple[str, float]]:
    """Decode as OCR toolkits commonly do: for each line a selection mask, then a list of characters."""
    lines = []
    for indices, probs in zip(emissions.indices, emissions.probs, strict=True):
        selection = np.ones(len(indices), dtype=bool)
        selection[1:] = indices[1:] != indices[:-1]
        selection &= indices != 0
        text = "".join([labels[index] for index in indices[selection]])
        lines.append((text, float(np.mean(probs[selection])) if selection.any() else 0.0))
    return lines


def decode_per_line(probabilities: Probabilities, labels: Sequence[str]) -> list[tuple[str, float]]:
    """Decode full probabilities, (N, T, classes), line by line."""
    indices = probabilities.argmax(axis=-1)
    return decode_indices_per_line(Emissions(indices.astype(np.int32), probabilities.max(axis=-1)), labels)


def synthetic_output(lines: int, steps: int, classes: int) -> Probabilities:
    """Return probabilities with one clear class a step: two thirds blanks, and characters that last a step or two."""
    rng = np.random.default_rng(0)
    probabilities = rng.random((lines, steps, classes), dtype=np.float32)
    probabilities *= np.float32(0.1 / classes)
    winners = np.where(rng.random((lines, steps)) < 2 / 3, 0, rng.integers(1, classes, (lines, steps)))
    repeats = rng.random((lines, steps - 1)) < 0.2  # noqa: PLR2004 - a share
    winners[:, 1:] = np.where(repeats, winners[:, :-1], winners[:, 1:])
    tops = rng.uniform(0.3, 1.0, (lines, steps)).astype(np.float32)
    np.put_along_axis(probabilities, winners[..., None], tops[..., None], axis=-1)
    return probabilities


def interleaved_medians(candidates: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Time every candidate once a round, in turn; return their medians in ms."""
    samples: list[list[float]] = [[] for _ in candidates]
    for _ in range(rounds):
        for candidate, times in zip(candidates, samples, strict=True):
            start = time.perf_counter()
            candidate()
            times.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(times) for times in samples]


@click.command()
@click.option("--lines", default=512, show_default=True)
@click.option("--steps", default=80, show_default=True)
@click.option("--classes", default=6625, show_default=True)
@click.option("--rounds", default=9, show_default=True)
def main(lines: int, steps: int, classes: int, rounds: int) -> None:
    """Decode LINES x STEPS x CLASSES both ways and compare."""
    labels = ["", *(chr(0x4E00 + n) for n in range(classes - 2)), " "]
    probabilities = synthetic_output(lines, steps, classes)
    emissions = Emissions.from_probabilities(probabilities)
    decoder = CtcDecoder(labels)

    plain = decode_indices_per_line(emissions, labels)
    vectorised = decoder.decode(emissions)
    different = sum(line.text != text for line, (text, _) in zip(vectorised, plain, strict=True))
    error = max(abs(line.score - score) for line, (_, score) in zip(vectorised, plain, strict=True))
    print(f"{lines} x {steps} x {classes}: texts different {different}, largest score difference {error:.1e}")

    loop_ms, ours_ms = interleaved_medians(
        [lambda: decode_indices_per_line(emissions, labels), lambda: decoder.decode(emissions)], rounds
    )
    speedup = loop_ms / ours_ms
    print(f"emissions      loop {loop_ms:8.2f} ms   vectorised {ours_ms:8.2f} ms   {speedup:.1f}x")
    loop_full_ms, ours_full_ms = interleaved_medians(
        [lambda: decode_per_line(probabilities, labels), lambda: decoder.decode(probabilities)],
        max(3, rounds // 3),
    )
    ratio = loop_full_ms / ours_full_ms
    print(f"probabilities  loop {loop_full_ms:8.2f} ms   vectorised {ours_full_ms:8.2f} ms   {ratio:.1f}x")
    sys.exit(different > 0 or error > SCORE_TOLERANCE or speedup < MIN_SPEEDUP)


if __name__ == "__main__":
    main()
