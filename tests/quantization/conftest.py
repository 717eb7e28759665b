from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from ocrhpi.model import Model
    from ocrhpi.values import Pixels


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def noise() -> list[Pixels]:
    """Twelve lines of noise, of three widths, one of which is beyond the base width."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, width, 3), dtype=np.uint8) for width in (100, 320, 400) * 4]
