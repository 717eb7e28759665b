"""Whether a reference model is what was published, in size and arithmetic, and is fit to compare engines by."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from paddle import nn

from benchmarks.reference_models.blocks import Attention, ConvNorm
from benchmarks.reference_models.models import make_network
from benchmarks.reference_models.weights import line_images
from ocrhpi.loader import load_predictor
from ocrhpi.tuning.calibration import load_calibration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from benchmarks.reference_models.families import Recognizer

__all__ = ["Counts", "activation_faults", "check_model", "count", "differences", "published", "text_faults"]

_TABLE = Path(__file__).with_name("published.csv")
_WIDTH = 320
_LINES = 24
_MIN_DISTINCT = 0.9  # of the texts
_MIN_CHARACTERS = 10
_MEAN_SCORES = (0.5, 0.97)  # peaks, but not of the same height everywhere
_MAX_ACTIVATION = 1e4  # trained networks stay far below it; beyond 65504 FP16 would overflow


@dataclass(frozen=True)
class Counts:
    """Size and arithmetic of an inference graph.

    Attributes:
        parameters: Numbers in the parameter file.
        inference_parameters: The same with every batch norm that follows a convolution folded into it.
        macs: Multiply-adds of convolutions and matrix products for an image 48 high and 320 wide.
        time_steps: Columns of the output for that image.
        parameter_file_bytes: Size of the parameter file.
    """

    parameters: int
    inference_parameters: int
    macs: int
    time_steps: int
    parameter_file_bytes: int


def published() -> dict[str, Counts]:
    """Return the published counts by model, from ``published.csv``."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {name: Counts(*map(int, numbers)) for name, *numbers in rows}


def check_model(name: str, directory: Path, *, seed: int = 0) -> list[str]:
    """Say what is wrong with the model ``name`` that was written to ``directory``; empty if nothing is.

    Args:
        name: A key of `benchmarks.reference_models.models.MODELS`.
        directory: What `write_model` made, in whichever format.
        seed: What it was made with.
    """
    network = make_network(name, seed=seed)
    found = count(network, (directory / "inference.pdiparams").stat().st_size)
    lines = [line.pixels for line in load_calibration(limit=_LINES).lines]
    with load_predictor(model_dir=directory, device="cpu") as predictor:
        results = list(predictor.predict_iter(lines))
    read = text_faults([one["rec_text"] for one in results], [one["rec_score"] for one in results])
    return [*differences(found, published()[name]), *activation_faults(network), *read]


def count(network: Recognizer, parameter_file_bytes: int) -> Counts:
    """Count a network, and take over the size of the file that its parameters were written to."""
    parameters = sum(math.prod(tensor.shape) for tensor in network.state_dict().values())
    macs, steps = _run_counted(network)
    return Counts(parameters, parameters - _folded(network.sublayers()), macs, steps, parameter_file_bytes)


def differences(found: Counts, expected: Counts) -> list[str]:
    """Say in what ``found`` differs from ``expected``."""
    return [
        f"{field.name}: {getattr(found, field.name):,}, expected {getattr(expected, field.name):,}"
        for field in fields(Counts)
        if getattr(found, field.name) != getattr(expected, field.name)
    ]


def text_faults(texts: Sequence[str], scores: Sequence[float]) -> list[str]:
    """Say why what was read on a number of different lines is not fit to compare engines by; empty if it is."""
    empty, distinct, characters = texts.count(""), len(set(texts)), len(set("".join(texts)))
    faults = []
    if empty:
        faults.append(f"{empty} of {len(texts)} lines are read as nothing")
    if distinct < _MIN_DISTINCT * len(texts):
        faults.append(f"only {distinct} of {len(texts)} lines are read differently")
    if characters < _MIN_CHARACTERS:
        faults.append(f"only {characters} characters are ever read")
    mean, (low, high) = float(np.mean(scores)), _MEAN_SCORES
    if not low < mean < high:
        faults.append(f"the mean score is {mean:.3f}, expected between {low} and {high}")
    return faults


def activation_faults(network: Recognizer) -> list[str]:
    """Name the layers whose output is not finite, or far from unit scale, on images that look like lines."""
    faults: list[str] = []

    def look(layer: Any, inputs: object, output: Any) -> None:  # noqa: ANN401 - Paddle is untyped
        del inputs
        if not isinstance(output, paddle.Tensor):  # a part that also returns a width; its layers are looked at alone
            return
        largest = float(np.abs(output.numpy()).max())
        if not largest < _MAX_ACTIVATION:
            faults.append(f"{layer.full_name()}: an activation of {largest:g}")

    _run_hooked(network, look, line_images(2, _WIDTH, seed=1))
    return faults


def _run_counted(network: Recognizer) -> tuple[int, int]:
    """Return multiply-adds and columns of the output for one image."""
    total = 0

    def add(layer: Any, inputs: tuple[Any], output: Any) -> None:  # noqa: ANN401 - Paddle is untyped
        nonlocal total
        if isinstance(layer, nn.Conv2D):
            total += math.prod(output.shape) * math.prod(layer.weight.shape[1:])
        elif isinstance(layer, nn.Linear):
            total += math.prod(output.shape) * layer.weight.shape[0]
        elif isinstance(layer, Attention):
            total += 2 * math.prod(inputs[0].shape) * inputs[0].shape[1]

    output = _run_hooked(network, add, np.zeros((1, 3, 48, _WIDTH), np.float32))
    return total, int(output.shape[1])


def _run_hooked(network: Recognizer, hook: Any, images: npt.NDArray[np.float32]) -> Any:  # noqa: ANN401
    hooks = [layer.register_forward_post_hook(hook) for layer in network.sublayers()]
    try:
        with paddle.no_grad():
            return network(paddle.to_tensor(images))
    finally:
        for one in hooks:
            one.remove()


def _folded(layers: Iterable[nn.Layer]) -> int:
    """Return how many numbers vanish where batch norms are folded into convolutions: four vectors become a bias."""
    return sum(_vanishing(layer) for layer in layers if isinstance(layer, ConvNorm))


def _vanishing(layer: ConvNorm) -> int:
    channels = int(layer.conv.weight.shape[0])
    return 4 * channels if layer.conv.bias is not None else 3 * channels
