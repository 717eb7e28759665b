"""What the tests of the PaddleOCR drop-in look at: unmodified calls with and without ocrhpi, in a process of its own.

PaddleX changes numpy's print options and the log of its process, and ocrhpi changes PaddleX. So this runs apart, once,
and leaves what it saw in a JSON file: ``python -m tests.integrations.paddleocr_run REQUEST.json RESULT.json``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"  # it would look for hosts
warnings.simplefilter("ignore")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

REC, DET = "PP-OCRv4_mobile_rec", "PP-OCRv4_mobile_det"
FORCED = {"auto_config": False, "backend": "openvino", "batching": "masked"}


class Request:
    """Where everything is."""

    def __init__(self, path: str) -> None:
        content = json.loads(Path(path).read_text("utf-8"))
        self.recognition: str = content["recognition"]
        self.detection: str = content["detection"]
        self.onnx_detection: str = content["onnx_detection"]
        self.pages: list[Any] = [cv2.imread(page) for page in content["pages"]]
        self.lines: list[Any] = [cv2.imread(line) for line in content["lines"]]
        self.line_paths: list[str] = content["lines"]


def snapshot() -> dict[str, Any]:
    """Return what ocrhpi may change in PaddleX and PaddleOCR, by identity."""
    import paddleocr._common_args
    import paddleocr._models.base
    import paddleocr._pipelines.base
    from paddlex.inference import models
    from paddlex.inference.models.bindings.registry import default_registry
    from paddlex.inference.models.engines import InferenceEngine

    doors = (paddleocr._models.base, paddleocr._pipelines.base)
    names = ("parse_common_args", "prepare_common_init_args", "_DEFAULT_ENABLE_HPI")
    return {
        "engines": {name: id(kind) for name, kind in InferenceEngine.all().items()},
        "bindings": {
            f"{model} {name}": "ours" if binding.predictor.__name__ == "Recognizer" else id(binding)
            for model, bindings in default_registry._registry.items()
            for name, binding in bindings.items()
        },
        "allowed": list(paddleocr._common_args.SUPPORTED_INFERENCE_ENGINE_LIST),
        "doors": {f"{door.__name__}.{name}": id(getattr(door, name)) for door in doors for name in names},
        "source": id(models._select_engine_config_source),
        "choice": id(models._resolve_effective_engine),
        "buckets": sorted(models._engine_config_bucket_key_allowlist()),
    }


def pipeline(request: Request, detection: str = "", **keywords: Any) -> Any:
    from paddleocr import PaddleOCR

    return PaddleOCR(
        text_detection_model_name=Path(detection or request.detection).name,
        text_detection_model_dir=detection or request.detection,
        text_recognition_model_name=REC,
        text_recognition_model_dir=request.recognition,
        use_doc_orientation_classify=False,
        use_doc_unwarping=False,
        use_textline_orientation=False,
        device="cpu",
        **{"cpu_threads": 2, **keywords},
    )


def read_pages(ocr: Any, request: Request, most: int | None = None, **keywords: Any) -> list[dict[str, Any]]:
    return [page_result(result) for page in request.pages[:most] for result in ocr.predict(page, **keywords)]


def page_result(result: Any) -> dict[str, Any]:
    content = {
        "keys": sorted(result),
        "texts": list(result["rec_texts"]),
        "scores": [float(score) for score in result["rec_scores"]],
        "boxes": [np.asarray(polygon).tolist() for polygon in result["dt_polys"]],
        "rec_boxes": np.asarray(result["rec_boxes"]).tolist(),
    }
    if result.get("return_word_box"):
        content["words"] = [list(map(str, words)) for words in result["text_word"]]
        content["word_boxes"] = [np.asarray(boxes).tolist() for boxes in result["text_word_boxes"]]
    return content


def engines_of(ocr: Any) -> dict[str, Any]:
    inner = ocr.paddlex_pipeline._pipeline
    detector, recognizer = inner.text_det_model.runner, inner.text_rec_model.runner
    return {
        "detection": getattr(detector, "engine", type(detector).__name__),
        "recognition": recognizer.effective.backend if hasattr(recognizer, "effective") else type(recognizer).__name__,
        "masked": getattr(getattr(recognizer, "reader", None), "backend", None) is not None
        and recognizer.reader.backend.masked,
    }


def line_results(results: Any) -> list[dict[str, Any]]:
    return [
        {
            "class": f"{type(result).__module__}.{type(result).__name__}",
            "keys": list(result),
            "text": result["rec_text"],
            "score": float(result["rec_score"]),
            "path": result["input_path"],
            "page": result["page_index"],
            "image": int(np.asarray(result["input_img"], np.int64).sum()),
            "font": id(result["vis_font"]),
            "json": result.json,
        }
        for result in results
    ]


def recognise(request: Request, **keywords: Any) -> dict[str, Any]:
    """Read lines in every way that PaddleOCR's module has."""
    from paddleocr import TextRecognition

    model = TextRecognition(model_name=REC, model_dir=request.recognition, device="cpu", **keywords)
    in_order = sorted(request.lines, key=lambda line: line.shape[1] / line.shape[0])
    seen: dict[str, Any] = {
        "alone": line_results(model.predict(request.lines)),
        "batches": line_results(model.predict(request.lines, batch_size=4)),
        "words": line_results(model.predict(in_order, batch_size=4, return_word_box=True)),
        "paths": line_results(model.predict_iter(request.line_paths, batch_size=3)),
        "one": line_results(model.predict(request.lines[0], batch_size=1)),
        "none": line_results(model.predict([])),
    }
    before: list[str] = []
    try:
        inputs = [*request.lines[:5], "missing.png", request.lines[5]]
        before.extend(result["rec_text"] for result in model.predict_iter(inputs, batch_size=2))
        seen["missing"] = [before, "no error"]
    except Exception as error:  # noqa: BLE001 - to be compared
        seen["missing"] = [before, type(error).__name__]
    model.close()
    return seen


