"""A finished tuning for a person to read, and as plain values for a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.display.notes import (
    changed_texts,
    conclusion,
    legend,
    origin,
    read_again,
    refused,
    remarks,
    title,
    what_runs,
)
from ocrhpi.display.rows import rows_table
from ocrhpi.display.summary import figures_of, lines_read, part_of_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import Console, ConsoleOptions, RenderableType

    from ocrhpi.display.summary import Figures
    from ocrhpi.tuning.cache import Tuning


def tuning_table(tuning: Tuning, path: Path | str | None = None) -> RenderableType:
    """Return the table of a tuning, and below it what the choice was made by.

    It fits the width that it is printed in: columns of less importance are left out where there is no room.

    Args:
        tuning: The tuning.
        path: Its file, to be named.
    """
    return _View(tuning, path, evidence=False)


def tuning_evidence(tuning: Tuning, path: Path | str | None = None) -> RenderableType:
    """Return the table, before it where the tuning was made, and after it the texts that changed and what runs.

    Args:
        tuning: The tuning.
        path: Its file, to be named.
    """
    return _View(tuning, path, evidence=True)


def tuning_json(tuning: Tuning, path: Path | str | None = None) -> dict[str, Any]:
    """Return a tuning as plain values, with what follows from its samples in place of the samples.

    Args:
        tuning: The tuning.
        path: Its file, to be named.

    Returns:
        ``path``; ``created``; ``model`` (``name``, ``fingerprint``, ``path``); ``device``, ``machine``, ``engines`` and
        ``versions`` as in the key of the file; ``question`` as in the file; ``seconds``; ``load`` (before, at the end,
        or null); ``lines``: number of calibration lines; ``quick``: whether it was a quick look; ``provisional``:
        whether it is measured again the next time, since it rests on faults that may pass; ``winner``: its name;
        ``decided``; ``reason``;
        ``next_policy``: null or ``accuracy``, ``name`` and ``gain``; and ``rows``, in the order of the table, each:

        - ``name``, ``candidate``, ``outcome``, ``reason``, ``passing``, ``remarks``, ``baseline``, ``effective``,
          ``gate``, ``load_s``, ``first_call_ms``, ``peak_mib`` as in the file; what was not found out is null
        - ``winner``; ``place`` in which it may run, 1 for the winner, or null; ``refusal``: why it may not run
        - ``speed``: how many times as fast as normal mode, or null; ``interval``: [low, high], 95 %, and ``rounds``,
          null and 0 where the speed is from screening
        - ``ms_per_line``, ``lines_per_s``: of a stream; ``alone_ms``: of a line in a call of its own
    """
    choice, relaxed = tuning.choice, tuning.choice.next_policy
    winner_then = relaxed and tuning.rows[relaxed.row].candidate.name
    content = tuning.model_dump(mode="json", by_alias=True)
    return {
        "path": None if path is None else str(path),
        "created": tuning.created,
        "model": content["model"],
        "device": tuning.key.get("device"),
        "machine": part_of_key(tuning, "machine"),
        "engines": part_of_key(tuning, "engines"),
        "versions": part_of_key(tuning, "versions"),
        "question": content["question"],
        "seconds": tuning.seconds,
        "load": content["load"],
        "lines": lines_read(tuning),
        "quick": tuning.quick,
        "provisional": tuning.provisional,
        "winner": tuning.rows[choice.winner].candidate.name,
        "decided": choice.decided,
        "reason": choice.reason,
        "next_policy": relaxed and {"accuracy": relaxed.accuracy, "name": winner_then, "gain": relaxed.gain},
        "rows": [_row_json(one, content["rows"][one.number]) for one in figures_of(tuning)],
    }


def _row_json(one: Figures, content: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "candidate",
        "outcome",
        "reason",
        "passing",
        "remarks",
        "baseline",
        "effective",
        "gate",
        "load_s",
        "first_call_ms",
        "peak_mib",
    )
    return {
        "name": one.row.candidate.name,
        **{name: content[name] for name in kept},
        "winner": one.won,
        "place": one.place,
        "refusal": one.refusal,
        "speed": one.speed,
        "interval": None if one.ratio is None else [one.ratio.low, one.ratio.high],
        "rounds": 0 if one.ratio is None else one.ratio.rounds,
        "ms_per_line": one.ms,
        "lines_per_s": None if one.ms is None else 1e3 / one.ms,
        "alone_ms": one.alone_ms,
    }


@dataclass(frozen=True)
class _View:
    """A tuning as rich draws it, in the width that there is.

    Attributes:
        tuning: The tuning.
        path: Its file.
        evidence: Whether to show where it was made, which texts changed, and what runs.
    """

    tuning: Tuning
    path: Path | str | None
    evidence: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        tuning, figures = self.tuning, figures_of(self.tuning)
        shown = [one for one in figures if one.row.outcome == "measured" or one.won]
        if self.evidence:
            yield origin(tuning)
            yield ""
        yield title(tuning)
        yield rows_table(shown, tuning.objective, options.max_width, ascii_only=options.ascii_only)
        yield from legend(shown)
        yield from _apart(refused(figures))
        if self.evidence:
            yield from _apart(changed_texts(figures))
            yield from _apart(read_again(figures))
            yield from _apart(remarks(figures))
            yield from _apart(what_runs(tuning))
        yield from _apart(conclusion(tuning, self.path, evidence=self.evidence))


def _apart(parts: Iterator[RenderableType]) -> Iterator[RenderableType]:
    """Yield the parts after an empty line; nothing if there are none."""
    for number, part in enumerate(parts):
        if not number:
            yield ""
        yield part
