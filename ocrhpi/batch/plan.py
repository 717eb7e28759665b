"""The plan of a batch: what is read with what, and into which shards it is cut. One file in the folder of results."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

from ocrhpi.batch.formats import Format
from ocrhpi.batch.shards import shard_from
from ocrhpi.data_files import read_json
from ocrhpi.errors import OptionError
from ocrhpi.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocrhpi.batch.shards import Shard
    from ocrhpi.batch.sources import Source
    from ocrhpi.config.reading_options import ReadingOptions
    from ocrhpi.model import Model

_NORMAL_MODE = "as normal mode"


class Job(Options):
    """What must be equal for two runs to belong to one batch. How many workers read, and where, need not.

    Attributes:
        version: Of the file.
        input: What is read, absolute.
        kind: Kind of the input.
        format: Format of the results.
        model: Name of the model.
        fingerprint: `ocrhpi.model.Model.fingerprint`.
        text: What is known of the text: that it is normal mode's, or a digest of the configuration that may change it.
    """

    version: Literal["ocrhpi-batch-1"] = "ocrhpi-batch-1"
    input: str
    kind: str
    format: Format
    model: str
    fingerprint: str
    text: str


def job_of(source: Source, model: Model, options: ReadingOptions, output: Format) -> Job:
    """Return the job."""
    return Job(
        input=str(source.path).encode("utf-8", "backslashreplace").decode(),
        kind=source.kind,
        format=output,
        model=model.name,
        fingerprint=model.fingerprint,
        text=_text(options),
    )


def written_plan(job: Job, shards: Iterable[Shard]) -> bytes:
    """Return the plan as its file holds it: the job, then one shard a line."""
    values = (job.model_dump(mode="json"), *(shard.plain() for shard in shards))
    lines = (json.dumps(value, ensure_ascii=False) for value in values)
    # Paths that are no valid text hold lone surrogates, which JSON writes as escapes.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def read_plan(file: Path, job: Job) -> list[Shard]:
    """Return the shards of a plan.

    Raises:
        OptionError: The file cannot be read or is damaged, or is the plan of another job; the error says what differs.
    """
    try:
        first, *others = file.read_bytes().splitlines()
        planned = Job.model_validate_json(first)
        shards = [shard_from(read_json(line)) for line in others]
    except (OSError, ValueError, TypeError, KeyError) as error:
        problem = f"{file} is no plan of a batch ({' '.join(str(error).split())[:200]})"
        raise OptionError("output", f"{problem}; give another folder, or remove this one") from error
    _check(planned, job, file)
    return shards


def _check(planned: Job, asked: Job, file: Path) -> None:
    for name in Job.model_fields:
        was, now = getattr(planned, name), getattr(asked, name)
        if was != now:
            problem = f"{file.parent} holds results of another batch ({name}: {was!r}, now {now!r})"
            raise OptionError("output", f"{problem}; give another folder, or remove this one")


def _text(options: ReadingOptions) -> str:
    config = options.hpi_config
    if not options.use_hpip or (config.accuracy == "identical" and not config.forced and config.tuned is None):
        return _NORMAL_MODE
    telling: dict[str, Any] = config.model_dump(
        mode="json",
        include={"accuracy", "auto_config", "backend", "backend_config", "batching", "head", "precision", "tuned"},
    )
    return f"as configured ({hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()[:8]})"
