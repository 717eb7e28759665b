from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.pages.models import fetch_detection_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def v4_detection_dir(models_dir: Path) -> Path:
    """The real PP-OCRv4_mobile_det, in the old format."""
    return fetch_detection_model("PP-OCRv4_mobile_det", models_dir)


@pytest.fixture(scope="session")
def v6_detection_dir(models_dir: Path) -> Path:
    """The real PP-OCRv6_small_det, as ONNX."""
    return fetch_detection_model("PP-OCRv6_small_det", models_dir)