def error_of(call: Any, *arguments: Any, **keywords: Any) -> str:
    try:
        call(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - to be looked at
        return f"{type(error).__name__}: {error}"
    return "no error"


def main() -> None:
    request = Request(sys.argv[1])
    seen: dict[str, Any] = {}
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("ocrhpi").addHandler(handler)
    logging.getLogger("ocrhpi").setLevel(logging.INFO)

    import paddleocr

    seen["before"] = snapshot()
    plain = pipeline(request, enable_mkldnn=False)
    seen["pages"] = read_pages(plain, request)
    seen["pages, words"] = read_pages(plain, request, 1, return_word_box=True)
    seen["lines"] = recognise(request, enable_mkldnn=False)
    text_recognition = paddleocr.TextRecognition
    seen["hpi without us"] = error_of(text_recognition, model_name=REC, model_dir=request.recognition, enable_hpi=True)

    from benchmarks.pages.systems import pipeline_config
    from ocrhpi.integrations.paddleocr import install, uninstall

    seen["registered"] = snapshot()
    engine = pipeline(request, enable_mkldnn=False, paddlex_config=pipeline_config("ocrhpi", FORCED))
    seen["engine"] = {
        "engines": engines_of(engine),
        "pages": read_pages(engine, request),
        "pages, words": read_pages(engine, request, 1, return_word_box=True),
        "lines": recognise(request, engine="ocrhpi", engine_config=FORCED),
        "alone": recognise(request, engine="ocrhpi", engine_config={**FORCED, "padding": "line"})["batches"],
        "stretched": shapes(request),
        "hpi": error_of(text_recognition, model_name=REC, model_dir=request.recognition, enable_hpi=True),
        "typo": error_of(
            text_recognition,
            model_name=REC,
            model_dir=request.recognition,
            engine="ocrhpi",
            engine_config={"objectiv": "latency"},
        ),
    }

    install(replace_hpi=True)
    lines.clear()
    hpi = pipeline(request, enable_hpi=True, hpi_config=FORCED)
    seen["hpi"] = {"pages": read_pages(hpi, request), "engines": engines_of(hpi), "log": list(lines)}
    seen["hpi"]["again"] = read_pages(hpi, request)
    lines.clear()
    second = pipeline(request, use_hpip=True, paddlex_config=with_hpi_config(FORCED))
    seen["hpi, second"] = {"engines": engines_of(second), "pages": read_pages(second, request, 1), "log": list(lines)}
    lines.clear()
    never = pipeline(request, enable_hpi=True, enable_mkldnn=False, hpi_config={"tune": "never"})
    seen["hpi, never"] = {"pages": read_pages(never, request, 1), "engines": engines_of(never), "log": list(lines)}
    seen["hpi, ONNX"] = onnx_detection(request)
    seen["hpi, typo"] = error_of(
        text_recognition,
        model_name=REC,
        model_dir=request.recognition,
        enable_hpi=True,
        hpi_config={"objectiv": "latency"},
    )

    install(replace_hpi=True, by_default=True, hpi_config=FORCED)
    model = text_recognition(model_name=REC, model_dir=request.recognition)
    seen["by default"] = [result["rec_text"] for result in model.predict(request.lines)]
    seen["by default, engine"] = model.paddlex_predictor.runner.effective.backend

    uninstall()
    uninstall()
    seen["after"] = snapshot()
    seen["still open"] = [result["rec_text"] for result in model.predict(request.lines)]
    seen["hpi after"] = error_of(text_recognition, model_name=REC, model_dir=request.recognition, enable_hpi=True)
    unknown = error_of(text_recognition, model_name=REC, model_dir=request.recognition, engine="ocrhpi")
    seen["engine after"] = unknown
    install()
    seen["registered again"] = snapshot()
    Path(sys.argv[2]).write_text(json.dumps(seen), "utf-8")


def onnx_detection(request: Request) -> dict[str, Any]:
    """Read with a detection model that has no Paddle files; nothing where this PaddleX does not know it."""
    from paddlex.modules.text_detection.model_list import MODELS

    if Path(request.onnx_detection).name not in MODELS:
        return {}
    ocr = pipeline(request, request.onnx_detection, enable_hpi=True, hpi_config=FORCED)
    first = read_pages(ocr, request)
    return {"first": first, "again": read_pages(ocr, request, 1), "engines": engines_of(ocr)}


def shapes(request: Request) -> dict[str, Any]:
    """Read with an input shape, without and with us."""
    from paddleocr import TextRecognition

    common = {"model_name": REC, "model_dir": request.recognition, "input_shape": (3, 48, 480)}
    plain = TextRecognition(**common, enable_mkldnn=False).predict(request.lines, batch_size=4)
    ours = TextRecognition(**common, engine="ocrhpi", engine_config=FORCED).predict(request.lines, batch_size=4)
    return {"plain": line_results(plain), "ours": line_results(ours)}


def with_hpi_config(hpi_config: dict[str, Any]) -> dict[str, Any]:
    """Return PaddleX's configuration with that of high-performance inference in it."""
    from paddlex.inference import load_pipeline_config

    config: dict[str, Any] = load_pipeline_config("OCR")
    config["hpi_config"] = {**hpi_config, "batching": "exact"}
    config["SubModules"]["TextRecognition"]["hpi_config"] = hpi_config
    return config


if __name__ == "__main__":
    main()
