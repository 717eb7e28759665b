"""Normal mode: the engine that runs where nothing was measured, and that everything else is compared with."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.gpu import gpu_reason
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.model import Model

# The first of them that is installed; those that read Paddle's files are none for a model that is ONNX alone.
_ENGINES = {"paddle": "Paddle", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_log = logging.getLogger("ocrhpi")


def normal_mode(
    model: Model,
    device: str | None = None,
    *,
    threads: int | None = None,
    machine: Mapping[str, Any] | None = None,
) -> Candidate:
    """Return what reads ``model`` in FP32, one line a batch, with nothing changed: Paddle, if it can.

    For a model that is ONNX alone, or where Paddle is not installed, it is ONNX Runtime, and without that OpenVINO.
    On a GPU it is the first of them that uses it by CUDA, and where none does, the first on the CPU.

    Args:
        model: The model.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the backend choose, and asks nothing of the machine.
        threads: CPU threads; None: the usable cores.
        machine: As `ocrhpi.machine.describe_machine` says; None asks it where a GPU is wanted.

    Raises:
        OptionError: Nothing is installed that runs the model; the error says what would.
    """
    specs = backend_specs()
    paddle = model.files.paddle_graph is not None
    fitting = [specs[name] for name in _ENGINES if paddle or not specs[name].runs_paddle]
    installed = [spec for spec in fitting if availability(spec).available]
    if not installed:
        installs = " or ".join(spec.install for spec in fitting)
        raise OptionError("backend", f"no engine is installed that runs {model.name}: {installs}")
    chosen = installed[0]
    device = device and device.strip().lower()
    if device is not None and device.startswith("gpu"):
        by_cuda = [spec for spec in installed if spec.by_cuda and not gpu_reason(spec.name, {}, device, machine)]
        chosen, device = (by_cuda[0], device) if by_cuda else (chosen, "cpu")
    if not paddle:
        _say_once(model.path, model.name, _ENGINES[chosen.name])
    options = {**model.own_precision, **chosen.with_threads(threads)}
    return Candidate(backend=chosen.name, device=device, options=options)


@cache
def _say_once(path: Path, name: str, engine: str) -> None:
    """Say it once in a process: `cache` remembers that it was said."""
    del path  # tells models of one name apart
    _log.info("%s is ONNX alone: normal mode is %s in FP32", name, engine)
