"""Which values go into and come out of each layer, measured on calibration lines; a NumPy archive."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.errors import OptionError
from ocrhpi.export.passes import INPUT_NAME
from ocrhpi.files import replacing, told_as_output
from ocrhpi.recognition.batching import plan_batches
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.tensors import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from onnx import ModelProto

    from ocrhpi.values import InputSpec, Pixels, Tensor

_BATCH = 8  # lines of base width


def line_tensors(lines: Sequence[Pixels], spec: InputSpec) -> list[Tensor]:
    """Return the lines as batches of equal exact width, (N, 3, H, W), float32."""
    geometries = [line_geometry(line.shape[1], line.shape[0], spec) for line in lines]
    plan = plan_batches([one.padded_width for one in geometries], _BATCH * spec.base_width, call_cost=0)
    return [
        to_tensor([lines[number] for number in batch.numbers], [geometries[number] for number in batch.numbers], spec)
        for batch in plan
    ]


Range: TypeAlias = tuple[float, float]
"""Least and largest value of a tensor."""

_LEVELS = 255
_BINS = 2048
_KEPT = np.linspace(0.3, 1.0, 15)  # how much of each side of the whole range


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """The values of one layer.

    Attributes:
        input: Range that INT8 should cover of its input.
        output: The same of its output.
        channels: (3, C), float32: least, largest and mean value of each channel of its input.
    """

    input: Range
    output: Range
    channels: npt.NDArray[np.float32]


def measure_layers(model: ModelProto, layers: Iterable[str], tensors: Sequence[Tensor]) -> dict[str, LayerStatistics]:
    """Run the calibration lines and measure layers.

    Args:
        model: The plain graph.
        layers: Output tensors of the layers.
        tensors: Batches, (N, 3, H, W), float32, of calibration lines.
    """
    wanted = set(layers)
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.output and node.output[0] in wanted}
    names = sorted({*sources, *sources.values()})
    channels: dict[str, npt.NDArray[np.float64]] = {}
    counts = dict.fromkeys(names, 0)
    for values in _run(model, names, tensors):
        for name, value in values.items():
            channels[name] = _joined(channels.get(name), _channels(value))
            counts[name] += value.size // channels[name].shape[1]
    bins = {name: np.zeros(_BINS) for name in names}
    limits = {name: _limits(channels[name]) for name in names}
    for values in _run(model, names, tensors):
        for name, value in values.items():
            bins[name] += _histogram(value, limits[name])
    ranges = {name: least_error_range(bins[name], *limits[name]) for name in names}
    for name in names:
        channels[name][2] /= counts[name]
    return {
        layer: LayerStatistics(ranges[source], ranges[layer], channels[source].astype(np.float32))
        for layer, source in sources.items()
    }


def least_error_range(counts: npt.NDArray[np.floating], low: float, high: float) -> Range:
    """Return the part of a range on which rounding to INT8, with all beyond it clipped, has the least square error.

    Args:
        counts: How many values are in each of equally wide bins between ``low`` and ``high``.
        low: Least value, at most 0.
        high: Largest value, at least 0.
    """
    edges = np.linspace(low, high, len(counts) + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    best, least = (low, high), np.inf
    for first in low * _KEPT if low < 0 else (low,):
        for last in high * _KEPT if high > 0 else (high,):
            beyond = middles - np.clip(middles, first, last)
            # Rounding errs by up to half a level either way, evenly.
            error = float((counts * (beyond**2 + ((last - first) / _LEVELS) ** 2 / 12)).sum())
            if error < least:
                best, least = (float(first), float(last)), error
    return best


def write_statistics(statistics: Mapping[str, LayerStatistics], path: Path) -> None:
    """Write the archive, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for layer, values in statistics.items():
        arrays[f"{layer}/ranges"] = np.array([values.input, values.output])
        arrays[f"{layer}/channels"] = values.channels
    with told_as_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Given a name, it would add its own ending.
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its keywords are arrays


def read_statistics(path: Path) -> dict[str, LayerStatistics]:
    """Read what `write_statistics` wrote.

    Raises:
        OptionError: It cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            layers = [name.removesuffix("/ranges") for name in archive.files if name.endswith("/ranges")]
            ranges = {layer: archive[f"{layer}/ranges"].tolist() for layer in layers}
            return {
                layer: LayerStatistics((inputs[0], inputs[1]), (outputs[0], outputs[1]), archive[f"{layer}/channels"])
                for layer, (inputs, outputs) in ranges.items()
            }
    except (OSError, ValueError, KeyError) as error:
        problem = f"{path} holds no statistics of layers ({error}); make them with 'ocrhpi lower'"
        raise OptionError("precision", problem) from error


def statistics_digest(statistics: Mapping[str, LayerStatistics]) -> str:
    """Return sixteen hexadecimal digits that change with the statistics."""
    digest = hashlib.sha256()
    for layer, values in sorted(statistics.items()):
        digest.update(repr((layer, values.input, values.output)).encode() + values.channels.tobytes())
    return digest.hexdigest()[:16]


def _channels(value: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return least and largest value and sum of each channel, (3, C); of sequences the channels are the last axis."""
    axis = 1 if value.ndim == 4 else value.ndim - 1  # noqa: PLR2004 - maps are (N, C, H, W)
    others = tuple(number for number in range(value.ndim) if number != axis)
    return np.stack([value.min(axis=others), value.max(axis=others), value.sum(axis=others, dtype=np.float64)])


def _joined(one: npt.NDArray[np.float64] | None, other: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if one is None:
        return other
    return np.stack([np.minimum(one[0], other[0]), np.maximum(one[1], other[1]), one[2] + other[2]])


def _limits(channels: npt.NDArray[np.float64]) -> Range:
    return min(0.0, float(channels[0].min())), max(0.0, float(channels[1].max()))


def _histogram(value: npt.NDArray[np.float32], limits: Range) -> npt.NDArray[np.int64]:
    """Count the values in each bin; several times as fast as ``np.histogram``."""
    low, high = limits
    bins = (value.ravel() - np.float32(low)) * np.float32(_BINS / (high - low) if high > low else 0.0)
    return np.bincount(np.minimum(bins.astype(np.int64), _BINS - 1), minlength=_BINS)


def _run(
    model: ModelProto, names: Sequence[str], tensors: Iterable[Tensor]
) -> Iterator[Mapping[str, npt.NDArray[np.float32]]]:
    """Yield the values of tensors of the graph for each batch."""
    with as_it_was():
        import onnx  # noqa: PLC0415 - only what makes graphs needs them
        import onnxruntime  # noqa: PLC0415

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    computed = [name for name in names if name != INPUT_NAME]
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in computed)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, ["CPUExecutionProvider"])
    for tensor in tensors:
        values = dict(zip(computed, session.run(computed, {INPUT_NAME: tensor}), strict=True))
        yield values | ({INPUT_NAME: tensor} if INPUT_NAME in names else {})
