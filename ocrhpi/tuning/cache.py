"""Tuning, step 5: the store of tunings. One YAML file each, which a person can read and a machine can trust.

A caller looks with `find`; without a fitting tuning it takes the `lock`, looks again, since another process may have
tuned meanwhile, and only then measures and calls `save`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import yaml
from pydantic import AliasChoices, Field, ValidationError, model_validator

from ocrhpi.cache import cache_root, spare_place, spared
from ocrhpi.config.objective import Objective
from ocrhpi.data_files import read_bounded
from ocrhpi.errors import OptionError
from ocrhpi.files import locked, told_as_output, write_atomically
from ocrhpi.options import Options, OptionsT
from ocrhpi.tuning.choose import Choice
from ocrhpi.tuning.key import differences
from ocrhpi.tuning.rows import Row
from ocrhpi.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.model import Model

FORMAT: Final = "ocrhpi-hpi-config-2"

_log = logging.getLogger("ocrhpi")

_HEADER = """\
# What ocrhpi measured on one machine for one model, and what it chose there.
# `ocrhpi explain FILE` says why. Times in `samples` are milliseconds per line, one a round. Delete the file to
# measure anew.
"""
_FOLDER = "hpi"
_LINE_LENGTH = 120
_DIGITS = 4
_SAY_WAITING_AFTER_S = 1.0
_MAX_ATTEMPTS = 3  # after which a kill or a hang is taken for the candidate's own fault; a full disk never is


class TunedModel(Options):
    """The model of a tuning.

    Attributes:
        name: Its name.
        fingerprint: `ocrhpi.model.Model.fingerprint`.
        path: Where it was when it was measured.
    """

    name: str
    fingerprint: str
    path: str

    @classmethod
    def of(cls, model: Model) -> TunedModel:
        """Return what is kept of a model."""
        return cls(name=model.name, fingerprint=model.fingerprint, path=_absolute(model.path))


class Tuning(Options):
    """One tuning, as its file holds it.

    Attributes:
        format: Kind and version of the file.
        created: When it was made, in ISO 8601.
        model: What was measured.
        objective: What the choice was made by; files call it ``question``.
        key: Everything that makes the tuning wrong when it changes, see `ocrhpi.tuning.key.key_of`.
        quick: Whether few candidates were measured, on few lines.
        attempt: Number of this tuning of those in a row that rest on faults that may pass.
        choice: Which row is run, and why.
        seconds: Wall time that it took.
        load: Average number of busy processes in the minute before it and in its last; None if it is unknown.
        rows: What was found out about each candidate.
    """

    format: Literal["ocrhpi-hpi-config-2"] = FORMAT
    created: str
    model: TunedModel
    objective: Annotated[
        Objective,
        Field(validation_alias=AliasChoices("objective", "question"), serialization_alias="question"),
    ]
    key: dict[str, Any]
    quick: bool = False
    attempt: int = 1
    choice: Choice
    seconds: float
    load: tuple[float, float] | None = None
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    @property
    def setups(self) -> list[ExecutionPlan]:
        """What may run, best first: the winner, and what to fall back to."""
        return [self.rows[number].candidate for number in self.choice.order]

    @property
    def passing(self) -> tuple[Row, ...]:
        """Rows that failed in a way that may be gone the next time, and without which another one might have won.

        What takes too long mostly does so again; it counts where nothing was found that beats normal mode.
        """
        normal = self.rows[self.choice.winner].baseline
        return tuple(row for row in self.rows if row.passing and (normal or row.passing != "time"))

    @property
    def provisional(self) -> bool:
        """Whether it is to be measured again: not for ever, if what failed fails each time."""
        return bool(self.passing) and (
            self.attempt < _MAX_ATTEMPTS or any(row.passing == "disk" for row in self.passing)
        )

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        """Refuse a file, perhaps edited by hand, whose choice points at rows that are not there."""
        relaxed = self.choice.next_policy
        for number in (self.choice.winner, *self.choice.order, *((relaxed.row,) if relaxed else ())):
            if not 0 <= number < len(self.rows):
                raise ValueError(f"the choice names row {number} of {len(self.rows)}, counted from 0")
        if len(self.choice.ratios) != len(self.rows):
            raise ValueError(f"the choice has {len(self.choice.ratios)} ratios for {len(self.rows)} rows")
        return self


@dataclass(frozen=True)
class Found:
    """What the store has.

    Attributes:
        path: Where the tuning is, or where it is to be saved.
        tuning: The tuning, if there is one whose key fits.
        stale: Why what is there does not fit, one sentence each; empty if there is nothing at all.
    """

    path: Path
    tuning: Tuning | None = None
    stale: tuple[str, ...] = ()


def cache_path(
    model: Model,
    objective: Objective,
    device: str | None = None,
    calibration: Path | str | None = None,
    *,
    limits: Mapping[str, Any] | None = None,
    cache_dir: Path | str | None = None,
) -> Path:
    """Return where the tuning of ``model`` for this question is kept.

    Args:
        model: The model.
        objective: What is asked.
        device: Device asked for.
        calibration: Folder of the user's own lines.
        limits: What else the user said about which candidates are tried: plain values, paths as they were given.
        cache_dir: As in `ocrhpi.cache.cache_root`.
    """
    folder = None if calibration is None else _absolute(calibration)
    asked = json.dumps(
        [objective.model_dump(mode="json"), device, folder, dict(limits or {})],
        default=str,
    )
    digest = hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()
    return cache_root(cache_dir) / _FOLDER / f"{model.file_name}-{model.fingerprint[:16]}-{digest[:8]}.yml"


def find(path: Path, key: Mapping[str, Any], model_path: Path | str) -> Found:
    """Look for a tuning that fits; whatever is wrong with a file, it is no error but a reason.

    Args:
        path: From `cache_path`.
        key: From `ocrhpi.tuning.key.key_of`.
        model_path: Where the model is. If its weights changed, the tuning of the old ones is under another name; it is
            found by this, and named as the reason.
    """
    try:
        tuning = _load(spared(f"{_FOLDER}/{path.name}") or path)
    except FileNotFoundError:
        return Found(path, stale=_tuned_before(path, key, model_path))
    except (OSError, ValueError) as error:
        return Found(path, stale=(f"{path}: {_reason(error)}",))
    changed = tuple(differences(tuning.key, key))
    return Found(path, stale=changed) if changed else Found(path, tuning)


def read_tuning(path: Path | str) -> Tuning:
    """Read the file of a tuning.

    Raises:
        OptionError: It is missing, or not such a file, or damaged; the error says what is wrong.
    """
    try:
        return _load(Path(path).expanduser())
    except (OSError, ValueError) as error:
        problem = f"{path}: {_reason(error)}; expected a file that 'ocrhpi tune' or use_hpip=True made"
        raise OptionError("hpi_config", problem) from error


def save(tuning: Tuning, path: Path) -> bool:
    """Write the tuning as a whole or not at all; numbers that were measured are rounded to four digits.

    A quick one does not take the place of a thorough one that holds, nor one that rests on passing faults that of one
    that does not. A directory that cannot be written to, or is full, costs no tuning: one warning is logged, and those
    that this process starts find it all the same.

    Returns:
        Whether it was written.
    """
    better = _better_kept(tuning, path)
    if better:
        _log.info("what was measured %s is kept in %s", better, path)
        return False
    try:
        _write(tuning, path)
    except (OSError, ValueError) as error:  # ValueError: a path that is no text
        _log.warning("the tuning could not be kept, so it will be made again: %s: %s", path, _reason(error))
        with suppress(OSError, ValueError):
            _write(tuning, spare_place(f"{_FOLDER}/{path.name}"))
        return False
    return True


def _better_kept(tuning: Tuning, path: Path) -> str:
    """Return in what the tuning that is kept is better than a new one; empty if it is to be replaced."""
    kept = find(path, tuning.key, tuning.model.path).tuning if tuning.quick or tuning.provisional else None
    if kept is None or kept.provisional:
        return ""
    if tuning.quick and not kept.quick:
        return "thoroughly"
    return "without such faults" if tuning.provisional and tuning.quick >= kept.quick else ""


def write_tuning(tuning: Tuning, path: Path) -> None:
    """Write the tuning where a user wants it, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with told_as_output(path):
        _write(tuning, path)


