"""FP16 by the graph: which nodes are in which precision, strong typing, few casts, no overflow from masks."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ocrhpi.export import masking
from ocrhpi.export.exporter import export_model
from ocrhpi.export.fp16 import element_types, emulate_half, to_half
from ocrhpi.export.heads import HEADS, add_head, take_pixels
from ocrhpi.export.masking import mask_widths
from ocrhpi.model import load_model
from tests.conftest import needs_paddle2onnx
from tests.export.test_masking import attention, conv, conv_weights, graph

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import Head

FP16, FP32 = TensorProto.FLOAT16, TensorProto.FLOAT
MATRIX = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
SENSITIVE = {
    "BatchNormalization",
    "LayerNormalization",
    "Softmax",
    "ReduceMean",
    "ReduceMax",
    "ReduceSum",
    "GlobalAveragePool",
} | {"Pow", "Sqrt", "Reciprocal", "Exp", "TopK", "ArgMax"}


def precisions(model: onnx.ModelProto) -> dict[str, set[int]]:
    """Output -> float types of all inputs and outputs of its node."""
    types = element_types(model)
    return {
        node.output[0]: {types[name] for name in (*node.input, *node.output) if name} & {FP16, FP32}
        for node in model.graph.node
    }


def operators(model: onnx.ModelProto, precision: int) -> Counter[str]:
    found = precisions(model)
    return Counter(node.op_type for node in model.graph.node if found[node.output[0]] == {precision})


def check(half: onnx.ModelProto) -> None:
    """What holds for every half graph."""
    onnx.checker.check_model(half, full_check=True)
    types, found = element_types(half), precisions(half)
    casts = {node.output[0]: node for node in half.graph.node if node.op_type == "Cast"}
    for node in half.graph.node:
        if node.op_type not in {"Cast", "Shape"}:
            assert len(found[node.output[0]]) <= 1, f"{node.op_type} {node.name} mixes types"
        if node.op_type in MATRIX:
            assert found[node.output[0]] == {FP16}, f"{node.op_type} {node.name} is not in FP16"
        if node.op_type in SENSITIVE:
            assert found[node.output[0]] == {FP32}, f"{node.op_type} {node.name} is not in FP32"
    for node in casts.values():
        assert node.input[0] not in casts, f"{node.name} casts what was cast"
        assert types[node.input[0]] != types[node.output[0]], f"{node.name} casts to the same type"
    changed = [node for node in casts.values() if types[node.input[0]] in {FP16, FP32}]
    targets = Counter((node.input[0], types[node.output[0]]) for node in changed)
    assert set(targets.values()) <= {1}, "a tensor is cast to the same type twice"
    assert FP16 not in {types[item.name] for item in (*half.graph.input, *half.graph.output)}
    assert [(item.key, item.value) for item in half.metadata_props if item.key == "precision"] == [
        ("precision", "fp16")
    ]


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, feeds)]


def form(plain: onnx.ModelProto, head: Head, *, masked: bool) -> onnx.ModelProto:
    made = copy.deepcopy(plain)
    return add_head(mask_widths(made) if masked else made, head)


WIDTHS = np.array([160, 9, 64, 131], np.int32)


def extremes() -> np.ndarray:
    """Lines of saturated pixels, `WIDTHS` wide: white, black, stripes, noise."""
    batch = np.ones((4, 3, 48, 160), np.float32)
    batch[1] = -1
    batch[2, :, :, ::2] = -1
    batch[3] = np.random.default_rng(0).choice([-1, 1], (3, 48, 160))
    for row, width in zip(batch, WIDTHS, strict=True):
        row[..., width:] = 0
    return batch


@needs_paddle2onnx
def test_every_family_in_every_form(small_model: Model, exports_dir: Path) -> None:
    exported = export_model(small_model, cache_dir=exports_dir).files.onnx
    assert exported is not None
    plain = onnx.load(exported)
    batch = extremes()
    for head, masked in zip(HEADS, (False, True, False, True), strict=True):
        single = form(plain, head, masked=masked)
        half = to_half(copy.deepcopy(single))
        check(half)
        assert [item.name for item in half.graph.input] == [item.name for item in single.graph.input]
        assert list(half.graph.output) == list(single.graph.output)
        feeds = {"x": batch, **({"widths": WIDTHS} if masked else {})}
        for value in (*run(half, feeds), *run(emulate_half(half), feeds)):
            assert np.isfinite(value).all()
        check(take_pixels(half))


@needs_paddle2onnx
def test_a_real_model_has_casts_at_its_borders_only(v4_mobile: Model, exports_dir: Path) -> None:
    exported = export_model(v4_mobile, cache_dir=exports_dir).files.onnx
    assert exported is not None
    half = to_half(onnx.load(exported))
    check(half)
    # In at the first convolution, around each of the means, normalisations and softmaxes, out at the last.
    single = operators(half, FP32)
    regions = single["GlobalAveragePool"] + single["Softmax"] + single["Sqrt"] + single["LayerNormalization"]
    assert Counter(node.op_type for node in half.graph.node)["Cast"] <= 2 * regions + 2
    assert sum(operators(half, FP16).values()) > 3 * sum(single.values())


def test_the_vocabulary_and_weights_of_a_real_model_are_half_as_large(v6_small_dir: Path) -> None:
    file = load_model(v6_small_dir).files.onnx
    assert file is not None
    model = onnx.load(file)
    before = model.ByteSize()
    assert to_half(model).ByteSize() < 0.6 * before


def test_the_same_graph_gives_the_same_bytes_and_a_half_graph_stays() -> None:
    def made() -> onnx.ModelProto:
        return to_half(mask_widths(graph(*attention(rows=True), weights=ATTENTION)))

    once = made()
    assert made().SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)
    assert to_half(copy.deepcopy(once)).SerializeToString(deterministic=True) == once.SerializeToString(
        deterministic=True
    )


ATTENTION = {"flat": np.array([0, 5, -1]), "one": np.array([1]), "two": np.array([2])}

NORM = [
    helper.make_node("ReduceMean", ["h"], ["mean"], axes=[1], keepdims=1),
    helper.make_node("Sub", ["h", "mean"], ["centred"]),
    helper.make_node("Pow", ["centred", "square"], ["squares"]),
    helper.make_node("ReduceMean", ["squares"], ["variance"], axes=[1], keepdims=1),
    helper.make_node("Add", ["variance", "epsilon"], ["floored"]),
    helper.make_node("Sqrt", ["floored"], ["deviation"]),
    helper.make_node("Div", ["centred", "deviation"], ["normed"]),
    helper.make_node("Mul", ["normed", "gamma"], ["scaled"]),
    helper.make_node("Add", ["scaled", "beta"], ["shifted"]),
]
NORM_WEIGHTS = {
    "square": np.array(2.0),
    "epsilon": np.array(1e-6),
    "gamma": np.full((5, 1, 1), 1.5),
    "beta": np.full((5, 1, 1), 0.5),
}


def copies(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Passes edit in place."""
    return [copy.deepcopy(node) for node in nodes]


