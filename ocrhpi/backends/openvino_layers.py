"""Precisions of single layers in OpenVINO: which one each has, and how some stay in FP32 where the hint says less.

OpenVINO's CPU plug-in computes a node in FP32 in spite of the hint if the node has a certain attribute. From Python
that can be set in the text of a network only. It is lost where the plug-in replaces a node by another, as it does with
matrix products by constants: these follow the hint.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from ocrhpi.files import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_NAMES = {"f32": "fp32", "f16": "fp16", "u8": "int8", "i8": "int8"}
_MARK = "ocrhpi.fp32/"
_ATTRIBUTES = (
    {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16,bf16"},
    {"name": "precise", "version": "0"},  # what older versions call it; each skips the one that it does not know
)


def layer_precisions(compiled: Any) -> dict[str, int]:  # noqa: ANN401 - OpenVINO's types need it imported
    """Return how many convolutions and matrix products of a compiled network run in each precision.

    On a CPU only; those of attention are fused into larger nodes and not counted.
    """
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _LAYERS:
            precision = facts["runtimePrecision"].astype(str)
            counts[_NAMES.get(precision, precision)] += 1
    return dict(sorted(counts.items()))


def keep_fp32(
    network: Any,  # noqa: ANN401 - as above
    tensors: Collection[str],
    save: Callable[..., None],
    read: Callable[[bytes, bytes], Any],
) -> Any:  # noqa: ANN401
    """Return ``network`` with the nodes that make ``tensors`` kept in FP32.

    Args:
        network: As it was read from ONNX; its nodes are renamed.
        tensors: Names of tensors.
        save: OpenVINO's ``save_model``.
        read: Makes a network of a text and its weights.
    """
    wanted = set(tensors)
    for node in network.get_ops():
        if any(wanted & output.get_names() for output in node.outputs()):
            for part in _parts(node):
                part.set_friendly_name(_MARK + part.get_friendly_name().removeprefix(_MARK))
    with temporary_folder() as folder:
        text = folder / "network.xml"
        save(network, text, compress_to_fp16=False)
        return read(_with_attributes(text.read_bytes()), text.with_suffix(".bin").read_bytes())


def _parts(node: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield a node and those before it that stand for the same operator of ONNX: their tensors have no names."""
    yield node
    for value in node.input_values():
        if not value.get_names() and value.get_node().get_type_name() != "Constant":
            yield from _parts(value.get_node())


def _with_attributes(text: bytes) -> bytes:
    root = ET.fromstring(text)  # noqa: S314 - OpenVINO has just written it
    for layer in root.iterfind("layers/layer"):
        if layer.get("name", "").startswith(_MARK):
            facts = layer.find("rt_info")
            if facts is None:
                facts = ET.Element("rt_info")
                layer.insert(int(layer.find("data") is not None), facts)  # the order that the format asks for
            facts.extend(ET.Element("attribute", attributes) for attributes in _ATTRIBUTES)
    return ET.tostring(root)
