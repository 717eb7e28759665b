"""Engines on disk, under a key that names all that they depend on, and the timings of earlier builds beside them.

`load_engine` takes an engine from there, or builds it once and keeps it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.trt.build import build_engine, typing_of
from ocrhpi.backends.trt.names import NAME, shared_log
from ocrhpi.cache import cache_root, fall_back
from ocrhpi.data_files import read_bounded, read_json
from ocrhpi.errors import BackendError
from ocrhpi.files import locked, sha256_of, told_as_output, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ocrhpi.backends.trt.build import BuildSettings
    from ocrhpi.backends.trt.gpu import Gpu
    from ocrhpi.backends.trt.names import Engine, TensorRt

FORMAT = 1
"""Part of every key; to be raised when engines are built differently."""

_log = logging.getLogger("ocrhpi.tensorrt")


def engine_key(trt: TensorRt, gpu: Gpu, file: Path, settings: BuildSettings) -> dict[str, Any]:
    """Return all that an engine depends on, as plain values. How long its build may take is no part of it."""
    builder = {name: value for name, value in asdict(settings).items() if name not in {"seconds", "profiles"}}
    return {
        "format": FORMAT,
        "onnx_sha256": sha256_of(file),
        "profiles": [str(profile) for profile in settings.profiles],
        **builder,
        "typing": typing_of(trt),
        "tensorrt": str(trt.__version__),
        "compute_capability": gpu.compute_capability,
        "gpu": gpu.name,
        "multiprocessors": gpu.multiprocessors,
        "system": f"{platform.system()} {platform.machine()}",
    }


@dataclass(frozen=True)
class StoredEngine:
    """An engine that was kept.

    Attributes:
        engine: The serialised engine.
        seconds: How long its build took.
    """

    engine: bytes
    seconds: float


class EngineCache:
    """The files of one engine: the engine, its key as JSON, and the timings that all engines of this GPU share.

    Args:
        key: See `engine_key`.
        label: Begins the file names, for people.
    """

    def __init__(self, key: Mapping[str, Any], label: str) -> None:
        self._key = dict(key)
        machine = f"{key['gpu']}-sm{key['compute_capability']}-{key['multiprocessors']}mp-tensorrt-{key['tensorrt']}"
        self._root = cache_root()
        self._folder = f"tensorrt/{_file_name(machine)}"
        digest = hashlib.sha256(json.dumps(self._key, sort_keys=True).encode()).hexdigest()
        self._stem = f"{_file_name(label)}-{digest[:16]}"

    @property
    def directory(self) -> Path:
        """The folder of all engines of this GPU, in the cache, or in a temporary one if that cannot be written to."""
        return self._root / self._folder

    @property
    def engine_file(self) -> Path:
        """The serialised engine."""
        return self.directory / f"{self._stem}.engine"

    @property
    def key_file(self) -> Path:
        """Its key."""
        return self.directory / f"{self._stem}.json"

    @property
    def timings_file(self) -> Path:
        """The timings that all engines of this GPU share."""
        return self.directory / "timings.cache"

    def read(self) -> tuple[StoredEngine | None, str]:
        """Return the engine, or None and why there is none; an empty reason if none was ever kept."""
        try:
            record = read_json(read_bounded(self.key_file))
            engine = self.engine_file.read_bytes()
            if record["key"] != self._key:
                return None, "its key is another one"
            if record["engine_sha256"] != hashlib.sha256(engine).hexdigest():
                return None, "it is damaged"
            return StoredEngine(engine, float(record["build_seconds"])), ""
        except FileNotFoundError:
            return None, ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            return None, f"{type(error).__name__}: {error}"

    def store(self, engine: bytes, seconds: float) -> str:
        """Keep a new engine; return why that failed, or an empty text."""
        record = {
            "key": self._key,
            "engine_sha256": hashlib.sha256(engine).hexdigest(),
            "build_seconds": round(seconds, 1),
        }
        try:
            write_atomically(self.engine_file, engine)
            write_atomically(self.key_file, json.dumps(record, indent=2))
        except OSError as error:
            return f"the engine could not be kept, and will be built again: {error}"
        return ""

    def read_timings(self) -> bytes:
        """Return the timing cache of earlier builds; empty if there is none."""
        try:
            return self.timings_file.read_bytes()
        except OSError:  # timings only save time
            return b""

    def store_timings(self, timings: bytes) -> None:
        """Keep the timing cache of a build."""
        try:
            write_atomically(self.timings_file, timings)
        except OSError as error:
            _log.warning("TensorRT's timings could not be kept: %s", error)

    @contextmanager
    def building(self, seconds: float | None) -> Iterator[None]:
        """Be the only process that builds for this GPU: builds measure, and disturb each other.

        Where the cache cannot be written to, a temporary folder takes its place, and a warning says so.

        Args:
            seconds: How long to wait for another process; None: as long as it takes.

        Raises:
            BackendError: The other process took too long.
            OutputError: There is no folder to build in.
        """
        with ExitStack() as stack:
            try:
                self._enter(stack, seconds)
            except TimeoutError as error:
                problem = f"another process has been building for this GPU for {seconds:g} s; try again when it is done"
                raise BackendError(NAME, problem) from error
            except OSError as error:
                self._root = fall_back(self._root, error.strerror or str(error))
                with told_as_output(self.directory):
                    self._enter(stack, seconds)
            yield

    def _enter(self, stack: ExitStack, seconds: float | None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(self.directory / ".lock", seconds))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


@dataclass(frozen=True)
class LoadedEngine:
    """An engine on the GPU.

    Attributes:
        engine: The engine; it keeps its runtime alive.
        cached: Whether it was built before.
        build_seconds: How long its build took, then or now.
        notes: What went wrong on the way, as sentences.
    """

    engine: Engine
    cached: bool
    build_seconds: float
    notes: tuple[str, ...] = ()


def load_engine(trt: TensorRt, gpu: Gpu, file: Path, settings: BuildSettings, label: str) -> LoadedEngine:
    """Return the engine of the ONNX file ``file``; the context of ``gpu`` is current.

    Args:
        trt: The module ``tensorrt``.
        gpu: Where it is to run.
        file: The graph.
        settings: What the engine is for.
        label: Name of the model, for the names of files.

    Raises:
        BackendError: It cannot be built, or not kept.
    """
    cache = EngineCache(engine_key(trt, gpu, file, settings), f"{label}-{file.stem}")
    loaded, _ = _from_cache(trt, cache)
    if loaded is not None:
        return loaded
    with cache.building(settings.seconds):
        loaded, reason = _from_cache(trt, cache)  # another process may have built it meanwhile
        if loaded is not None:
            return loaded
        if reason:
            _log.warning("TensorRT engine %s is built again: %s", cache.engine_file, reason)
        built = build_engine(trt, file, settings, cache.read_timings(), cache.store_timings)
        problem = cache.store(built.engine, built.seconds)
    engine, reason = _deserialise(trt, built.engine)
    if engine is None:
        raise BackendError(NAME, f"TensorRT does not take the engine that it built: {reason}")
    return LoadedEngine(engine, cached=False, build_seconds=built.seconds, notes=(problem,) if problem else ())


def _from_cache(trt: TensorRt, cache: EngineCache) -> tuple[LoadedEngine | None, str]:
    """Return the engine that is kept, or None and why there is none that can be used."""
    stored, reason = cache.read()
    if stored is None:
        return None, reason
    engine, reason = _deserialise(trt, stored.engine)
    if engine is None:
        return None, f"TensorRT does not take it: {reason}"
    return LoadedEngine(engine, cached=True, build_seconds=stored.seconds), ""


def _deserialise(trt: TensorRt, serialised: bytes) -> tuple[Engine | None, str]:
    log = shared_log(trt)
    mark = log.mark()
    engine = trt.Runtime(log).deserialize_cuda_engine(serialised)
    return engine, "" if engine is not None else log.errors_since(mark) or "it gives no reason"
