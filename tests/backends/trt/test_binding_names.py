"""Every name that the fake TensorRT offers is one of the real binding's, version by version.

The wheels of the binding, about 1 MB each, come from the package index that pip is configured for, and are imported
without NVIDIA's libraries: a C compiler makes empty ones of the same names. Without a compiler the names are searched
in the binding's file. There is no wheel of 8.5; its fake is checked against 8.6.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from enum import EnumMeta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.backends.trt.fake_tensorrt import VERSIONS, make_tensorrt

if TYPE_CHECKING:
    from tests.backends.trt.fake_cuda import FakeCuda

WHEELS = {
    "8.5.3.1": "tensorrt-bindings==8.6.1",
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.0.1": "tensorrt-cu12-bindings==10.0.1",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
# What the fake of a version leaves out on purpose, since the real one has no such thing.
ABSENT = {
    "8.6.1": {"NetworkDefinitionCreationFlag.STRONGLY_TYPED", "IProgressMonitor", "ExecutionContextAllocationStrategy"},
    "10.0.1": {"IExecutionContext.set_device_memory", "ICudaEngine.device_memory_size_v2"},
    "11.4.0.106": {
        *("BuilderFlag.FP16", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH", "ILayer.precision"),
        *("ICudaEngine.device_memory_size", "ICudaEngine.create_execution_context_without_device_memory"),
    },
}
STUBS = """
#define STUB(name) void *name(void) { return 0; }
STUB(createInferBuilder_INTERNAL) STUB(createInferRefitter_INTERNAL) STUB(createInferRuntime_INTERNAL)
STUB(createNvOnnxParser_INTERNAL) STUB(createNvOnnxParserRefitter_INTERNAL) STUB(getNvOnnxParserVersion)
STUB(getBuilderPluginRegistry) STUB(getPluginRegistry) STUB(initLibNvInferPlugins)
STUB(_ZN11nvuffparser15createUffParserEv) STUB(_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi)
STUB(_ZN14nvcaffeparser117createCaffeParserEv) STUB(_ZN14nvcaffeparser123shutdownProtobufLibraryEv)
"""
IMPORT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import tensorrt_bindings as trt
from ocrhpi.backends.trt.build import shares_profiles, typing_of
from ocrhpi.backends.trt.names import shared_log
from ocrhpi.backends.trt.build import make_monitor
log = shared_log(trt)
log.log(trt.ILogger.ERROR, "heard")
monitor = make_monitor(trt, 0.0, lambda *progress: None)
names = {name: dir(value) if isinstance(value, type) else [] for name, value in vars(trt).items()}
told = {"names": names, "log": log.errors_since(0), "typing": typing_of(trt), "shares": shares_profiles(trt)}
told["goes on"] = None if monitor is None else monitor.step_complete("phase", 0)
print(json.dumps(told))
"""


@pytest.fixture
def binding(version: str, pytestconfig: pytest.Config) -> Path:
    """The folder of the real binding's wheel, kept between runs."""
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir(f"{WHEELS[version]}-{sys.implementation.cache_tag}"))
    if not (folder / "tensorrt_bindings").is_dir():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--retries=1", f"--dest={folder}", WHEELS[version]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            pytest.skip(f"pip cannot get {WHEELS[version]}: {errors[-1] if errors else done.stderr[-200:]}")
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def offered(trt: Any) -> set[str]:
    """Return all public names of the fake, ``Class.name`` or ``Class``."""
    names = set()
    for kind_name, kind in vars(trt).items():
        if not isinstance(kind, type):
            continue
        own = (
            kind.__members__ if isinstance(kind, EnumMeta) else {**vars(kind), **vars(kind).get("__annotations__", {})}
        )
        names |= {kind_name, *(f"{kind_name}.{name}" for name in own if not name.startswith("_"))}
    return names


def test_the_names_are_those_of_the_real_binding(version: str, cuda: FakeCuda, binding: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a C compiler on Linux makes the libraries that the binding is imported with")
    told = import_binding(binding, compiler, version.partition(".")[0], tmp_path)
    real = {*told["names"], *(f"{kind}.{name}" for kind, names in told["names"].items() for name in names)}
    assert offered(make_tensorrt(version, cuda)) - real == set()
    assert ABSENT.get(version, set()) & real == set()
    assert told["log"] == "heard"
    if version != "8.5.3.1":
        strong = version.startswith(("10", "11"))
        assert told["typing"] == ("strong" if strong else "constraints")
        assert told["shares"] is True
        assert told["goes on"] is (False if strong else None)  # at its limit of no time


def test_the_names_stand_in_the_file_of_the_real_binding(version: str, cuda: FakeCuda, binding: Path) -> None:
    (file,) = binding.glob("tensorrt_bindings/tensorrt.*")
    content = file.read_bytes()
    names = {part for name in offered(make_tensorrt(version, cuda)) for part in name.split(".")}
    # A linker lets one string be the end of another.
    assert {name for name in names if name.encode() + b"\0" not in content} == set()
    assert b"no_such_name\0" not in content


def import_binding(binding: Path, compiler: str, major: str, folder: Path) -> dict[str, Any]:
    """Import the binding with empty libraries, in a process of its own, and return what it tells."""
    (folder / "stubs.c").write_text(STUBS)
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers"):
        name = f"lib{library}.so.{major}"
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-o",
            str(folder / name),
            str(folder / "stubs.c"),
            f"-Wl,-soname,{name}",
        ]
        subprocess.run(command, check=True, capture_output=True)
    root = str(Path(__file__).parents[3])
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH", "")])),
        "PYTHONPATH": os.pathsep.join([str(binding), root]),
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_version_of_the_fake_is_checked() -> None:
    assert set(WHEELS) == set(VERSIONS)
