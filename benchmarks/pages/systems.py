"""What is compared: PaddleOCR as it comes, and the same calls with ocrhpi in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SYSTEMS", "System", "open_pipeline", "pipeline_config"]


@dataclass(frozen=True)
class System:
    """One way to read pages.

    Attributes:
        name: For the table.
        keywords: Of ``PaddleOCR``, besides those of all; ``{threads}`` stands for the threads of the run.
        engine: The recognizer's own engine, by the sub-module of the configuration.
        replace_hpi: ocrhpi stands in for high-performance inference.
    """

    name: str
    keywords: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None
    replace_hpi: bool = False


THREADS = "{threads}"

SYSTEMS = (
    System("PaddleOCR"),
    System("PaddleOCR, enable_mkldnn=False", {"enable_mkldnn": False}),
    System("PaddleOCR, enable_mkldnn=False, cpu_threads", {"enable_mkldnn": False, "cpu_threads": THREADS}),
    System("PaddleOCR, enable_hpi=True", {"enable_hpi": True}),
    System(
        "engine ocrhpi, enable_mkldnn=False, cpu_threads", {"enable_mkldnn": False, "cpu_threads": THREADS}, "ocrhpi"
    ),
    System("install(replace_hpi=True), enable_hpi=True", {"enable_hpi": True}, replace_hpi=True),
)


def open_pipeline(system: System, detection: Path, recognition: Path, model_name: str, threads: int) -> Any:  # noqa: ANN401
    """Open the pipeline of detection and recognition."""
    if system.engine or system.replace_hpi:
        from ocrhpi.integrations.paddleocr import install  # noqa: PLC0415 - changes PaddleX, so not for the others

        hpi_config = {"cpu_threads": threads} if system.replace_hpi else None
        install(replace_hpi=system.replace_hpi, hpi_config=hpi_config)
    from paddleocr import PaddleOCR  # noqa: PLC0415 - an extra

    keywords = {name: threads if value == THREADS else value for name, value in system.keywords.items()}
    return PaddleOCR(
        text_detection_model_name=detection.name,
        text_detection_model_dir=str(detection),
        text_recognition_model_name=model_name,
        text_recognition_model_dir=str(recognition),
        use_doc_orientation_classify=False,
        use_doc_unwarping=False,
        use_textline_orientation=False,
        device="cpu",
        paddlex_config=pipeline_config(system.engine, {"cpu_threads": threads}) if system.engine else None,
        **keywords,
    )


def pipeline_config(engine: str, engine_config: dict[str, Any]) -> dict[str, Any]:
    """Return PaddleX's configuration of the OCR pipeline with an engine for the recognizer alone."""
    from paddlex.inference import load_pipeline_config  # noqa: PLC0415

    config: dict[str, Any] = load_pipeline_config("OCR")
    config["SubModules"]["TextRecognition"] |= {"engine": engine, "engine_config": {engine: engine_config}}
    return config
