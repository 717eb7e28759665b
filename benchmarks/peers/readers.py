"""How each system is called. Runs in the workers, so it imports nothing but numpy until a reader is made."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """What a reader is made for.

    Attributes:
        model_name: Official name of the model.
        path: Model directory, or bare ONNX file.
        threads: CPU threads to compute with.
        options: Options of the system's row.
    """

    model_name: str
    path: str
    threads: int
    options: Mapping[str, Any]


class Reader(Protocol):
    """A loaded system."""

    effective: dict[str, Any]
    """What really runs: at least ``precision`` and ``threads``; ``versions`` and ``notes`` where known."""

    def __init__(self, job: Job) -> None: ...

    def read_one(self, image: Image) -> str:
        """Read one line in one call."""

    def read_all(self, images: Sequence[Image], batch: int) -> list[str]:
        """Read all lines in one call."""


class PaddleOcr:
    """``paddleocr.TextRecognition``."""

    def __init__(self, job: Job) -> None:
        # The model is here already; without this PaddleX first looks for a model host.
        os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"
        options = dict(job.options)
        if options["engine"] == "onnxruntime":
            options["engine_config"] = {"intra_op_num_threads": job.threads, "inter_op_num_threads": 1}
        else:
            options["cpu_threads"] = job.threads
        paddleocr = importlib.import_module("paddleocr")
        self._recognition = paddleocr.TextRecognition(
            model_name=job.model_name, model_dir=job.path, device="cpu", **options
        )
        # PaddleX runs plain Paddle for models on its block list, whatever was asked for.
        config = dict(getattr(self._recognition.paddlex_predictor.runner, "_config", {}))
        shown = {key: config[key] for key in ("run_mode", "cpu_threads", "intra_op_num_threads") if key in config}
        self.effective = {
            "precision": "fp32",
            "threads": shown.get("cpu_threads", shown.get("intra_op_num_threads", 0)),
            "settings": shown,
            "versions": versions("paddleocr", "paddlex", "paddlepaddle", "onnxruntime"),
        }

    def read_one(self, image: Image) -> str:
        """Read one line in one call."""
        (result,) = self._recognition.predict(image, batch_size=1)
        return str(result["rec_text"])

    def read_all(self, images: Sequence[Image], batch: int) -> list[str]:
        """Read all lines in one call, in batches as they come."""
        return [str(result["rec_text"]) for result in self._recognition.predict(list(images), batch_size=batch)]


class RapidOcr:
    """The recognizer of ``rapidocr.RapidOCR``, called directly: its pipeline would take one line a call."""

    def __init__(self, job: Job) -> None:
        engine = job.options["engine"]
        rapidocr = importlib.import_module("rapidocr")
        if job.options.get("force_f32"):
            _force_f32()
        threads = {"onnxruntime": "intra_op_num_threads", "openvino": "inference_num_threads"}[engine]
        pipeline = rapidocr.RapidOCR(
            params={
                "Global.log_level": "warning",
                "Rec.engine_type": rapidocr.EngineType(engine),
                "Rec.model_path": str(Path(job.path) / "inference.onnx"),
                f"EngineConfig.{engine}.{threads}": job.threads,
            }
        )
        pipeline._load_rec_model()  # noqa: SLF001 - loads it at once, not with the first line
        self._recognizer = pipeline.text_rec
        self._input = importlib.import_module("rapidocr.ch_ppocr_rec").TextRecInput
        session = self._recognizer.session.session
        self.effective = {
            **(_of_openvino(session) if engine == "openvino" else _of_onnxruntime(session)),
            "versions": versions("rapidocr", engine),
        }

    def read_one(self, image: Image) -> str:
        """Read one line in one call."""
        return self._read([image])[0]

    def read_all(self, images: Sequence[Image], batch: int) -> list[str]:
        """Read all lines in one call; they are sorted into batches by width."""
        self._recognizer.rec_batch_num = batch
        return self._read(list(images))

    def _read(self, images: list[Image]) -> list[str]:
        return [str(text) for text in self._recognizer(self._input(img=images)).txts]


class RapidOcrLite:
    """``rapidocr.RapidOCR`` of RapidOCRLite, without its detector: an engine of its own, one image a call.

    It takes its detector's model from the disk although it does not run it; the one that is in its wheel will do.
    """

    def __init__(self, job: Job) -> None:
        rapidocr = importlib.import_module("rapidocr")
        models = Path(str(rapidocr.__file__)).parent / "models"
        vocabulary = Path(job.path) / "vocabulary.txt"
        self._pipeline = rapidocr.RapidOCR(
            params={
                "Global.log_level": "warning",
                "Det.model_path": str(models / "lite" / "det.onnx"),
                "Rec.model_path": str(Path(job.path) / "inference.onnx"),
                "Rec.rec_keys_path": str(vocabulary),
            }
        )
        facts = importlib.import_module("rapidocr._native").cpu_info()
        self.effective = {
            "precision": "fp32",
            "threads": facts["threads"],
            "settings": {"active_isa": facts["active_isa"]},
            "notes": [] if facts["threads"] == job.threads else [f"{job.threads} threads asked for; it has no option"],
            "versions": versions("rapidocrlite"),
        }

    def read_one(self, image: Image) -> str:
        """Read one line in one call."""
        return "".join(str(text) for text in self._pipeline(image, use_det=False, use_cls=False).txts)

    def read_all(self, images: Sequence[Image], batch: int) -> list[str]:  # noqa: ARG002 - it takes one image a call
        """Read all lines, a call each."""
        return [self.read_one(image) for image in images]


class Ocrhpi:
    """``ocrhpi.load_predictor``."""

    def __init__(self, job: Job) -> None:
        ocrhpi = importlib.import_module("ocrhpi")
        options = dict(job.options)
        options["backend_options"] = {**options.get("backend_options", {}), "threads": job.threads}
        self._predictor = ocrhpi.load_predictor(model_dir=job.path, device="cpu", **options)
        self.effective = _of_ocrhpi(self._predictor.effective)

    def read_one(self, image: Image) -> str:
        """Read one line in one call."""
        (result,) = self._predictor.predict_iter(image, batch_size=1)
        return str(result["rec_text"])

    def read_all(self, images: Sequence[Image], batch: int) -> list[str]:
        """Read all lines in one call."""
        return [str(result["rec_text"]) for result in self._predictor.predict(list(images), batch_size=batch)]


class OcrhpiHighPerformance:
    """``ocrhpi.TextRecognition`` in high-performance mode; the first time it measures, when it is made."""

    def __init__(self, job: Job) -> None:
        ocrhpi = importlib.import_module("ocrhpi")
        self._recognition = ocrhpi.TextRecognition(
            model_dir=job.path, device="cpu", use_hpip=True, hpi_config={**job.options, "cpu_threads": job.threads}
        )
        self.effective = _of_ocrhpi(self._recognition.effective)

    def read_one(self, image: Image) -> str:
        """Read one line in one call."""
        (result,) = self._recognition.predict(image)
        return str(result["rec_text"])

    def read_all(self, images: Sequence[Image], batch: int) -> list[str]:  # noqa: ARG002 - it has its own
        """Read all lines in one call, in batches of the size that was chosen."""
        return [str(result["rec_text"]) for result in self._recognition.predict(list(images))]


def versions(*distributions: str) -> dict[str, str]:
    """Return the installed ones of these packages and of numpy, and their versions."""
    found = {name: _version(name) for name in (*distributions, "numpy")}
    return {name: version for name, version in found.items() if version}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _force_f32() -> None:
    config = importlib.import_module("rapidocr.inference_engine.openvino.device_config").CPUConfig
    get_config = config.get_config

    def with_precision(self: Any) -> dict[str, Any]:  # noqa: ANN401 - the peer's class
        return {**get_config(self), "INFERENCE_PRECISION_HINT": "f32"}

    config.get_config = with_precision


def _of_ocrhpi(effective: Any) -> dict[str, Any]:  # noqa: ANN401 - the peers' interpreter has no ocrhpi
    version = importlib.import_module("ocrhpi").__version__
    return {
        "precision": effective.precision,
        "threads": effective.threads,
        "settings": dict(effective.settings),
        "notes": list(effective.notes),
        "versions": {"ocrhpi": version, **versions(), effective.backend: effective.engine_version},
    }


def _of_openvino(request: Any) -> dict[str, Any]:  # noqa: ANN401 - untyped
    compiled = request.get_compiled_model()
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {
        "precision": {"f32": "fp32", "f16": "fp16"}.get(precision, precision),
        "threads": int(compiled.get_property("INFERENCE_NUM_THREADS")),
        "settings": {
            "streams": int(compiled.get_property("NUM_STREAMS")),
            "hint": str(compiled.get_property("PERFORMANCE_HINT")),
        },
    }


def _of_onnxruntime(session: Any) -> dict[str, Any]:  # noqa: ANN401 - untyped
    return {
        "precision": "fp32",
        "threads": int(session.get_session_options().intra_op_num_threads),
        "settings": {"providers": list(session.get_providers())},
    }
