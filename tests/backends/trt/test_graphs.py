from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends.trt.execution import CaptureFailed, capture, import_cuda_runtime

if TYPE_CHECKING:
    from tests.backends.trt.fake_cuda import FakeCuda

pytestmark = pytest.mark.usefixtures("current")


@pytest.fixture
def stream(cuda: FakeCuda) -> Any:
    return cuda.driver.Stream()


def test_a_graph_does_its_work_when_it_is_launched(cuda: FakeCuda, stream: Any) -> None:
    done: list[int] = []
    graph = capture(cuda.runtime, stream.handle, lambda: cuda.put_on(stream, lambda: done.append(1)))
    stream.synchronize()
    assert done == []
    for _ in range(2):
        graph.launch()
        stream.synchronize()
    assert done == [1, 1]
    graph.destroy()
    assert not cuda.graphs


def test_work_that_cannot_be_captured_is_told_in_the_words_of_cuda(cuda: FakeCuda, stream: Any) -> None:
    cuda.capturable = False
    with pytest.raises(CaptureFailed, match="cudaStreamEndCapture: cudaErrorStreamCaptureInvalidated"):
        capture(cuda.runtime, stream.handle, lambda: None)
    stream.synchronize()  # the capture has ended


def test_a_failure_while_capturing_ends_the_capture(cuda: FakeCuda, stream: Any) -> None:
    def fail() -> None:
        raise RuntimeError("TensorRT refuses")

    with pytest.raises(CaptureFailed, match="TensorRT refuses"):
        capture(cuda.runtime, stream.handle, fail)
    stream.synchronize()


@pytest.mark.parametrize("layout", ["cuda.bindings.runtime", "cuda.cudart"])
def test_both_layouts_of_cuda_bindings_are_known(monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    package, module = ModuleType("cuda"), ModuleType(layout)
    monkeypatch.setitem(sys.modules, "cuda", package)
    if layout == "cuda.cudart":
        package.cudart = module  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    else:
        bindings = ModuleType("cuda.bindings")
        bindings.runtime = module  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    assert import_cuda_runtime() is module


def test_without_cuda_bindings_there_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(ImportError):
        import_cuda_runtime()