def rounded_rows(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows as they come back from a file, so that a choice among them can be made again from it."""
    return tuple(_parsed(Row, _row_content(row)) for row in rows)


@contextmanager
def lock(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Let one process at a time tune for ``path``; the others wait until it is done, or gone.

    The operating system frees the lock of a process that was killed. Where no lock can be made, as in a directory that
    cannot be written to, there is none to wait for.

    Args:
        path: From `cache_path`.
        waiting: Called once if it takes longer than a second; None logs a warning.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _enter(stack, path, waiting)
        except OSError as error:
            _log.debug("%s: no lock: %s", path, error)
        yield


def _enter(stack: ExitStack, path: Path, waiting: Callable[[], None] | None) -> None:
    file = path.with_name(path.name + ".lock")
    try:
        stack.enter_context(locked(file, _SAY_WAITING_AFTER_S))
    except TimeoutError:
        if waiting is None:
            _log.warning("another process is measuring this model; waiting for it (%s)", path)
        else:
            waiting()
        stack.enter_context(locked(file))


def _tuned_before(path: Path, key: Mapping[str, Any], model_path: Path | str) -> tuple[str, ...]:
    """Say what changed since the newest tuning of other weights at the same place, for the same question."""
    parts = path.stem.rsplit("-", 2)  # name, fingerprint and question, as `place_of` puts them together
    place = _absolute(model_path)
    before: list[Tuning] = []
    for other in path.parent.glob(f"{glob.escape(parts[0])}-*-{parts[-1]}{path.suffix}"):
        with suppress(OSError, ValueError):
            before.append(_load(other))
    same_place = [tuning for tuning in before if tuning.model.path == place]
    newest = max(same_place, key=lambda tuning: tuning.created, default=None)
    return () if newest is None else tuple(differences(newest.key, key))


def _load(path: Path) -> Tuning:
    """Read a tuning; raise OSError if there is none, and ValueError if it is damaged, each with the reason."""
    text = read_bounded(path)
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise ValueError(f"no YAML: {error}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError("not the file of a tuning")
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r:.60}, and this version of ocrhpi reads {FORMAT!r}")
    return _parsed(Tuning, content)


def _parsed(kind: type[OptionsT], content: dict[str, Any]) -> OptionsT:
    # By way of JSON, since there a list is a tuple and everything else is as strict as it is in Python.
    try:
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"damaged at {place or 'the top'}: {fault['msg'].removeprefix('Value error, ')}") from None
    except (TypeError, RecursionError) as error:  # keys that are lists; nesting without end
        raise ValueError(f"damaged: {_reason(error)}") from error


def _as_yaml(tuning: Tuning) -> str:
    content = tuning.model_dump(mode="json", exclude={"rows"}, by_alias=True)
    for name in ("choice", "seconds", "load"):  # not the question or the key, which must come back as they are
        content[name] = _rounded(content[name])
    content["rows"] = [_row_content(row) for row in tuning.rows]
    return str(
        yaml.dump(
            content,
            Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
            default_flow_style=None,  # what holds no lists or mappings stands on one line
            sort_keys=False,
            allow_unicode=True,
            width=_LINE_LENGTH,
        )
    )


def _row_content(row: Row) -> dict[str, Any]:
    content: dict[str, Any] = _rounded(row.model_dump(mode="json", exclude_defaults=True))
    content["candidate"] = row.candidate.model_dump(mode="json")  # was set, not measured
    return content


def _rounded(value: object) -> Any:  # noqa: ANN401 - as what it is given
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value


def _write(tuning: Tuning, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _HEADER + _as_yaml(tuning))


def _absolute(path: Path | str) -> str:
    return str(Path(path).expanduser().absolute())


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
