"""What the files of graphs say about themselves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.export.exporter import GraphForm, export_model
from ocrhpi.model import load_model
from ocrhpi.model.graph_facts import GraphFacts, read_graph_facts, read_onnx_metadata
from tests.oracle import LETTERS, write_onnx, write_paddle
from tests.tiny_onnx import write_tiny_onnx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def model(**metadata: str) -> bytes:
    """A ModelProto with a version, a producer, a "graph" of 300 bytes, and metadata."""
    graph = text(7, b"\x72" * 300)  # bytes that would read as metadata, were the graph not skipped
    props = b"".join(text(14, text(1, key.encode()) + text(2, value.encode())) for key, value in metadata.items())
    return varint(1 << 3) + varint(8) + text(2, b"test") + graph + props


def test_metadata_of_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(character="a\n\u4f60\nb", model_name="mine"))
    assert read_onnx_metadata(path) == {"character": "a\n\u4f60\nb", "model_name": "mine"}
    read = load_model(path)
    assert read.name == "mine"
    assert read.vocabulary == ("a", "\u4f60", "b")


def test_real_file(v6_small_dir: Path) -> None:
    characters = read_onnx_metadata(v6_small_dir / "inference.onnx")["character"].split("\n")
    assert len(characters) == 18708
    assert characters[:3] == ["!", '"', "#"]


def test_an_onnx_file_without_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(author="x"))
    with pytest.raises(ModelFormatError, match=r"m\.onnx: metadata\.character: missing"):
        load_model(path)


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for content in (b"", b"\x00\x00\x00", b"hello world, this is text", model(a="b")[:-1], b"\xff" * 40):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"m\.onnx"):
            read_onnx_metadata(path)
    with pytest.raises(ModelNotFound):
        read_onnx_metadata(tmp_path / "none.onnx")


CLASSES = len(LETTERS) + 2
USUAL = GraphFacts(channels=3, height=48, classes=CLASSES)


def seen_in(path: Path) -> GraphFacts:
    """Return input, output and form of a graph."""
    facts = read_graph_facts(path)
    return GraphFacts(facts.rows, facts.channels, facts.height, facts.width, facts.classes, facts.masked, facts.pixels)


def test_of_a_real_program_in_the_old_format(v4_mobile_dir: Path) -> None:
    facts = read_graph_facts(v4_mobile_dir / "inference.pdmodel")
    assert seen_in(v4_mobile_dir / "inference.pdmodel") == GraphFacts(channels=3, height=48, classes=6625)
    assert facts.plain
    assert not facts.ours


def test_of_a_real_onnx_file(v6_small_dir: Path) -> None:
    facts = read_graph_facts(v6_small_dir / "inference.onnx")
    assert set(facts.metadata) == {"character"}
    assert seen_in(v6_small_dir / "inference.onnx") == GraphFacts(channels=3, height=48, classes=18710)
    assert facts.plain
    assert not facts.ours


SHAPES: list[tuple[dict[str, Any], GraphFacts]] = [
    ({}, USUAL),
    ({"space": False}, replace(USUAL, classes=CLASSES - 1)),
    ({"height": 32, "channels": 1}, replace(USUAL, height=32, channels=1)),
    ({"height": 64, "width": 256}, replace(USUAL, height=64, width=256)),
    ({"batch": 1}, replace(USUAL, rows=1)),
    ({"batch": 4, "width": 320}, replace(USUAL, rows=4, width=320)),
]


@pytest.mark.parametrize(("written", "facts"), SHAPES)
def test_sizes_that_are_fixed_are_known_and_the_others_are_not(
    written: dict[str, Any], facts: GraphFacts, tmp_path: Path
) -> None:
    assert seen_in(write_paddle(tmp_path, LETTERS, **written) / "inference.json") == facts
    for named in (True, False):
        file = write_onnx(tmp_path / "rec.onnx", LETTERS, **written, named_dims=named)
        assert seen_in(file) == facts


def test_sizes_in_the_old_format(tmp_path: Path) -> None:
    for number, (written, facts) in enumerate((SHAPES[0], SHAPES[-1])):
        file = write_paddle(tmp_path / str(number), LETTERS, **written, old=True) / "inference.pdmodel"
        if not file.is_file():
            pytest.skip("this Paddle does not write the old format")
        assert seen_in(file) == facts


def test_of_a_width_masked_graph(tmp_path: Path) -> None:
    file = write_tiny_onnx(tmp_path / "m.onnx", masked=True)
    facts = seen_in(file)
    assert facts == GraphFacts(channels=3, height=48, classes=28, masked=True)
    assert not read_graph_facts(file).plain
    assert seen_in(write_tiny_onnx(file, masked=True, head="argmax")) == replace(facts, classes=None)


@pytest.mark.parametrize(
    ("form", "facts", "plain"),
    [
        (GraphForm(), USUAL, True),
        (GraphForm(masked=True), replace(USUAL, masked=True), False),
        (GraphForm(pixels=True), replace(USUAL, pixels=True), False),
        (GraphForm("topk"), replace(USUAL, classes=None), False),
        (GraphForm("logits", masked=True, pixels=True), replace(USUAL, classes=None, masked=True, pixels=True), False),
        (GraphForm(precision="fp16"), USUAL, False),
    ],
)
def test_of_our_exports(form: GraphForm, facts: GraphFacts, *, plain: bool, tmp_path: Path) -> None:
    model = load_model(write_onnx(tmp_path / "rec.onnx", LETTERS, metadata={"character": "\n".join(LETTERS)}))
    exported = export_model(model, form, cache_dir=tmp_path).files.onnx
    assert exported is not None
    found = read_graph_facts(exported)
    assert seen_in(exported) == facts
    assert (found.ours, found.plain, found.precision) == (True, plain, form.precision)
    assert found.metadata["model_name"] == "rec"


def weights_of(*sizes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.zeros(sizes, np.float32)


@pytest.mark.parametrize(
    ("layers", "classes"),
    [
        ([("MatMul", weights_of(4, 7))], 7),
        ([("MatMul", weights_of(4, 7)), ("Add", weights_of(7)), ("Softmax", None)], 7),
        ([("MatMul", weights_of(4, 7)), ("Identity", None), ("Cast", None), ("LogSoftmax", None)], 7),
        ([("MatMul", weights_of(4, 7)), ("Add", weights_of(1, 1, 7)), ("Reshape", None), ("Softmax", None)], 7),
        ([("Conv", weights_of(9, 4, 1, 1)), ("Squeeze", None), ("Transpose", None), ("Softmax", None)], 9),
        ([("Gemm", weights_of(4, 7))], 7),
        ([("MatMul", weights_of(4, 7)), ("Relu", None)], None),
        ([("Softmax", None)], None),
        ([("MatMul", weights_of(4, 7)), *[("Identity", None)] * 20], None),
    ],
)
def test_the_layer_that_makes_the_classes_says_how_many_there_are(
    layers: Sequence[tuple[str, np.ndarray[Any, np.dtype[np.float32]] | None]], classes: int | None, tmp_path: Path
) -> None:
    nodes, initializers = [], []
    for number, (kind, weight) in enumerate(layers):
        inputs = [f"t{number}"]
        if weight is not None:
            inputs.append(f"w{number}")
            initializers.append(numpy_helper.from_array(weight, inputs[1]))
        nodes.append(helper.make_node(kind, inputs, [f"t{number + 1}"]))
    image = helper.make_tensor_value_info("t0", TensorProto.FLOAT, ["N", 3, 48, "W"])
    text = helper.make_tensor_value_info(f"t{len(layers)}", TensorProto.FLOAT, ["N", "T", "C"])
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [image], [text], initializers)), tmp_path / "m.onnx")
    assert read_graph_facts(tmp_path / "m.onnx").classes == classes


def test_weights_are_no_inputs(tmp_path: Path) -> None:
    """Old exporters list them among the inputs, the first of all."""
    graph = onnx.load(write_onnx(tmp_path / "m.onnx", LETTERS))
    listed = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 3, 48, 8])
    image = graph.graph.input[0]
    del graph.graph.input[:]
    graph.graph.input.extend([listed, image])
    onnx.save(graph, tmp_path / "m.onnx")
    assert seen_in(tmp_path / "m.onnx") == USUAL


def test_files_that_hold_weights(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "m.onnx", LETTERS, external_data="weights.bin")
    named = write_onnx(tmp_path / "n.onnx", LETTERS, external_data="weights 2.bin", named_dims=False)
    for one, data in ((file, "weights.bin"), (named, "weights 2.bin")):
        assert seen_in(one) == USUAL
        assert read_graph_facts(one).data == (tmp_path / data,)
    shutil.move(tmp_path / "weights.bin", tmp_path / "other.bin")
    with pytest.raises(ModelNotFound, match=r"weights\.bin: not found; expected the weights that belong to m\.onnx"):
        read_graph_facts(file)


@pytest.mark.parametrize("location", ["../ghts.bin", "/tmp/ht.bin", "a/../../bin"])  # noqa: S108 - as long as it is
def test_files_outside_of_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "model" / "m.onnx", LETTERS, external_data="weights.bin")
    shutil.copy(tmp_path / "model" / "weights.bin", tmp_path / "ghts.bin")
    file.write_bytes(file.read_bytes().replace(b"weights.bin", location.encode()))
    with pytest.raises(ModelFormatError, match=r"m\.onnx: external_data: .*outside its folder\.$"):
        read_graph_facts(file)


def test_a_link_does_not_lead_outside_either(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "model" / "m.onnx", LETTERS, external_data="weights.bin")
    shutil.move(tmp_path / "model" / "weights.bin", tmp_path / "secret.bin")
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelFormatError, match="outside its folder"):
        read_graph_facts(file)


def test_links_to_files_that_lie_side_by_side_elsewhere_are_followed(tmp_path: Path) -> None:
    """As caches of models keep them."""
    file = write_onnx(tmp_path / "blobs" / "m.onnx", LETTERS, external_data="weights.bin")
    (tmp_path / "model").mkdir()
    for name, blob in (("m.onnx", "1234"), ("weights.bin", "5678")):
        shutil.move(file.with_name(name), file.with_name(blob))
        (tmp_path / "model" / name).symlink_to(file.with_name(blob))
    assert read_graph_facts(tmp_path / "model" / "m.onnx").data == (file.with_name("5678"),)


def test_weights_that_were_cut_off_are_missed(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "m.onnx", LETTERS, external_data="weights.bin")
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:-3])
    with pytest.raises(
        ModelFormatError, match=r"weights\.bin: weights: is 3 bytes shorter than m\.onnx asks for; copy"
    ):
        read_graph_facts(file)


def test_messages_and_lists_without_end_say_nothing(tmp_path: Path) -> None:
    sizes = text(1, varint(1) * 2_000_000)
    for graph in (varint(8) * 3_000_000, text(5, sizes + text(8, b"w"))):
        (tmp_path / "m.onnx").write_bytes(text(7, graph))
        assert read_graph_facts(tmp_path / "m.onnx") == GraphFacts()


def test_sizes_that_are_no_whole_numbers_say_nothing(tmp_path: Path) -> None:
    for size in ("4.5", '"48"', "[48]", "1e400"):
        program = """{"program": {"regions": [{"blocks": [{"ops": [{"#": "1.data", "O": [{"%": 1, "TT":
                     {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, [-1, 3, SIZE, -1]]}}]}]}]}]}}"""
        (tmp_path / "m.json").write_text(program.replace("SIZE", size), "utf-8")
        assert read_graph_facts(tmp_path / "m.json") == GraphFacts()
    (tmp_path / "m.json").write_text(program.replace("SIZE", "48"), "utf-8")
    assert read_graph_facts(tmp_path / "m.json").height == 48


@pytest.mark.parametrize(
    "program",
    [
        *([], {}, "x", 1, None),
        {"program": {"regions": [{"blocks": [{"ops": ["data"]}]}]}},
        {"program": {"regions": [{"blocks": [{"ops": [{"#": "1.data", "O": ["x"]}]}]}]}},
        {"program": {"regions": [{"blocks": [{"ops": [{"#": "1.data", "O": [{"%": 1, "TT": "f32"}]}]}]}]}},
        {"program": {"regions": [{"blocks": [{"ops": [{"#": "1.fetch", "I": [], "O": []}]}]}]}},
    ],
)
def test_a_program_of_another_form_says_nothing(program: object, tmp_path: Path) -> None:
    (tmp_path / "inference.json").write_text(json.dumps(program), "utf-8")
    assert read_graph_facts(tmp_path / "inference.json") == GraphFacts()


@pytest.mark.parametrize("name", ["m.onnx", "m.pdmodel", "m.json"])
@pytest.mark.parametrize("content", [b"", b"\x00", b"hello world, this is text", b"\xff" * 40, b"[" * 100_000])
def test_a_file_that_is_no_graph_says_nothing(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_graph_facts(tmp_path / name) == GraphFacts()
    assert read_graph_facts(tmp_path / f"no {name}") == GraphFacts()


def test_a_number_in_the_place_of_text_is_not_made_into_so_many_bytes(tmp_path: Path) -> None:
    """As a message of a graph that has an input, whose name is 2 ** 62."""
    graph = text(7, text(11, varint(1 << 3) + varint(1 << 62)))
    (tmp_path / "m.onnx").write_bytes(graph + text(14, text(1, b"character") + text(2, b"a")))
    assert read_graph_facts(tmp_path / "m.onnx") == GraphFacts(metadata={"character": "a"})
    (tmp_path / "m.onnx").write_bytes(text(14, varint(1 << 3) + varint(1 << 62)))
    with pytest.raises(ModelFormatError, match="not an ONNX file, or damaged"):
        read_onnx_metadata(tmp_path / "m.onnx")
