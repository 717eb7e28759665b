"""The table of systems that are compared. To add one, add a row; a new kind of call also needs a reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Files = Literal["model", "paddle", "peer_onnx"]
"""Model files that a system takes, see `benchmarks.peers.model_files`."""

_READERS = "benchmarks.peers.readers"
_PADDLEOCR, _RAPIDOCR, _OCRHPI = f"{_READERS}:PaddleOcr", f"{_READERS}:RapidOcr", f"{_READERS}:Ocrhpi"
_HIGH_PERFORMANCE = f"{_READERS}:OcrhpiHighPerformance"


@dataclass(frozen=True)
class System:
    """One way to read lines.

    Attributes:
        name: Name in the report.
        reader: Class that calls it, ``"module:Class"``.
        files: Model files that it takes.
        options: What the reader passes on.
        ours: Whether it is ocrhpi, which runs in this interpreter; peers run in theirs.
        note: What a reader of the report must know about it.
        own_batch: Whether it has a batch size of its own and takes no other.
        peers: Which environment of peers it needs, see `benchmarks.peers.peer_venv`.
    """

    name: str
    reader: str
    files: Files
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False
    note: str = ""
    own_batch: bool = False
    peers: str = "peers"

    @property
    def environment(self) -> str:
        """The environment that it runs in: ``ours``, or that of its peers."""
        return "ours" if self.ours else self.peers


@dataclass(frozen=True)
class Setting:
    """A system at a batch size: what is timed and ranked."""

    system: System
    batch: int

    @property
    def name(self) -> str:
        """Name in the report, in logs and on the progress bar."""
        return f"{self.system.name}, {'own batch size' if self.system.own_batch else f'batch {self.batch}'}"

    def describe(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"name": self.name, "batch": self.batch, "system": asdict(self.system)}


_FORCED = "RapidOCR has no option for the precision: the benchmark adds INFERENCE_PRECISION_HINT=f32 to its properties"
_TUNED = "what it chose was measured before it is timed"
_ONE_A_CALL = "takes one image a call, so all lines are as many calls; PP-OCRv6 alone"
_MASKED, _SPLIT = {"batching": "masked"}, {"batching": "split"}
_TWO_STREAMS = {"hint": "throughput", "streams": 2}

# The first FP32 system that works is the reference where the label file is not for the model.
SYSTEMS = (
    System("PaddleOCR paddle_static", _PADDLEOCR, "paddle", {"engine": "paddle_static"}, note="oneDNN, its default"),
    System("PaddleOCR paddle_static plain", _PADDLEOCR, "paddle", {"engine": "paddle_static", "enable_mkldnn": False}),
    System("PaddleOCR onnxruntime", _PADDLEOCR, "peer_onnx", {"engine": "onnxruntime"}),
    System("RapidOCR onnxruntime", _RAPIDOCR, "peer_onnx", {"engine": "onnxruntime"}),
    System("RapidOCR openvino", _RAPIDOCR, "peer_onnx", {"engine": "openvino"}, note="as it comes"),
    System("RapidOCR openvino f32", _RAPIDOCR, "peer_onnx", {"engine": "openvino", "force_f32": True}, note=_FORCED),
    System("RapidOCRLite", f"{_READERS}:RapidOcrLite", "peer_onnx", note=_ONE_A_CALL, own_batch=True, peers="lite"),
    System("ocrhpi paddle", _OCRHPI, "model", {"backend": "paddle"}, ours=True),
    System("ocrhpi onnxruntime", _OCRHPI, "model", {"backend": "onnxruntime"}, ours=True),
    System("ocrhpi onnxruntime masked", _OCRHPI, "model", {"backend": "onnxruntime", **_MASKED}, ours=True),
    System("ocrhpi openvino", _OCRHPI, "model", {"backend": "openvino"}, ours=True),
    System("ocrhpi openvino masked", _OCRHPI, "model", {"backend": "openvino", **_MASKED}, ours=True),
    System(
        "ocrhpi openvino masked 2 streams",
        _OCRHPI,
        "model",
        {"backend": "openvino", **_MASKED, "backend_options": _TWO_STREAMS},
        ours=True,
    ),
    System("ocrhpi openvino split", _OCRHPI, "model", {"backend": "openvino", **_SPLIT}, ours=True),
    System(
        "ocrhpi openvino split 2 streams",
        _OCRHPI,
        "model",
        {"backend": "openvino", **_SPLIT, "backend_options": _TWO_STREAMS},
        ours=True,
    ),
    System(
        "ocrhpi openvino masked bf16",
        _OCRHPI,
        "model",
        {"backend": "openvino", **_MASKED, "backend_options": {"precision": "bf16"}},
        ours=True,
    ),
    System(
        "ocrhpi openvino natural bf16 2 streams",
        _OCRHPI,
        "model",
        {"backend": "openvino", "batching": "natural", "backend_options": {"precision": "bf16", **_TWO_STREAMS}},
        ours=True,
    ),
    *(
        System(name, _HIGH_PERFORMANCE, "model", {"accuracy": accuracy}, ours=True, note=_TUNED, own_batch=True)
        for name, accuracy in (
            ("ocrhpi high performance", "identical"),
            ("ocrhpi high performance no-loss", "no-loss"),
        )
    ),
)


def choose_systems(names: tuple[str, ...]) -> list[System]:
    """Return the systems whose name contains one of ``names``, ignoring case; all of them if there are none.

    Raises:
        ValueError: A name matches nothing.
    """
    for name in names:
        if not any(name.lower() in system.name.lower() for system in SYSTEMS):
            raise ValueError(f"{name!r} is none of: {', '.join(system.name for system in SYSTEMS)}")
    return [system for system in SYSTEMS if not names or any(name.lower() in system.name.lower() for name in names)]
