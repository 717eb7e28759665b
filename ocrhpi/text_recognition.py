"""The PaddleOCR-compatible facade: `TextRecognition`, thin over `ocrhpi.loader`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ocrhpi.closing import Closing
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.config.paddlex_options import engine_options, paddle_options
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError
from ocrhpi.loader import open_predictor
from ocrhpi.options import Options, parse_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ocrhpi.backends.base import Effective
    from ocrhpi.config.hpi_config import HpiConfig
    from ocrhpi.predictor import OnError
    from ocrhpi.recognition.inputs import Input
    from ocrhpi.results import TextRecResult

DEFAULT_MODEL_NAME = "PP-OCRv6_medium_rec"  # PaddleOCR 3.7's default

_ENGINES = {"paddle_static": "paddle"}  # PaddleX's names -> ours
_PADDLES = ("enable_mkldnn", "mkldnn_cache_capacity")  # options of Paddle alone
_FACTS = ("character_dict_path", "use_space_char", "rec_image_shape", "right_to_left", "input_shape")

_log = logging.getLogger("ocrhpi")

PositiveInt = Annotated[int, Field(ge=1)]


class _CallOptions(Options):
    """Keyword options of `TextRecognition`, spelled as in PaddleOCR 3.7."""

    use_hpip: bool | None = None
    enable_hpi: bool | None = None
    engine: str | None = None
    engine_config: dict[str, Any] | None = None
    use_tensorrt: bool = False
    precision: Literal["fp32", "fp16"] = "fp32"
    enable_mkldnn: bool | None = None
    mkldnn_cache_capacity: PositiveInt | None = None
    cpu_threads: PositiveInt | None = None
    enable_cinn: bool = False
    return_word_box: bool = False


class TextRecognition(Closing):
    """Text line recognition with PaddleOCR models.

    The calls and options are PaddleOCR's. A context manager: leaving closes the engine.

    Args:
        model_name: Official model name, fetched on first use; default `DEFAULT_MODEL_NAME`. With ``model_dir``, what to
            call that model.
        model_dir: Directory of an exported model of your own, of any age, or a bare ONNX file.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None takes a GPU if Paddle has one, else the CPU.
        use_hpip: High-performance mode: what was measured to be fastest on this machine while reading the same text.
            The first time this measures, for about ten seconds, with a progress display; ``ocrhpi tune`` measures
            thoroughly. ``enable_hpi`` is the same.
        hpi_config: Configuration of high-performance mode: a mapping, the path of a YAML file, or of a file that
            ``ocrhpi tune`` made; see `ocrhpi.config.hpi_config.HpiConfig`.
        **options: ``enable_mkldnn``, ``mkldnn_cache_capacity``, ``cpu_threads`` (default: the usable cores),
            ``return_word_box``, ``engine`` (any registered backend, on a model that is exported on first use if need
            be; ``paddle_static`` is PaddleX's name of ``paddle``; default: normal mode), ``engine_config``,
            ``precision``, ``use_tensorrt``, ``enable_cinn``; and what the files of a model do not say:
            ``character_dict_path``, ``use_space_char``, ``rec_image_shape``, ``right_to_left``, and ``input_shape``
            (3, H, W), see `ocrhpi.model.ModelSource`.

    Raises:
        OptionError: An option is unknown (with the nearest name) or does not fit.
        OcrhpiError: The model cannot be found or fetched, or the engine cannot run it.
    """

    def __init__(
        self,
        model_name: str | None = None,
        model_dir: Path | str | None = None,
        device: str | None = None,
        use_hpip: bool = False,  # noqa: FBT001, FBT002 - the peer's signature
        hpi_config: Mapping[str, Any] | Path | str | None = None,
        **options: Any,  # noqa: ANN401 - validated by _CallOptions
    ) -> None:
        facts = {name: options.pop(name) for name in _FACTS if name in options}
        given = parse_options(_CallOptions, {"use_hpip": use_hpip, **options})
        high_performance = bool(given.use_hpip or given.enable_hpi)
        _check_combination(given, high_performance=high_performance, hpi_config=hpi_config)
        if model_name is None and model_dir is None:
            model_name = DEFAULT_MODEL_NAME
        self._return_word_box = given.return_word_box
        if high_performance:
            mode = "high-performance mode, which tries engines and precisions by itself"
            _warn_of_idle_options(given, mode, _PADDLES)
            from ocrhpi.report.live import watching  # noqa: PLC0415 - normal mode does without

            configured = _hpi_config(hpi_config, given)
            with watching() as on_progress:
                asked = reading_options(model_name, model_dir, device=device, hpi_config=configured, **facts)
                self._predictor = open_predictor(asked, on_progress)
            return
        engine = _ENGINES.get(given.engine, given.engine) if given.engine else None
        asked = reading_options(
            model_name,
            model_dir,
            device=device,
            use_hpip=False,
            engine=engine,
            engine_options=_engine_options(engine, given),
            threads=given.cpu_threads,
            **facts,
        )
        self._predictor = open_predictor(asked)
        runs = self.effective.backend
        mode = "normal mode, which is Paddle Inference in FP32" if runs == "paddle" else f"{runs!r}"
        _warn_of_idle_options(given, mode, () if runs == "paddle" else _PADDLES)

    @property
    def effective(self) -> Effective:
        """What really runs: engine version, device, precision, threads, settings, and deviations with reasons."""
        return self._predictor.effective

    def predict(
        self,
        input: Input,  # noqa: A002 - the peer's name
        batch_size: int | None = None,
        *,
        on_error: OnError = "raise",
        return_word_box: bool | None = None,
    ) -> list[TextRecResult]:
        """Read everything in ``input`` and return the results in input order.

        Arguments and errors are those of `predict_iter`.
        """
        return self._predictor.predict(
            input,
            batch_size=batch_size,
            on_error=on_error,
            return_word_box=self._return_word_box if return_word_box is None else return_word_box,
        )

    def predict_iter(
        self,
        input: Input,  # noqa: A002 - the peer's name
        batch_size: int | None = None,
        *,
        on_error: OnError = "raise",
        return_word_box: bool | None = None,
    ) -> Iterator[TextRecResult]:
        """Read everything in ``input`` one result at a time; holds no more than a few batches in memory.

        Args:
            input: Path, URL, directory, PDF, image bytes, array (BGR), PIL image, or a list, tuple or iterator.
            batch_size: Most lines in one call of the engine. None: 1, and in high-performance mode what was measured.
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


def _check_combination(given: _CallOptions, *, high_performance: bool, hpi_config: object) -> None:
    if hpi_config is not None and not high_performance:
        raise OptionError("hpi_config", "given without use_hpip=True; it configures high-performance mode only")
    if given.engine is not None and high_performance:
        problem = f"received {given.engine!r} together with use_hpip=True, which chooses the engine by measuring"
        raise OptionError("engine", f"{problem}; leave one of them out, or name the engine in hpi_config")


def _warn_of_idle_options(given: _CallOptions, mode: str, others: tuple[str, ...]) -> None:
    """PaddleOCR also runs on where these cannot apply; ``others`` are further ones that do not apply in this mode."""
    idle = [name for name in ("use_tensorrt", "enable_cinn") if getattr(given, name)]
    if given.precision != "fp32":
        idle.append("precision")
    idle += [name for name in others if getattr(given, name) is not None]
    if idle:
        _log.warning("%s: no effect in %s", ", ".join(idle), mode)


def _hpi_config(hpi_config: Mapping[str, Any] | Path | str | None, given: _CallOptions) -> HpiConfig:
    """Read the configuration, from PaddleOCR's ``engine_config={"hpi": {...}}``, too; add the facade's thread count."""
    bucket = (given.engine_config or {}).get("hpi")
    if bucket is not None and hpi_config is not None:
        raise OptionError("engine_config", "received a bucket 'hpi' together with hpi_config; keep one of them")
    config = read_hpi_config(bucket if hpi_config is None else hpi_config)
    if given.cpu_threads is None or config.cpu_threads is not None:
        return config
    return config.model_copy(update={"cpu_threads": given.cpu_threads})


def _engine_options(engine: str | None, given: _CallOptions) -> dict[str, Any]:
    """Translate PaddleOCR's spellings into options of the backend."""
    if engine not in {None, "paddle"}:
        return engine_options(str(engine), given.engine_config, given.cpu_threads)
    return paddle_options(
        given.engine_config,
        enable_mkldnn=given.enable_mkldnn,
        cpu_threads=given.cpu_threads,
        mkldnn_cache_capacity=given.mkldnn_cache_capacity,
    )
