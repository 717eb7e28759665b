"""Fakes of CUDA and TensorRT in the place of the real modules, and tiny graphs for them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends.trt.gpu import open_gpu
from tests.backends.trt.fake_cuda import FakeCuda
from tests.backends.trt.fake_tensorrt import VERSIONS, make_tensorrt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def trt(version: str, cuda: FakeCuda) -> Any:
    return make_tensorrt(version, cuda)


@pytest.fixture
def current(cuda: FakeCuda) -> Iterator[None]:
    """The GPU's context is current."""
    with open_gpu(cuda.driver, None).current():
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of engines."""
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tensorrt"


@pytest.fixture
def installed(trt: Any, cuda: FakeCuda, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001
    """The fakes are what ``import`` finds."""
    install(monkeypatch, trt, cuda)
    return trt


def install(monkeypatch: pytest.MonkeyPatch, trt: Any, cuda: FakeCuda) -> None:
    pycuda, package, bindings = ModuleType("pycuda"), ModuleType("cuda"), ModuleType("cuda.bindings")
    pycuda.driver = cuda.driver  # type: ignore[attr-defined]
    package.bindings = bindings  # type: ignore[attr-defined]
    bindings.runtime = cuda.runtime  # type: ignore[attr-defined]
    modules = {
        "tensorrt": trt,
        "pycuda": pycuda,
        "pycuda.driver": cuda.driver,
        "cuda": package,
        "cuda.bindings": bindings,
        "cuda.bindings.runtime": cuda.runtime,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
