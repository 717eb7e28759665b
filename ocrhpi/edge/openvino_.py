"""OpenVINO on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.edge.engine import EdgeEngine
from ocrhpi.errors import BackendError, BackendMismatch

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.edge.bundle import Artifact

_CACHE_MASKED, _CACHE_PLAIN = 2000, 1000  # docs/decisions/0006-openvino-memory.md
_HINTS = {
    "fp32": "f32",
    "bf16": "bf16",
    "fp16": "f16",
}


class OpenVinoEngine(EdgeEngine):
    """OpenVINO with one stream on the CPU."""

    name = "openvino"

    def _open(self, artifact: Artifact, precision: str) -> None:
        import openvino  # noqa: PLC0415 - engines are imported only by the engine that is opened

        if precision not in _HINTS:
            raise BackendMismatch(self.name, f"precision {precision}", f"this runner knows {', '.join(_HINTS)}")
        core = openvino.Core()
        network = core.read_model(artifact.data or str(artifact.path))
        inputs, outputs = ([tensor.get_names() for tensor in ends] for ends in (network.inputs, network.outputs))
        self.interface = GraphInterface.read(Path(artifact.name), inputs, outputs)
        hint = _HINTS[precision]
        compiled = core.compile_model(
            network,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": self.threads,
                "ENABLE_CPU_PINNING": False,
                "CPU_RUNTIME_CACHE_CAPACITY": str(_CACHE_MASKED if self.interface.masked else _CACHE_PLAIN),
            },
        )
        got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if got != hint:
            raise BackendMismatch(self.name, f"precision {precision}", f"OpenVINO would run {got} on this CPU")
        self.version = str(openvino.get_version())
        self._request: Any = compiled.create_infer_request()

    def _run(self, inputs: tuple[npt.NDArray[Any], ...]) -> list[npt.NDArray[Any]]:
        request, self._request = self._request, None
        if request is None:  # it may give the outputs of an earlier batch, see `ocrhpi.backends.openvino_`
            raise BackendError(self.name, "it failed at an earlier batch and cannot go on; open the bundle anew")
        # The outputs stay in the engine's memory until the next call; emissions are made of them before that.
        outputs = request.infer(dict(enumerate(inputs)), share_inputs=True, share_outputs=True)
        self._request = request
        return list(outputs.values())