def test_a_layer_norm_of_nine_nodes_is_one_region_in_fp32() -> None:
    last = helper.make_node("Conv", ["shifted", "w2", "b2"], ["g"], kernel_shape=[1, 1])
    half = to_half(graph(*copies(*NORM), last, weights={**NORM_WEIGHTS, **conv_weights(1)}))
    check(half)
    found = precisions(half)
    assert all(found[node.output[0]] == {FP32} for node in NORM)
    # x, h, shifted, g, tokens, logits: one each.
    assert sum(node.op_type == "Cast" for node in half.graph.node) == 6


def test_a_residual_stream_stays_in_fp16_between_pre_norms() -> None:
    block = [
        helper.make_node("Conv", ["shifted", "w2", "b2"], ["mixed"], kernel_shape=[1, 1]),
        helper.make_node("Add", ["h", "mixed"], ["g"]),
    ]
    half = to_half(graph(*copies(*NORM), *block, weights={**NORM_WEIGHTS, **conv_weights(1)}))
    check(half)
    assert precisions(half)["g"] == {FP16}


def test_an_unfolded_batch_norm_is_in_fp32() -> None:
    names = ["scale", "offset", "mean", "variance"]
    nodes = [helper.make_node("BatchNormalization", ["h", *names], ["g"])]
    half = to_half(graph(*nodes, weights={name: np.linspace(0.5, 1.5, 5) for name in names}))
    check(half)


def test_squares_are_in_fp32() -> None:
    half = to_half(graph(helper.make_node("Mul", ["h", "h"], ["g"])))
    check(half)
    assert precisions(half)["g"] == {FP32}


@pytest.mark.parametrize(
    ("factor", "precision"),
    [(1e6, FP32), (1e-9, FP32), (1.0, FP16), (0.0, FP16)],
    ids=["overflow", "flush", "fit", "0"],
)
def test_weights_that_fp16_cannot_hold_keep_their_node_in_fp32(factor: float, precision: int) -> None:
    weights = {**conv_weights(3), "w2": conv_weights(3)["w2"] * factor}
    half = to_half(graph(conv(3), weights=weights))
    onnx.checker.check_model(half, full_check=True)
    assert precisions(half)["g"] == {precision}
    found = next(item for item in half.graph.node if item.output[0] == "g")
    constant = next(item for item in half.graph.initializer if item.name == found.input[1])
    assert np.isfinite(onnx.numpy_helper.to_array(constant)).all()


def test_infinity_is_no_overflow() -> None:
    half = to_half(graph(helper.make_node("Max", ["h", "low"], ["g"]), weights={"low": np.array(-np.inf)}))
    check(half)
    assert precisions(half)["g"] == {FP16}


