"""The builder of the fake TensorRT: an engine is its settings and its ONNX graph."""

from __future__ import annotations

import json
from typing import Any

MAGIC = b"fake engine\n"
_SINCE = {
    "builder_optimization_level": (8, 6),
    "hardware_compatibility_level": (8, 6),
    "progress_monitor": (10, 0),
}


def add_builder(trt: Any, state: Any, number: tuple[int, ...]) -> None:  # noqa: C901 - one module in one function
    class IOptimizationProfile:
        def __init__(self) -> None:
            self._shapes: dict[str, tuple[Any, ...]] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002 - the real names
            if any(low > high for low, high in zip(min, max, strict=True)):
                raise ValueError("Shape provided for min is inconsistent with other shapes.")
            self._shapes[input] = (tuple(min), tuple(opt), tuple(max))

    class ITimingCache:
        def __init__(self, content: bytes) -> None:
            self._content = content

        def serialize(self) -> bytes:
            return self._content

    class IBuilderConfig:
        profiling_verbosity: Any = None

        def __init__(self) -> None:
            self._flags = {"TF32"}
            self._previews: set[str] = set()
            self._pools: dict[str, int] = {}
            self._profiles: list[dict[str, Any]] = []
            self._timings = ITimingCache(b"")

        def __setattr__(self, name: str, value: Any) -> None:
            if not name.startswith("_") and not hasattr(type(self), name):
                raise AttributeError(name)
            super().__setattr__(name, value)

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(flag.name)

        def set_flag(self, flag: Any) -> None:
            self._flags.add(flag.name)

        def set_preview_feature(self, feature: Any, enable: bool) -> None:
            assert enable
            self._previews.add(feature.name)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._pools[pool.name] = pool_size

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            self._profiles.append(profile._shapes)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
            damaged = serialized_timing_cache.startswith(b"damaged")
            return None if damaged else ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            if cache._content.startswith(b"foreign"):
                return False
            self._timings = cache
            return True

        def get_timing_cache(self) -> ITimingCache:
            return self._timings

    for name, since in _SINCE.items():
        if number >= since:
            setattr(IBuilderConfig, name, None)

    class Builder:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def create_network(self, flags: int = 0) -> Any:
            return trt.INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            timings, config._timings._content = config._timings._content, b"timings"
            state.builds.append({"config": config, "network": network, "timings": timings})
            if state.build_error:
                self._logger.log(trt.ILogger.ERROR, state.build_error)
                return None
            if not self._report(getattr(config, "progress_monitor", None)):
                return None
            detailed = config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
            plan = {
                "version": trt.__version__,
                "profiles": config._profiles,
                "layers": [_describe(trt, layer, network, config) if detailed else "name" for layer in network._layers],
                "sharing": number >= (10, 0) or "PROFILE_SHARING_0806" in config._previews,
            }
            serialised: bytes = MAGIC + json.dumps(plan).encode() + b"\n" + network._model.SerializeToString()
            return serialised

        def _report(self, monitor: Any) -> bool:
            if monitor is None:
                return True
            monitor.phase_start("Building Engine", None, state.steps)
            for step in range(state.steps):
                state.on_step()
                if not monitor.step_complete("Building Engine", step):
                    return False
            monitor.phase_finish("Building Engine")
            return True

    for kind in (IOptimizationProfile, ITimingCache, IBuilderConfig, Builder):
        setattr(trt, kind.__name__, kind)


def _describe(trt: Any, layer: Any, network: Any, config: Any) -> dict[str, Any]:
    """Return what the inspector tells of a layer, in the words of its version."""
    floats = [tensor for tensor in (*layer._inputs, *layer._outputs) if tensor.dtype.name in {"FLOAT", "HALF"}]
    half = _in_half(trt, layer, network, config, floats) and not trt._state.ignore_types
    kind = ("Half" if half else "Float") if floats else "Int32"
    if trt._number >= (11, 0):
        tensor = {"Name": "t", "DataType": kind, "Format": "Row major linear"}
    else:
        words = {"Half": "Channel major FP16 format where channel % 8 == 0", "Float": "Row major linear FP32"}
        tensor = {"Name": "t", "Format/Datatype": words.get(kind, kind)}
    told = {"CONVOLUTION": "CaskConvolution", "CAST": "Reformat", "IDENTITY": "Reformat"}
    return {
        "Name": layer.name,
        "LayerType": told.get(layer.type.name, "kgen"),
        "Inputs": [tensor],
        "Outputs": [tensor],
    }


def _in_half(trt: Any, layer: Any, network: Any, config: Any, floats: list[Any]) -> bool:
    """Decide on the precision as TensorRT does: by the types, or as it likes within the constraints."""
    if trt._number >= (11, 0) or "STRONGLY_TYPED" in network._flags:
        return bool(floats) and bool(floats[0].dtype.name == "HALF")
    if "FP16" not in config._flags:
        return False
    obeys = layer.precision is not None and "OBEY_PRECISION_CONSTRAINTS" in config._flags
    return bool(layer.precision == trt.DataType.HALF) if obeys else True
