"""TensorRT on the host: a module ``tensorrt`` of a given version, whose engines run their ONNX with ONNX Runtime.

It offers only names that the real binding of that version has, which test_binding_names.py checks, and refuses what
the real one refuses: shapes outside a profile, two contexts on one profile in 8.5, engines of another version.
"""

from __future__ import annotations

from enum import IntEnum
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tests.backends.trt.fake_builder import add_builder
from tests.backends.trt.fake_engine import add_engine
from tests.backends.trt.fake_network import add_network

if TYPE_CHECKING:
    from tests.backends.trt.fake_cuda import FakeCuda

VERSIONS = ("8.5.3.1", "8.6.1", "10.0.1", "10.16.1.11", "11.4.0.106")


class State:
    """What a test looks at, and what it wants to go wrong.

    Attributes:
        builds: Settings of each build.
        contexts: Execution contexts made.
        steps: Steps of a build that the progress monitor hears of.
        on_step: Called at each of them.
        build_error: If set, builds fail with this error in the log.
        ignore_types: Build all layers in FP32, whatever the graph says.
        run_error: If set, runs fail with this error in the log.
    """

    def __init__(self) -> None:
        self.builds: list[dict[str, Any]] = []
        self.contexts: list[Any] = []
        self.steps = 3
        self.on_step: Any = lambda: None
        self.build_error = ""
        self.ignore_types = False
        self.run_error = ""


def make_tensorrt(version: str, cuda: FakeCuda) -> Any:
    """Return a fake of ``tensorrt`` of ``version``; its `State` is ``_state``."""
    trt: Any = ModuleType("tensorrt")
    trt.__version__ = version
    trt._number = tuple(int(part) for part in version.split(".")[:2])
    trt._state = State()
    _add_enums(trt, trt._number)
    _add_callbacks(trt, trt._number)
    add_network(trt, trt._number)
    add_builder(trt, trt._state, trt._number)
    add_engine(trt, trt._state, trt._number, cuda)
    return trt


def _add_enums(trt: Any, number: tuple[int, ...]) -> None:
    members = {
        "BuilderFlag": ["TF32", *(["FP16", "OBEY_PRECISION_CONSTRAINTS"] if number < (11, 0) else [])],
        "DataType": ["FLOAT", "HALF", "INT32", "BOOL", "UINT8", *(["INT64"] if number >= (10, 0) else [])],
        "LayerInformationFormat": ["ONELINE", "JSON"],
        "LayerType": [
            *("CONVOLUTION", "ACTIVATION", "CONSTANT", "IDENTITY", "SHAPE"),
            *(["CAST"] if number >= (8, 6) else []),
        ],
        "MemoryPoolType": ["WORKSPACE"],
        "NetworkDefinitionCreationFlag": [
            *(["EXPLICIT_BATCH"] if number < (11, 0) else []),
            *(["STRONGLY_TYPED"] if number >= (10, 0) else []),
        ],
        "PreviewFeature": ["PROFILE_SHARING_0806"] if (8, 6) <= number < (11, 0) else [],
        "ProfilingVerbosity": ["LAYER_NAMES_ONLY", "DETAILED"],
        "TensorIOMode": ["NONE", "INPUT", "OUTPUT"],
        "TensorLocation": ["DEVICE", "HOST"],
    }
    if number >= (8, 6):
        members["HardwareCompatibilityLevel"] = ["NONE", "AMPERE_PLUS"]
    if number >= (10, 0):
        members["ExecutionContextAllocationStrategy"] = ["STATIC", "USER_MANAGED"]
    for name, values in members.items():
        setattr(trt, name, IntEnum(name, values, start=0))


def _add_callbacks(trt: Any, number: tuple[int, ...]) -> None:
    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def log(self, severity: int, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            raise NotImplementedError

        def step_complete(self, phase_name: str, step: int) -> bool:
            raise NotImplementedError

        def phase_finish(self, phase_name: str) -> None:
            raise NotImplementedError

    trt.ILogger = ILogger
    if number >= (10, 0):
        trt.IProgressMonitor = IProgressMonitor
