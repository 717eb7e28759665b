"""PaddleX's spellings of engine options, translated into the options of our backends.

PaddleX has one set of keys for each engine, and PaddleOCR's facade has a third of them again as keywords. What has no
counterpart here is refused with the reason; PaddleX itself drops the keys it does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ocrhpi.backends.registry import spec_of
from ocrhpi.errors import OptionError, nearest
from ocrhpi.options import Options, Threads, parse_options

if TYPE_CHECKING:
    from collections.abc import Mapping

PositiveInt = Annotated[int, Field(ge=1)]

# PaddleOCR's enable_mkldnn=True also runs plain where oneDNN cannot; strict oneDNN is the backend's True.
_RUN_MODES: dict[str, bool | str] = {"paddle": False, "paddle_fp32": False, "mkldnn": "auto"}
_OTHER_RUN_MODES = ("paddle_fp16", "trt_fp32", "trt_fp16", "trt_int8", "mkldnn_bf16")
_SWITCHES_WITHOUT_COUNTERPART = ("enable_cinn", "delete_pass")


class _PaddleStatic(Options):
    """The keys of PaddleX's ``paddle_static`` engine configuration that mean something in Paddle's FP32."""

    run_mode: str | None = None
    cpu_threads: Threads | None = None
    mkldnn_cache_capacity: PositiveInt | None = None
    enable_new_ir: bool | None = None
    enable_new_executor: bool | None = None


def paddle_options(
    engine_config: Mapping[str, Any] | None,
    *,
    enable_mkldnn: bool | None = None,
    cpu_threads: int | None = None,
    mkldnn_cache_capacity: int | None = None,
) -> dict[str, Any]:
    """Translate the keywords of PaddleOCR's facade into options of the backend ``paddle``.

    Args:
        engine_config: PaddleX's keys, flat or in a bucket ``paddle_static``; they win over the keywords.
        enable_mkldnn: False for plain Paddle.
        cpu_threads: CPU threads.
        mkldnn_cache_capacity: Input shapes whose oneDNN primitives are kept.

    Raises:
        OptionError: A key is unknown or does not fit.
    """
    keywords = {
        "onednn": False if enable_mkldnn is False else "auto",
        "threads": cpu_threads,
        "onednn_cache_capacity": mkldnn_cache_capacity,
    }
    given = {name: value for name, value in keywords.items() if value is not None}
    return {**given, **_paddle_translated(_bucket("paddle_static", engine_config))}


def engine_options(engine: str, engine_config: Mapping[str, Any] | None, cpu_threads: int | None) -> dict[str, Any]:
    """Return the options of another engine: its own, flat or in a bucket of its name, and the facade's thread count.

    Raises:
        OptionError: The bucket is no mapping.
    """
    spec = spec_of(engine)
    option = (spec and spec.threads_option) or "threads"  # an engine that does not know it says so itself
    threads = {} if cpu_threads is None else {option: cpu_threads}
    return {**threads, **_bucket(engine, engine_config)}


def backend_options(backend: str, backend_config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate PaddleX's ``backend_config`` into options of our backend; our own names pass as they are.

    The backend itself checks what comes out, so names that neither PaddleX nor the backend has are refused there.

    Args:
        backend: Name of the backend; of one that PaddleX does not have everything passes.
        backend_config: Keys of PaddleX or of the backend.

    Raises:
        OptionError: A key has no counterpart, does not fit, or is given in both spellings.
    """
    names = _names_of(backend)
    _refuse_doubles(names, backend_config)
    theirs = {name: value for name, value in backend_config.items() if name in names}
    ours = {name: value for name, value in backend_config.items() if name not in names}
    if backend == "paddle":
        return {**_paddle_translated(theirs), **_without_counterpart(ours)}
    return {**{names[name]: value for name, value in theirs.items()}, **ours}


def _names_of(backend: str) -> Mapping[str, str]:
    """Return PaddleX's names of the backend's options -> ours."""
    spec = spec_of(backend)
    return {} if spec is None else spec.paddlex_names


def _bucket(engine: str, engine_config: Mapping[str, Any] | None) -> dict[str, Any]:
    """PaddleOCR takes the keys flat or in a bucket named after the engine."""
    flat = dict(engine_config or {})
    bucket = flat.get(engine, flat)
    if not isinstance(bucket, dict):
        raise OptionError(f"engine_config.{engine}", f"received {bucket!r}; expected a mapping")
    return bucket


def _paddle_translated(config: Mapping[str, Any]) -> dict[str, Any]:
    given = parse_options(_PaddleStatic, config).model_dump(exclude_none=True)
    if "run_mode" in given:
        given["run_mode"] = _onednn_of(given["run_mode"])
    names = _names_of("paddle")
    return {names[name]: value for name, value in given.items()}


def _onednn_of(run_mode: str) -> bool | str:
    if run_mode in _RUN_MODES:
        return _RUN_MODES[run_mode]
    possible = f"received {run_mode!r}; the backend 'paddle' runs {', '.join(_RUN_MODES)}"
    if run_mode in _OTHER_RUN_MODES:
        raise OptionError(
            "run_mode",
            f"{possible}: FP32, since it is what the others are compared with. For a lower precision choose a "
            "backend that has it, such as openvino with precision: bf16, or leave the choice to tuning",
        )
    raise OptionError("run_mode", f"{possible}.{nearest(run_mode, _RUN_MODES)}")


def _without_counterpart(config: Mapping[str, Any]) -> dict[str, Any]:
    """Drop PaddleX's switches for what the backend ``paddle`` does not do; refuse them where they are on."""
    kept = {}
    for name, value in config.items():
        if not (name in _SWITCHES_WITHOUT_COUNTERPART or name.startswith("trt_")):
            kept[name] = value
        elif value:
            raise OptionError(
                name,
                f"received {value!r}; the backend 'paddle' runs without TensorRT and CINN and with all of Paddle's "
                "passes. Leave it out",
            )
    return kept


def _refuse_doubles(names: Mapping[str, str], config: Mapping[str, Any]) -> None:
    for theirs, ours in names.items():
        if theirs in config and ours in config:
            raise OptionError(theirs, f"given together with {ours!r}, which is the same option; keep one of them")
