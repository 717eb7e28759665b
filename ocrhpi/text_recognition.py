"""The PaddleOCR-compatible door: `TextRecognition`, thin over `ocrhpi.loader`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ocrhpi.errors import FeatureUnavailable, OptionError
from ocrhpi.loader import NORMAL_MODE, load_predictor
from ocrhpi.options import Options, parse_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.backends.base import Effective
    from ocrhpi.predictor import OnError
    from ocrhpi.recognition.inputs import Input
    from ocrhpi.results import TextRecResult

__all__ = ["DEFAULT_MODEL_NAME", "TextRecognition"]

DEFAULT_MODEL_NAME = "PP-OCRv6_medium_rec"  # PaddleOCR 3.7's default

_log = logging.getLogger("ocrhpi")

PositiveInt = Annotated[int, Field(ge=1)]


class _DoorOptions(Options):
    """Keyword options of `TextRecognition`, spelled as in PaddleOCR 3.7."""

    enable_hpi: bool | None = None
    engine: Literal["paddle", "paddle_static", "onnxruntime", "openvino"] | None = None
    engine_config: dict[str, Any] | None = None
    use_tensorrt: bool = False
    precision: Literal["fp32", "fp16"] = "fp32"
    enable_mkldnn: bool | None = None
    mkldnn_cache_capacity: PositiveInt | None = None
    cpu_threads: PositiveInt | None = None
    enable_cinn: bool = False
    input_shape: Annotated[tuple[int, int, int], Field(strict=False)] | None = None
    return_word_box: bool = False


class _PaddleStaticConfig(Options):
    """The keys of PaddleX's ``paddle_static`` engine configuration that mean something in normal mode."""

    run_mode: Literal["paddle", "paddle_fp32", "mkldnn"] | None = None
    cpu_threads: PositiveInt | None = None
    mkldnn_cache_capacity: PositiveInt | None = None
    enable_new_ir: bool | None = None
    enable_new_executor: bool | None = None


class TextRecognition:
    """Text line recognition with PaddleOCR models.

    The calls and options are PaddleOCR's. A context manager: leaving closes the engine.

    Args:
        model_name: Official model name, fetched on first use; default `DEFAULT_MODEL_NAME`.
        model_dir: Directory of an exported model of your own, or a bare ONNX file.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None takes a GPU if Paddle has one, else the CPU.
        use_hpip: High-performance mode. ``enable_hpi`` is the same.
        hpi_config: Configuration of high-performance mode.
        **options: ``enable_mkldnn``, ``mkldnn_cache_capacity``, ``cpu_threads`` (default: the usable cores),
            ``input_shape`` (3, H, W), ``return_word_box``, ``engine`` (``paddle`` or ``paddle_static``: normal mode;
            ``onnxruntime`` or ``openvino``: that engine, on a model that is exported on first use),
            ``engine_config``, ``precision``, ``use_tensorrt``, ``enable_cinn``.

    Raises:
        OptionError: An option is unknown (with the nearest name) or does not fit.
        FeatureUnavailable: High-performance mode was asked for; it arrives with tuning.
        OcrhpiError: The model cannot be found or fetched, or the engine cannot run it.
    """

    def __init__(
        self,
        model_name: str | None = None,
        model_dir: Path | str | None = None,
        device: str | None = None,
        use_hpip: bool = False,  # noqa: FBT001, FBT002 - the peer's signature
        hpi_config: Mapping[str, Any] | Path | str | None = None,
        **options: Any,  # noqa: ANN401 - validated by _DoorOptions
    ) -> None:
        given = parse_options(_DoorOptions, options)
        _refuse_high_performance(use_hpip or bool(given.enable_hpi), hpi_config)
        _warn_of_idle_options(given)
        if model_name is None and model_dir is None:
            model_name = DEFAULT_MODEL_NAME
        self._return_word_box = given.return_word_box
        normal = given.engine in {None, "paddle", "paddle_static"}
        self._predictor = load_predictor(
            model_name,
            model_dir,
            backend=NORMAL_MODE if normal or given.engine is None else given.engine,
            device=device,
            backend_options=_paddle_options(given) if normal else _engine_options(given),
            input_shape=given.input_shape,
        )

    @property
    def effective(self) -> Effective:
        """What really runs: engine version, device, precision, threads, settings, and deviations with reasons."""
        return self._predictor.backend.effective

    def predict(
        self,
        input: Input,  # noqa: A002 - the peer's name
        batch_size: int = 1,
        *,
        on_error: OnError = "raise",
        return_word_box: bool | None = None,
    ) -> list[TextRecResult]:
        """Read everything in ``input`` and return the results in input order.

        Arguments and errors are those of `predict_iter`.
        """
        return list(self.predict_iter(input, batch_size, on_error=on_error, return_word_box=return_word_box))

    def predict_iter(
        self,
        input: Input,  # noqa: A002 - the peer's name
        batch_size: int = 1,
        *,
        on_error: OnError = "raise",
        return_word_box: bool | None = None,
    ) -> Iterator[TextRecResult]:
        """Read everything in ``input`` one result at a time; holds no more than a few batches in memory.

        Args:
            input: Path, URL, directory, PDF, image bytes, array (BGR), PIL image, or a list, tuple or iterator.
            batch_size: Most lines in one call of the engine.
            on_error: ``raise``, or ``skip`` to get a result whose ``error`` is set.
            return_word_box: Overrides the constructor's for this call.

        Raises:
            OptionError: ``batch_size`` or ``on_error`` does not fit.
            InputError: An input cannot be read and ``on_error`` is ``raise``.
            BackendError: The engine failed.
        """
        return self._predictor.predict_iter(
            input,
            batch_size=batch_size,
            on_error=on_error,
            return_word_box=self._return_word_box if return_word_box is None else return_word_box,
        )

    def close(self) -> None:
        """Release the engine. Closing twice is fine."""
        self._predictor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_high_performance(use_hpip: bool, hpi_config: object) -> None:  # noqa: FBT001
    if use_hpip:
        raise FeatureUnavailable(
            "High-performance mode (use_hpip=True, enable_hpi=True)",
            "It arrives with tuning; leave use_hpip out to run in normal mode.",
        )
    if hpi_config is not None:
        raise OptionError("hpi_config", "given without use_hpip=True; it configures high-performance mode only")


