"""The stream: the lines of the run as they come in use, nearly every one of a width that was never seen before."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.peers.lines import padded_widths, save_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocrhpi.measuring.stream import LineStream
    from ocrhpi.values import InputSpec


@dataclass(frozen=True)
class Stream:
    """Parts of a `LineStream`, made here, since the peers' interpreter cannot.

    Attributes:
        source: The stream.
        directory: Where a part lies while it is read.
    """

    source: LineStream
    directory: Path

    @contextmanager
    def saved(self, start: int, stop: int) -> Iterator[Path]:
        """Keep the lines from ``start`` to ``stop`` in a file for the workers until the context is left."""
        path = self.directory / f"stream-{start}-{stop}.npz"
        save_images(self.source.part(start, stop), path)
        try:
            yield path
        finally:
            path.unlink()

    def padded_widths(self, parts: Sequence[tuple[int, int]], spec: InputSpec) -> int:
        """Return how many different widths a network of ``spec`` sees in ``parts``, one line at a time."""
        return len(set().union(*(padded_widths(self.source.part(start, stop), spec) for start, stop in parts)))
