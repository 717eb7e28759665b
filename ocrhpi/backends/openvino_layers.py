"""Precisions of single layers in OpenVINO: which one each has, and how some stay in FP32 where the hint says less.

OpenVINO's CPU plug-in computes a node in FP32 in spite of the hint if the node has a certain attribute. Attributes are
lost where a node is replaced, so the network is first brought into the form in which the plug-in leaves its nodes alone,
and they can be set from Python in the text of a serialised network only.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["keep_fp32", "layer_precisions"]

_LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "u8": "int8", "i8": "int8"}
_MARK = "ocrhpi.fp32/"
_ATTRIBUTES = (
    {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16,bf16"},
    {"name": "precise", "version": "0"},  # its name before OpenVINO 2026; versions skip what they do not know
)


def layer_precisions(compiled: Any) -> dict[str, int]:  # noqa: ANN401 - OpenVINO's types need it imported
    """Return how many convolutions and matrix products of a compiled network run in each precision."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _LAYERS:
            precision = facts["runtimePrecision"].astype(str)
            counts[_PRECISIONS.get(precision, precision)] += 1
    return dict(sorted(counts.items()))


def keep_fp32(
    network: Any,  # noqa: ANN401
    tensors: Collection[str],
    simplify: Callable[..., None],
    save: Callable[..., None],
    read: Callable[[bytes, Any], Any],
) -> Any:  # noqa: ANN401
    """Return ``network`` with the nodes that make ``tensors`` kept in FP32.

    Args:
        network: As it was read; is changed.
        tensors: Names of tensors.
        simplify: OpenVINO's ``apply_moc_transformations``.
        save: Its ``save_model``.
        read: Makes a network of the text and the weights.
    """
    for node in network.get_ops():
        if not set(tensors).isdisjoint(*(output.get_names() for output in node.outputs())):
            _mark(node)
    simplify(network, cf=True)
    with tempfile.TemporaryDirectory(prefix="ocrhpi-") as folder:
        text, weights = Path(folder, "network.xml"), Path(folder, "network.bin")
        save(network, text, compress_to_fp16=False)
        return read(_with_attributes(text.read_bytes()), weights.read_bytes())
