"""Which provider runs which node of a session, as ONNX Runtime itself records it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeAlias

from ocrhpi.backends.ort.names import CPU, NAME
from ocrhpi.errors import BackendMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.backends.ort.names import Session

Placement: TypeAlias = "Mapping[str, Counter[str]]"
"""Provider -> operator -> how many nodes of it the provider runs."""

RECORDING = "session.record_ep_graph_assignment_info"
"""Session setting that `assigned_nodes` needs."""

# What a network spends its time in. Names with Fused and Nhwc are ONNX Runtime's own, after its graph optimisation.
_COMPUTE = frozenset(
    {
        *("Conv", "FusedConv", "NhwcConv", "NhwcFusedConv", "ConvTranspose"),
        *("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Attention", "MultiHeadAttention"),
        *("LSTM", "GRU", "RNN"),
    }
)
# What works out shapes, and is at home on the CPU even in a GPU session.
_SHAPE_ARITHMETIC = frozenset(
    {
        *("Shape", "Size", "Constant", "ConstantOfShape", "Range", "Identity", "Cast", "Reshape", "Expand", "Tile"),
        *("Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements", "Slice", "Split", "Concat"),
        *("Squeeze", "Unsqueeze", "Transpose", "Where", "Not", "And", "Or", "Equal"),
        *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sign"),
        *("Min", "Max", "Floor", "Ceil", "Clip", "ReduceProd", "ReduceSum", "ReduceMin", "ReduceMax"),
    }
)


def assigned_nodes(session: Session) -> Placement:
    """Return what a session that was made with `RECORDING` assigned to each provider; ONNX Runtime 1.24 and newer."""
    placement: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for subgraph in session.get_provider_graph_assignment_info():
        placement[str(subgraph.ep_name)].update(str(node.op_type) for node in subgraph.get_nodes())
    return dict(placement)


def profiled_nodes(profile: Path) -> Placement:
    """Return what ran where, from the profile of one run: for older versions."""
    placement: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for event in json.loads(profile.read_text("utf-8")):
        arguments = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and "provider" in arguments:
            placement[arguments["provider"]][arguments["op_name"]] += 1
    return dict(placement)


def check_placement(placement: Placement, wanted: str, asked: str) -> None:
    """See that a GPU's provider really runs the network, with only shape arithmetic left to the CPU.

    Args:
        placement: Of all nodes.
        wanted: The provider that should run them.
        asked: What the user asked for, as a phrase.

    Raises:
        BackendMismatch: It runs no node, or a part of the network runs elsewhere.
    """
    elsewhere: Counter[str] = Counter()
    for provider, operators in placement.items():
        if provider != wanted:
            at_home = _SHAPE_ARITHMETIC if provider == CPU else operators.keys() - _COMPUTE
            elsewhere.update({f"{name} on {provider}": n for name, n in operators.items() if name not in at_home})
    if elsewhere:
        strays = ", ".join(f"{count} {name}" for name, count in elsewhere.most_common(5))
        raise BackendMismatch(NAME, asked, f"ONNX Runtime left a part of the network elsewhere: {strays}")
    if not placement.get(wanted):
        raise BackendMismatch(NAME, asked, f"ONNX Runtime gave no node to {wanted}")
