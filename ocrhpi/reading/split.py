"""One reader for narrow lines, another for wide ones: engines rank differently by width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.backends.base import Effective
from ocrhpi.reading.base import LineReader, Met, Shapes
from ocrhpi.recognition.geometry import geometry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.reading.base import SingleEngineReader
    from ocrhpi.values import LineImage, TextLine


class SplitReader(LineReader):
    """Reads lines up to a width with one reader and the wider ones with another.

    The two take turns, each with all of its threads: on the few cores of one machine two engines at the same time
    share them out worse than either uses them alone (docs/decisions/0011-split-by-width.md).

    Args:
        narrow: Reads lines whose exact width is at most ``up_to``.
        wide: Reads the others.
        up_to: Exact width in pixels.
    """

    def __init__(self, narrow: LineReader, wide: LineReader, *, up_to: int) -> None:
        self.model = narrow.model
        self.batch_size = max(narrow.batch_size, wide.batch_size)
        self._narrow = narrow
        self._wide = wide
        self._up_to = up_to

    @property
    def effective(self) -> Effective:
        """What really runs: both engines, with the settings of each under ``narrow`` and ``wide``."""
        narrow, wide = self._narrow.effective, self._wide.effective
        return Effective(
            backend=_both(narrow.backend, wide.backend),
            engine_version=_both(narrow.engine_version, wide.engine_version),
            device=_both(narrow.device, wide.device),
            precision=_both(narrow.precision, wide.precision),
            threads=max(narrow.threads, wide.threads),
            settings={"up_to": self._up_to, "narrow": dict(narrow.settings), "wide": dict(wide.settings)},
            notes=(*narrow.notes, *wide.notes),
        )

    def read(  # noqa: D102 - the contract's
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        read: dict[int, TextLine] = {}
        for reader, numbers in self._parts(lines).items():
            part = [lines[number] for number in numbers]
            texts = reader.read(part, batch_size=batch_size, return_word_box=return_word_box, margin=margin)
            read.update(zip(numbers, texts, strict=True))
        return [read[number] for number in range(len(lines))]

    @property
    def shapes(self) -> Shapes:
        """Those of both; the narrow lines of a split at the base width have that one width."""
        return self._narrow.shapes.plus(self._wide.shapes)

    def meet(self, lines: Sequence[LineImage]) -> Met:  # noqa: D102 - the contract's
        parts = self._parts(lines).items()
        met = [reader.meet([lines[number] for number in numbers]) for reader, numbers in parts]
        return Met(sum(one.shapes for one in met), sum(one.seconds for one in met))

    def engine_for(self, width: int) -> SingleEngineReader:  # noqa: D102 - the contract's
        return (self._narrow if width <= self._up_to else self._wide).engine_for(width)

    def close(self) -> None:  # noqa: D102 - the contract's
        try:
            self._narrow.close()
        finally:
            self._wide.close()

    def _parts(self, lines: Sequence[LineImage]) -> dict[LineReader, list[int]]:
        """Return the numbers of the lines that each of the two reads."""
        parts: dict[LineReader, list[int]] = {}
        for number, line in enumerate(lines):
            is_narrow = geometry_of(line, self.model.spec).padded_width <= self._up_to
            parts.setdefault(self._narrow if is_narrow else self._wide, []).append(number)
        return parts


def _both(narrow: str, wide: str) -> str:
    return narrow if narrow == wide else f"{narrow}+{wide}"
