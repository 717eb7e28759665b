"""The configuration of high-performance mode, as users give it: a mapping, a YAML file, or nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from ocrhpi.backends.device import parse_device
from ocrhpi.config.objective import Accuracy, Goal
from ocrhpi.config.paddlex_options import backend_options
from ocrhpi.data_files import read_bounded
from ocrhpi.errors import OptionError, nearest
from ocrhpi.options import Options, Threads, parse_options
from ocrhpi.values import Batching, Head
from ocrhpi.yaml_files import read_yaml

_PATHS = ("cache_dir", "calibration_dir", "backend_configs", "tuned")
_QUESTION = ("objective", "max_latency_ms", "max_memory_mib", "accuracy", "cpu_threads")
_SPELLINGS = {"pdx_model_name": "model_name"}
_TUNED_FILE = re.compile(rb"^format\s*:", re.MULTILINE)


def _path(value: object) -> object:
    if (isinstance(value, str) and value) or isinstance(value, os.PathLike):
        path = Path(value).expanduser()
        if "\0" not in str(path):
            return path
    raise ValueError("expected the path of a file or folder")


Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]
AnyPath = Annotated[Path, PlainValidator(_path)]  # plain: pydantic takes no path of JSON after a validator


class HpiConfig(Options):
    """What a user wants of high-performance mode; `read_hpi_config` makes it and checks it as a whole.

    Attributes:
        auto_config: Measure and choose. False: run ``backend`` as ``backend_config`` says, without measuring.
        backend: Name in the registry. With ``auto_config`` only candidates of this backend, and normal mode, are tried.
        backend_config: Its options, in PaddleX's names or its own. With ``auto_config`` all its candidates get them.
        auto_paddle2onnx: Export Paddle models for the engines that run ONNX. False: only what is ONNX already.
        model_name: Official name of the model that this is for; ``pdx_model_name`` is the same.
        device_type: ``cpu``, ``gpu`` and the like; None takes that of the call.
        device_id: Number among the devices of that type.
        hpi_info: Accepted because PaddleX writes it, and not used: what it tells is measured here.
        objective: ``throughput``, lines per second, or ``latency``, milliseconds per line.
        max_latency_ms: Rules out candidates that take longer for one line per call.
        max_memory_mib: Rules out candidates whose process needs more memory.
        precision: Only candidates of this precision, beside normal mode; None takes all that the policy lets pass.
        accuracy: How equal the text must stay: ``identical``, ``no-loss``, or ``cer<=`` and a rate.
        cpu_threads: CPU threads of every engine; None takes the usable cores.
        tune: ``auto``: measure where no measurement that fits is cached: quickly, or thoroughly if ``budget_s`` is
            given. ``quick``: quickly there, whatever the budget. ``never``: run in normal mode there. ``always``:
            measure thoroughly even so.
        budget_s: Seconds that a thorough measurement may take.
        cache_dir: Where measurements are kept, as in `ocrhpi.cache.cache_root`.
        calibration_dir: Folder of the user's own lines, which the gate reads and whose widths count.
        backend_configs: Folder of option grids that replace the shipped ones.
        batching: Batching of a forced backend; None takes ``exact``.
        head: Head of a forced backend; None takes the backend's default.
        tuned: File of a finished tuning, made here or on an identical machine.
    """

    auto_config: bool = True
    backend: Name | None = None
    backend_config: dict[str, Any] | None = None
    auto_paddle2onnx: bool = True
    model_name: Name | None = None
    device_type: Name | None = None
    device_id: Annotated[int, Field(ge=0)] | None = None
    hpi_info: dict[str, Any] | None = None
    objective: Goal = "throughput"
    max_latency_ms: Positive | None = None
    max_memory_mib: Positive | None = None
    precision: Name | None = None
    accuracy: Accuracy = "identical"
    cpu_threads: Threads | None = None
    tune: Literal["auto", "quick", "never", "always"] = "auto"
    budget_s: Positive = 60.0
    cache_dir: AnyPath | None = None
    calibration_dir: AnyPath | None = None
    backend_configs: AnyPath | None = None
    batching: Batching | None = None
    head: Head | None = None
    tuned: AnyPath | None = None

    @property
    def forced(self) -> bool:
        """Whether ``backend`` is to run as it is configured, without measuring."""
        return not self.auto_config

    @property
    def thorough(self) -> bool:
        """Whether what is measured is to be measured thoroughly."""
        return self.tune == "always" or (self.tune == "auto" and "budget_s" in self.model_fields_set)

    @property
    def backend_options(self) -> dict[str, Any]:
        """``backend_config`` in the names of our backend."""
        return backend_options(self.backend, self.backend_config or {}) if self.backend else {}

    @property
    def device(self) -> str | None:
        """``device_type`` and ``device_id`` as one name, such as ``gpu:0``; None if neither is given."""
        if self.device_type is None:
            return None
        return str(parse_device(self.device_type if self.device_id is None else f"{self.device_type}:{self.device_id}"))

    def objective_options(self) -> dict[str, Any]:
        """Return what `ocrhpi.config.objective.Objective` takes."""
        return {
            "goal": self.objective,
            "max_latency_ms": self.max_latency_ms,
            "max_memory_mib": self.max_memory_mib,
            "accuracy": self.accuracy,
            "threads": self.cpu_threads,
        }


def read_hpi_config(given: Mapping[str, Any] | Path | str | None) -> HpiConfig:
    """Read the configuration of high-performance mode.

    Args:
        given: Keys and values; the path of a YAML file of these, in which relative paths start at its folder; the path
            of a file that a tuning made; or None for the defaults.

    Raises:
        OptionError: An unknown key, with the nearest known one, or a value or combination that does not fit; or a file
            that cannot be read. The error names the key and the file.
    """
    if given is None:
        return HpiConfig()
    if isinstance(given, Mapping):
        return _checked(given, "")
    if not isinstance(given, str | os.PathLike):
        raise OptionError(
            "hpi_config",
            f"received {type(given).__name__} {given!r:.60}; expected a mapping, the path of a YAML file, or None",
        )
    path = Path(given).expanduser()
    content = _read_file(path)
    if content is None:
        return HpiConfig(tuned=path)
    located = {key: _located(value, path.parent) if key in _PATHS else value for key, value in content.items()}
    return _checked(located, f" (in {path})")


def _read_file(path: Path) -> dict[Any, Any] | None:
    """Return what the file says, or None if it is the file of a tuning."""
    expected = "expected a YAML file of keys such as 'objective: latency', or a file that 'ocrhpi tune' made"
    try:
        text = read_bounded(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError("hpi_config", f"{path}: {reason}; {expected}") from error
    if _TUNED_FILE.search(text):
        return None
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise OptionError("hpi_config", f"{path}: no YAML: {error}; {expected}") from error
    if not isinstance(content, dict):
        raise OptionError("hpi_config", f"{path}: received {type(content).__name__} {content!r:.60}; {expected}")
    return None if "format" in content else content


def _located(value: object, folder: Path) -> object:
    """Return a path of a file with its start; what is no path is refused later."""
    return folder / Path(value).expanduser() if isinstance(value, str) and value else value


def _checked(given: Mapping[Any, Any], source: str) -> HpiConfig:
    config = _parsed(_one_spelling(given, source), source)
    for key, problem in _contradictions(config):
        raise OptionError(f"hpi_config.{key}", f"{problem}{source}")
    try:
        _ = config.device
    except OptionError as error:
        raise _within("device_type", error, source) from None
    try:
        _ = config.backend_options
    except OptionError as error:
        raise _within(f"backend_config.{error.name}", error, source) from None
    return config


def _one_spelling(given: Mapping[Any, Any], source: str) -> dict[Any, Any]:
    spelled: dict[Any, Any] = {}
    for key, value in given.items():
        name = _SPELLINGS.get(key, key)
        if name in spelled and spelled[name] != value:
            problem = f"received {spelled[name]!r} and, spelled otherwise, {value!r}; keep one of them{source}"
            raise OptionError(f"hpi_config.{name}", problem)
        spelled[name] = value
    return spelled


def _parsed(given: Mapping[Any, Any], source: str) -> HpiConfig:
    for key in given:
        if key not in HpiConfig.model_fields:
            known = sorted(HpiConfig.model_fields)
            problem = f"unknown{source}; known keys are {', '.join(known)}.{nearest(str(key), known)}"
            raise OptionError(f"hpi_config.{key}", problem)
    try:
        return parse_options(HpiConfig, given)
    except OptionError as error:
        raise _within(error.name, error, source) from None


def _within(key: str, error: OptionError, source: str) -> OptionError:
    """Return the error of one option as an error of the whole configuration."""
    problem = str(error).removeprefix(f"option {error.name!r}: ").replace("value error, ", "")
    return OptionError(f"hpi_config.{key}", f"{problem.removesuffix('.')}{source}")


def _contradictions(config: HpiConfig) -> Iterator[tuple[str, str]]:
    """Yield each key that does not go with the others, and why."""
    if config.backend is None:
        if config.forced:
            yield "auto_config", "received false, which needs the backend to run; leave it out to choose by measuring"
        if config.backend_config is not None:
            yield "backend_config", "given without the backend that these options are for"
    if config.device_id is not None and config.device_type is None:
        yield "device_id", "given without device_type; expected, say, device_type: gpu"
    if not config.forced:
        for key in ("batching", "head"):
            if getattr(config, key) is not None:
                yield key, "is measured, unless a backend is forced; add auto_config: false and the backend"
    if config.tuned is not None:
        yield from _contradictions_of_tuned(config)


def _contradictions_of_tuned(config: HpiConfig) -> Iterator[tuple[str, str]]:
    if config.forced:
        yield "tuned", "given together with auto_config: false; both say what to run, so keep one of them"
    for key in _QUESTION:
        if key in config.model_fields_set:
            yield key, f"given together with tuned, but {config.tuned} answers its own question; leave it out"
