"""Step 2: the folder of results. What is in it is whole, whenever the process that wrote it was killed.

- ``_plan.jsonl``: the plan, replaced as a whole when the input has grown
- ``part-00000.jsonl`` or ``.parquet``: the results of shard 0; it appears under this name when it is complete

A shard is done if its part is there: no second record could say otherwise. Names with a dot or an underscore in front
are passed over by what reads folders of Parquet.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from ocrhpi.batch.formats import write_results
from ocrhpi.batch.plan import read_plan, written_plan
from ocrhpi.errors import OptionError
from ocrhpi.files import locked, replacing, sweep, told_as_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ocrhpi.batch.plan import Job
    from ocrhpi.batch.reading import Reading
    from ocrhpi.batch.shards import Shard, Task
    from ocrhpi.batch.sources import Source

_PLAN = "_plan.jsonl"
_LOCK = ".lock"


class Store:
    """The folder, while this process alone writes into it; made by `open_store`.

    Attributes:
        folder: The folder.
        shards: All that are planned, in order.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder = folder
        self._job = job
        self._plan = folder / _PLAN
        self.shards: list[Shard] = self._planned_before()

    def extend(self, source: Source, rows: int | None, workers: int) -> None:
        """Plan what was not planned before; arguments are those of `ocrhpi.batch.sources.Source.new_shards`."""
        new = source.new_shards(self.shards, rows, workers)
        if new or not self._plan.exists():
            self.shards += new
            self._write(self._plan, lambda file: file.write(written_plan(self._job, self.shards)))

    def missing(self) -> list[Shard]:
        """Return the shards whose results are not there, in order."""
        return [shard for shard in self.shards if not self._part(shard).exists()]

    def write(self, task: Task, readings: Sequence[Reading]) -> None:
        """Write the results of one shard, whole or not at all.

        Raises:
            OutputError: They cannot be written.
        """
        output = self._job.format
        self._write(self._part(task.shard), lambda file: write_results(output, file, task.columns, readings))

    def _part(self, shard: Shard) -> Path:
        return self.folder / f"part-{shard.number:05}.{self._job.format}"

    def _planned_before(self) -> list[Shard]:
        if self._plan.exists():
            return read_plan(self._plan, self._job)
        foreign = next(self.folder.glob("part-*"), None)
        if foreign is not None:
            problem = f"{foreign} is there, but not the plan {_PLAN} that says of which rows it is"
            raise OptionError("output", f"{problem}; give another folder")
        return []

    def _write(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        with told_as_output(path), replacing(path) as temporary, temporary.open("wb") as file:
            write(file)


@contextmanager
def open_store(folder: Path, job: Job) -> Iterator[Store]:
    """Open the folder of results for one process; it is made if need be.

    Args:
        folder: The folder.
        job: What is read with what.

    Raises:
        OptionError: Another process writes into it, or it holds results of another job, or something else.
        OutputError: It cannot be made or written to.
    """
    with ExitStack() as stack:
        with told_as_output(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                alone = stack.enter_context(locked(folder / _LOCK, 0))
            except TimeoutError:
                raise OptionError("output", f"another process writes into {folder}; wait for it, or end it") from None
        store = Store(folder, job)
        sweep(folder, alone=alone)  # not before: the folder may be somebody else's
        yield store
