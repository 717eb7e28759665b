"""A backend that sees GPUs: ONNX Runtime's own CPU module under a fake's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends import onnxruntime_
from ocrhpi.backends.ort import sessions
from ocrhpi.backends.ort.libraries import GpuFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.backends.ort.fake_onnxruntime import FakeOnnxRuntime

GPU = GpuFacts("NVIDIA Fake", "8.9", "13.0")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeOnnxRuntime]:
    """Install a fake with these settings, and return it."""
    pytest.importorskip("onnxruntime")
    from tests.backends.ort.fake_onnxruntime import FakeOnnxRuntime

    def install(**settings: Any) -> FakeOnnxRuntime:
        fake = FakeOnnxRuntime(**settings)
        monkeypatch.setattr(onnxruntime_, "_import_onnxruntime", lambda: fake)
        monkeypatch.setattr(sessions, "gpu_facts", lambda _index: GPU)
        return fake

    return install