def _warn_of_idle_options(given: _DoorOptions) -> None:
    """Normal mode is Paddle FP32 without TensorRT or CINN; PaddleOCR also runs on where these cannot apply."""
    idle = [name for name in ("use_tensorrt", "enable_cinn") if getattr(given, name)]
    if given.precision != "fp32":
        idle.append("precision")
    if idle:
        _log.warning("%s: no effect in normal mode, which is Paddle Inference in FP32", ", ".join(idle))


def _paddle_options(given: _DoorOptions) -> dict[str, Any]:
    """Translate PaddleOCR's spellings into the options of the backend ``paddle``; engine_config wins."""
    config = parse_options(_PaddleStaticConfig, _paddle_bucket(given.engine_config or {}))
    onednn = given.enable_mkldnn
    if config.run_mode is not None:
        onednn = config.run_mode == "mkldnn"
    options = {
        # PaddleOCR's enable_mkldnn=True also runs plain where oneDNN cannot; strict oneDNN is the backend's True.
        "onednn": False if onednn is False else "auto",
        "threads": config.cpu_threads or given.cpu_threads,
        "onednn_cache_capacity": config.mkldnn_cache_capacity or given.mkldnn_cache_capacity,
        "new_ir": config.enable_new_ir,
        "new_executor": config.enable_new_executor,
    }
    return {name: value for name, value in options.items() if value is not None}


def _engine_options(given: _DoorOptions) -> dict[str, Any]:
    """Options of another engine: its own, flat or in a bucket, and PaddleOCR's thread count."""
    config = given.engine_config or {}
    bucket = config.get(given.engine, config) if given.engine else config
    if not isinstance(bucket, dict):
        raise OptionError(f"engine_config.{given.engine}", f"received {bucket!r}; expected a mapping")
    threads = {} if given.cpu_threads is None else {"threads": given.cpu_threads}
    return {**threads, **bucket}


def _paddle_bucket(engine_config: dict[str, Any]) -> dict[str, Any]:
    """PaddleOCR takes the keys flat or in a bucket named after the engine."""
    bucket = engine_config.get("paddle_static", engine_config)
    if not isinstance(bucket, dict):
        raise OptionError("engine_config.paddle_static", f"received {bucket!r}; expected a mapping")
    return bucket
