"""The engine of a graph: from the cache, or built once and kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.backends.trt.build import build_engine
from ocrhpi.backends.trt.engine_cache import EngineCache, engine_key
from ocrhpi.backends.trt.log import shared_log
from ocrhpi.backends.trt.names import NAME
from ocrhpi.errors import BackendError

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.backends.trt.build import BuildSettings
    from ocrhpi.backends.trt.gpu import Gpu
    from ocrhpi.backends.trt.names import Engine, TensorRt

_log = logging.getLogger("ocrhpi.tensorrt")


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
