"""The gate: how equal the text of a candidate is to the reference's, and whether that is equal enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from ocrhpi.config.objective import character_error_limit
from ocrhpi.measuring.statistic import paired_rate_interval
from ocrhpi.tuning.rows import Change, GateResult

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

POLICIES_BY_STRICTNESS = ("identical", "no-loss")
"""The policies that take no number, the strictest first."""

MIN_DECIDING = 20
"""Least number of lines that decide: equal text on a handful says little."""

_EXAMPLES = 5
_NO_LABELS = "it needs lines of known text that the model can write, and there are none"


@dataclass(frozen=True)
class KnownLine:
    """A calibration line.

    Attributes:
        name: What tells it from the others.
        text: What is written on it; None where that is not known.
        decides: Whether it counts; see `known_lines`.
    """

    name: str
    text: str | None = None
    decides: bool = True


@dataclass(frozen=True)
class ReadLine:
    """What was read on a line.

    Attributes:
        text: The text.
        score: How sure the network was, 0 to 1.
        margin: By which margin of probability it would have been another text, see `ocrhpi.recognition.near_ties`; None
            where that is not known.
    """

    text: str
    score: float
    margin: float | None = None


def compare(
    lines: Sequence[KnownLine], reference: Sequence[ReadLine], read: Sequence[ReadLine], labels: Collection[str]
) -> GateResult:
    """Compare what a candidate read with what the reference read, and both with the known texts.

    Texts are compared as they are, code point by code point. Lines that do not decide are counted apart. Accuracy is
    counted over the labelled lines: those of known text, not empty, that the labels can write; on others an error says
    nothing about the candidate.

    Args:
        lines: The calibration lines.
        reference: What the reference read on each of them.
        read: What the candidate read on each of them.
        labels: What the classes of the model stand for, `ocrhpi.model.Model.labels`.

    Raises:
        ValueError: The three are not equally many.
    """
    every = list(zip(lines, reference, read, strict=True))
    together = [one for one in every if one[0].decides]
    apart = [(right, got) for line, right, got in every if not line.decides]
    changes = [
        Change(line=line.name, expected=right.text, read=got.text)
        for line, right, got in together
        if right.text != got.text
    ]
    differences = [abs(right.score - got.score) for _, right, got in together if right.text == got.text]
    known = frozenset(labels)
    labelled = [
        (line.text, right.text, got.text) for line, right, got in together if line.text and can_write(line.text, known)
    ]
    result = GateResult(
        lines=len(together),
        changed=len(changes),
        examples=tuple(islice(changes, _EXAMPLES)),
        apart=len(apart),
        apart_changed=sum(right.text != got.text for right, got in apart),
        score_difference=max(differences, default=0.0),
    )
    return result.model_copy(update=_accuracy(labelled)) if labelled else result


def known_lines(named_texts: Iterable[tuple[str, str | None]], labels: Collection[str]) -> list[KnownLine]:
    """Return the lines of a gate, from their names and texts.

    A line whose known text the labels cannot write decides nothing: what a model reads in a script that it does not
    know is noise, and flips with any rounding. If fewer than `MIN_DECIDING` would be left, all lines decide.

    Args:
        named_texts: Name and known text of each line.
        labels: What the classes of the model stand for, `ocrhpi.model.Model.labels`.
    """
    known = frozenset(labels)
    lines = [KnownLine(name, text, text is None or can_write(text, known)) for name, text in named_texts]
    if sum(line.decides for line in lines) >= MIN_DECIDING:
        return lines
    return [replace(line, decides=True) for line in lines]


def can_write(text: str, labels: Collection[str]) -> bool:
    """Return whether ``text`` can be put together from labels, which may be several code points each."""
    longest = max(map(len, labels), default=0)
    reached = [True]  # for each length, whether the text up to there can be put together
    for end in range(1, len(text) + 1):
        starts = range(max(0, end - longest), end)
        reached.append(any(reached[start] and text[start:end] in labels for start in starts))
    return reached[-1]


def passes(accuracy: str, result: GateResult) -> bool:
    """Return whether ``result`` is good enough for the policy.

    Raises:
        ValueError: There is no such policy.
    """
    return not failure(accuracy, result)


def failure(accuracy: str, result: GateResult) -> str:
    """Return why ``result`` is not good enough for the policy, as a phrase; empty if it is.

    Raises:
        ValueError: There is no such policy.
    """
    limit = character_error_limit(accuracy)
    if limit is None and accuracy not in POLICIES_BY_STRICTNESS:
        raise ValueError(f"{accuracy!r} is no policy of accuracy")
    if not result.lines:
        return "it read no line"
    if accuracy == "identical":
        return _changes(result)
    if result.cer is None:
        return _NO_LABELS
    if limit is None:
        return _losses(result)
    over = result.cer > limit
    return f"character error rate {_percent(result.cer)}, more than the {_percent(limit)} allowed" if over else ""


def next_policy_of(accuracy: str) -> str | None:
    """Return the policy that asks for less than ``accuracy`` does; None if that would need a number."""
    policies = (*POLICIES_BY_STRICTNESS, None)
    return policies[policies.index(accuracy) + 1] if accuracy in POLICIES_BY_STRICTNESS else None


def _changes(result: GateResult) -> str:
    if not result.changed:
        return ""
    example = next((f", for example {one.expected!r} became {one.read!r}" for one in result.examples), "")
    return f"{result.changed} of {result.lines} texts changed{example}"


def _losses(result: GateResult) -> str:
    """Say what is significantly worse: where the whole interval of the difference is on the wrong side of 0."""
    losses = []
    if result.cer_interval and result.cer_interval[0] > 0:
        low, high = result.cer_interval
        rates = f"character error rate {_percent(result.cer)} against the reference's {_percent(result.reference_cer)}"
        losses.append(f"{rates} (difference {_percent(low)} to {_percent(high)})")
    if result.exact_interval and result.exact_interval[1] < 0:
        low, high = result.exact_interval
        counts = f"{result.exact} of {result.labelled} lines without error against {result.reference_exact}"
        losses.append(f"{counts} (difference {_percent(low)} to {_percent(high)})")
    return "; ".join(losses)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.2f} %"


def _accuracy(labelled: Sequence[tuple[str, str, str]]) -> dict[str, object]:
    """Return what a gate result says of labelled lines; each is the known text, the reference's, the candidate's."""
    sizes = [len(known) for known, _, _ in labelled]
    # Here, since what only reads a finished tuning compares nothing.
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415

    reference_errors = [Levenshtein.distance(known, right) for known, right, _ in labelled]
    errors = [Levenshtein.distance(known, got) for known, _, got in labelled]
    exact = [not error for error in errors]
    reference_exact = [not error for error in reference_errors]
    return {
        "labelled": len(labelled),
        "cer": sum(errors) / sum(sizes),
        "reference_cer": sum(reference_errors) / sum(sizes),
        "cer_interval": paired_rate_interval(_less(errors, reference_errors), sizes),
        "exact": sum(exact),
        "reference_exact": sum(reference_exact),
        "exact_interval": paired_rate_interval(_less(exact, reference_exact), [1] * len(labelled)),
    }


def _less(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a - b for a, b in zip(one, other, strict=True)]
