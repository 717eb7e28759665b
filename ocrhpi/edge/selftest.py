"""A bundle against the texts that it brings along, on the machine it is to run on."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.images import read_image
from ocrhpi.edge.reader import reader_of
from ocrhpi.errors import OptionError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from ocrhpi.edge.bundle import CalibrationEntry
    from ocrhpi.edge.reader import EdgeReader
    from ocrhpi.values import Pixels, TextLine


@dataclass(frozen=True, slots=True)
class Change:
    """A line that reads otherwise here than where the bundle was made.

    Attributes:
        file: Its image in the bundle.
        expected: What was read there.
        received: What is read here.
    """

    file: str
    expected: str
    received: str


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a bundle reads its own lines.

    Attributes:
        lines_per_s: Lines a second, all lines in one call; the median of the rounds.
        line_ms: Milliseconds a line, one line a call; the median of lines and rounds.
    """

    lines_per_s: float
    line_ms: float


@dataclass(frozen=True, slots=True)
class Verification:
    """What a bundle does on this machine.

    Attributes:
        bundle: The bundle.
        model: Name of the model.
        seal: SHA-256 of the manifest, as hex.
        files: Files whose SHA-256 was found right.
        target: What the bundle is made for.
        precision: Precision of the arithmetic.
        engine: Name and version of the engine here, with its threads.
        lines: Lines that were read.
        changes: Those that read otherwise than expected.
        largest_shift: Largest absolute difference of a score, of lines that read as expected.
        open_s: Seconds to check the files and open the engine.
        speed: How fast they were read; None where that was not asked for.
    """

    bundle: str
    model: str
    seal: str
    files: int
    target: str
    precision: str
    engine: str
    lines: int
    changes: tuple[Change, ...]
    largest_shift: float
    open_s: float
    speed: Speed | None

    @property
    def passed(self) -> bool:
        """Whether every line reads as expected."""
        return not self.changes


def verify_bundle(
    path: os.PathLike[str] | str, *, threads: int | None = None, sha256: str | None = None, rounds: int = 3
) -> Verification:
    """Check all hashes, read the lines that the bundle brings along, and time it.

    Args:
        path: As for `ocrhpi.edge.open_bundle`.
        threads: As there.
        sha256: As there.
        rounds: How often the lines are timed; 0 compares texts only, for an emulator or a slow device.

    Raises:
        OcrhpiError: What `ocrhpi.edge.open_bundle` raises, or the engine fails.
        OptionError: ``rounds`` does not fit.
    """
    if rounds < 0:
        raise OptionError("rounds", f"received {rounds}; expected at least 0")
    start = time.perf_counter()
    with Bundle(path, sha256) as bundle, reader_of(bundle, threads) as reader:
        open_s = time.perf_counter() - start
        entries = bundle.calibration()
        images = [read_image(bundle.image(entry)) for entry in entries]
        texts = reader.read(images)  # also warms up
        return Verification(
            bundle=bundle.where,
            model=bundle.config.model_name,
            seal=bundle.seal,
            files=len(bundle.manifest.files),
            target=bundle.manifest.target,
            precision=bundle.config.precision,
            engine=reader.engine,
            lines=len(images),
            changes=tuple(_changes(entries, texts)),
            largest_shift=_largest_shift(entries, texts),
            open_s=open_s,
            speed=_speed(reader, images, rounds) if rounds else None,
        )


def describe(verification: Verification) -> list[str]:
    """Return the lines of a report for people."""
    found = verification
    same = found.lines - len(found.changes)
    speed = found.speed
    return [
        f"bundle     {found.bundle}: {found.model} for {found.target}, {found.precision}",
        f"hashes     {found.files} files are as they were made; SHA-256 of the manifest {found.seal}",
        f"engine     {found.engine}; ready in {found.open_s:.2f} s",
        (
            f"texts      {same} of {found.lines} lines read as where the bundle was made; "
            f"scores differ by at most {found.largest_shift:.1e}"
        ),
        *(f"           {change.file}: {change.received!r}, expected {change.expected!r}" for change in found.changes),
        *([f"speed      {speed.lines_per_s:.1f} lines/s; {speed.line_ms:.1f} ms for one line"] if speed else []),
    ]


def _speed(reader: EdgeReader, images: Sequence[Pixels], rounds: int) -> Speed:
    rates = [len(images) / _seconds(reader, images) for _ in range(rounds)]
    line_s = [_seconds(reader, [image]) for _ in range(rounds) for image in images]
    return Speed(statistics.median(rates), statistics.median(line_s) * 1e3)


def _seconds(reader: EdgeReader, images: Sequence[Pixels]) -> float:
    start = time.perf_counter()
    reader.read(list(images))
    return time.perf_counter() - start


def _changes(entries: Sequence[CalibrationEntry], texts: Sequence[TextLine]) -> Iterator[Change]:
    for entry, line in zip(entries, texts, strict=True):
        if line.text != entry.expected:
            yield Change(entry.file, entry.expected, line.text)


def _largest_shift(entries: Sequence[CalibrationEntry], texts: Sequence[TextLine]) -> float:
    pairs = zip(entries, texts, strict=True)
    return max((abs(line.score - entry.score) for entry, line in pairs if line.text == entry.expected), default=0.0)