def test_a_constant_of_both_precisions_is_kept_in_both() -> None:
    nodes = [helper.make_node("Mul", ["h", "c"], ["m"]), helper.make_node("Pow", ["m", "c"], ["g"])]
    plain = graph(*nodes, weights={"c": np.array(2.0)})
    feeds = {"x": extremes()}
    half = to_half(copy.deepcopy(plain))
    check(half)
    np.testing.assert_allclose(run(half, feeds)[0], run(plain, feeds)[0], atol=0.05)


def test_an_output_that_is_computed_in_fp16_leaves_in_fp32() -> None:
    made = graph(conv(3), weights=conv_weights(3))
    made.graph.node[-1].op_type = "Sigmoid"
    del made.graph.node[-1].attribute[:]
    half = to_half(made)
    check(half)
    assert [(item.name, item.type.tensor_type.elem_type) for item in half.graph.output] == [("probabilities", FP32)]


def test_more_operators_can_be_left_in_fp32() -> None:
    half = to_half(graph(conv(3), weights=conv_weights(3)), ["MatMul"])
    assert operators(half, FP32)["MatMul"] == 1
    assert operators(half, FP16)["Conv"] == 2


def test_control_flow_is_refused() -> None:
    made = graph(conv(3), weights=conv_weights(3))
    branch = helper.make_graph(
        [helper.make_node("Identity", ["g"], ["b"])], "b", [], [helper.make_empty_tensor_value_info("b")]
    )
    made.graph.node.insert(3, helper.make_node("If", ["flag"], ["unused"], then_branch=branch, else_branch=branch))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.bool_), "flag"))
    with pytest.raises(ValueError, match=r"If .* is control flow"):
        to_half(made)


@pytest.mark.parametrize("never", [masking._NEVER, -1e9], ids=str)
@pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows x columns"])
def test_masked_attention_has_no_infinite_scores(rows: bool, never: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """-1e9 would be -inf in FP16, and -inf times the mask's 0 is not a number; it must not get there."""
    monkeypatch.setattr(masking, "_NEVER", never)
    half = to_half(mask_widths(graph(*attention(rows), weights=ATTENTION)))
    check(half)
    batch = extremes()
    for model in (half, emulate_half(half)):
        together, steps = run(model, {"x": batch, "widths": WIDTHS})
        assert np.isfinite(together).all()
        for row, width in enumerate(WIDTHS):
            alone, _ = run(model, {"x": batch[row : row + 1, ..., :width], "widths": WIDTHS[row : row + 1]})
            np.testing.assert_allclose(together[row, : steps[row]], alone[0], atol=2e-3)


def test_columns_are_counted_beyond_what_fp16_can_count() -> None:
    """FP16 knows no odd number above 2048."""
    half = to_half(mask_widths(graph(conv(3), weights=conv_weights(3))))
    check(half)
    assert operators(half, FP32)["CumSum"] == 1
    widths = np.array([3200, 3199, 2049, 2051, 2053], np.int32)
    batch = np.zeros((len(widths), 3, 48, 3200), np.float32)
    for model in (half, emulate_half(half)):
        _, steps = run(model, {"x": batch, "widths": widths})
        assert steps.tolist() == [1600, 1600, 1025, 1026, 1027]


def test_the_border_of_a_masked_max_pool_fits_fp16() -> None:
    pool = helper.make_node("MaxPool", ["h"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    half = to_half(mask_widths(graph(pool)))
    check(half)
    outputs = run(emulate_half(half), {"x": extremes(), "widths": WIDTHS})
    assert all(np.isfinite(value).all() for value in outputs)


def test_the_emulation_rounds_every_result() -> None:
    """Against numpy, whose float16 arithmetic is FP32 arithmetic rounded."""
    shape = ("N", 3, 48, "W")
    made = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "identity"], ["a"], kernel_shape=[1, 1]),
            helper.make_node("Mul", ["a", "factor"], ["b"]),
            helper.make_node("Add", ["b", "offset"], ["c"]),
            helper.make_node("Transpose", ["c"], ["y"], perm=[0, 1, 3, 2]),
        ],
        "chain",
        [helper.make_tensor_value_info("x", FP32, shape)],
        [helper.make_tensor_value_info("y", FP32, ("N", 3, "W", 48))],
        [
            onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32)[..., None, None], "identity"),
            onnx.numpy_helper.from_array(np.array(1.2345, np.float32), "factor"),
            onnx.numpy_helper.from_array(np.array(100.0, np.float32), "offset"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 48, 320)).astype(np.float32)
    expected = x.astype(np.float16) * np.float16(1.2345) + np.float16(100)
    assert not np.array_equal(expected, (x * 1.2345 + 100).astype(np.float16)), "one rounding would do"
    (found,) = run(emulate_half(to_half(model)), {"x": x})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.transpose(0, 1, 3, 2))
