"""What the file of a graph says about itself, read without an engine and without its weights.

An ONNX file (``ModelProto``) and an old Paddle program (``ProgramDesc``) are protobuf messages, of which only what is
asked for is walked; weights are skipped by their length. A new Paddle program (PIR) is JSON.
Formats: https://protobuf.dev/programming-guides/encoding/, ``onnx.proto``, Paddle's ``framework.proto``.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ocrhpi.data_files import read_bounded, read_json
from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.model.parameters import check_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

VOCABULARY_KEY = "character"
"""Metadata of an ONNX recognizer, as RapidOCR and others write it: its vocabulary, one entry a line."""
NAME_KEY = "model_name"
SPACE_KEY = "use_space_char"
"""Metadata of our exports: ``true`` or ``false``, whether a space follows the vocabulary."""
DIRECTION_KEY = "right_to_left"
"""Metadata of our exports: ``true`` or ``false``, see `ocrhpi.model.Model`."""
INPUT_KEY = "input"
"""Metadata of our exports: an `ocrhpi.values.InputSpec` as JSON."""
EXPORTER_KEY = "exporter"
"""Metadata of our exports; others have none."""
PRECISION_KEY = "precision"
"""Metadata of our exports in a lower precision; others have none."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 1_000_000  # of one message; graphs have some thousand nodes
_GRAPH, _METADATA_PROPS = 7, 14  # of ModelProto
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12  # of GraphProto
_NODE_TYPE, _TENSOR_NAME, _EXTERNAL_DATA = 4, 8, 13  # of NodeProto and TensorProto
_BLOCK, _VARIABLE, _OPERATOR, _OPERATOR_TYPE, _LOD_TENSOR = 1, 3, 4, 3, 3  # of ProgramDesc and what it holds
_PERSISTABLE = 3  # of VarDesc
_RANK = 4
_MAX_NODES = 12  # from the output back to the layer that makes the classes
_PASSED_ON = ("Softmax", "LogSoftmax", "Identity", "Cast", "Dropout", "Transpose", "Squeeze", "Reshape", "Flatten")

_FAULTS = (ValueError, LookupError, TypeError, AttributeError, RecursionError, StopIteration)  # of damaged files


@dataclass(frozen=True)
class GraphFacts:
    """What is known of a graph; None where the file leaves it open.

    Attributes:
        rows: Lines of every batch, where it takes no other number.
        channels: Of the images it takes.
        height: Their height in pixels.
        width: Their width in pixels, where it takes no other.
        classes: Classes at each time step.
        masked: Whether it takes the exact width of each line, see `ocrhpi.values.Batching`.
        pixels: Whether it takes uint8 pixels and normalises them itself.
        metadata: What an ONNX file says in words.
        data: Files beside it that hold weights.
        parameters: Of a Paddle graph: how many tensors of weights it takes, and how many numbers these hold together.
    """

    rows: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    classes: int | None = None
    masked: bool = False
    pixels: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    data: tuple[Path, ...] = ()
    parameters: tuple[int, int] | None = None

    @property
    def ours(self) -> bool:
        """Whether `ocrhpi export` made it."""
        return EXPORTER_KEY in self.metadata

    @property
    def plain(self) -> bool:
        """Whether it goes from lines to probabilities in FP32, so that other forms can be made of it."""
        reduced = self.ours and self.classes is None
        return not (self.masked or self.pixels or reduced) and self.precision == "fp32"

    @property
    def precision(self) -> str:
        """Precision of its arithmetic."""
        return self.metadata.get(PRECISION_KEY, "fp32")


def read_graph_facts(path: Path) -> GraphFacts:
    """Return what the graph ``path`` says: ONNX, ``.pdmodel``, or Paddle's ``.json``.

    A damaged file says nothing: that it is damaged, the engine tells that cannot load it.

    Raises:
        ModelNotFound: A file that holds weights of it is missing.
        ModelFormatError: Its weights are said to be outside of its folder, or where such a file has ended.
    """
    try:
        if path.suffix == ".json":
            return _of_pir(read_json(read_bounded(path)))
        data = _mapped(path)
        return _of_program(data) if path.suffix == ".pdmodel" else _of_onnx(path, data)
    except (OSError, *_FAULTS) as error:
        if isinstance(error, (ModelNotFound, ModelFormatError)):
            raise
        return GraphFacts()


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of the ONNX file ``path``, key -> value.

    Raises:
        ModelNotFound: There is no such file.
        ModelFormatError: It is not an ONNX file.
    """
    if not path.is_file():
        raise ModelNotFound(path, "an ONNX file")
    if path.stat().st_size == 0:
        raise ModelFormatError(path, "ONNX", "the file is empty")
    try:
        return _strings(_repeated(_mapped(path), _METADATA_PROPS))
    except _FAULTS as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(path, "ONNX", f"not an ONNX file, or damaged ({error})") from error


def split_vocabulary(text: str) -> list[str]:
    """Return the entries of ``text``, one a line.

    Only the line end is taken off: an entry may be a blank of some kind, or one of the many characters that
    ``str.splitlines`` takes for a line end.
    """
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _mapped(path: Path) -> memoryview:
    """Map a file; it is let go of with the last part of it that somebody holds."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _of_onnx(path: Path, data: memoryview) -> GraphFacts:
    metadata = _strings(_repeated(data, _METADATA_PROPS))
    try:
        graph = _one(data, _GRAPH)
        initializers = _initializers(path, graph)
        inputs = [_value_info(item) for item in _repeated(graph, _INPUT)]
        outputs = [_value_info(item) for item in _repeated(graph, _OUTPUT)]
        inputs = [(name, sizes) for name, sizes in inputs if name not in initializers]
        names = {name for name, _ in inputs}
        pixels = "contents" in names
        sizes = inputs[0][1] if inputs else []
        if pixels and len(sizes) == _RANK:
            sizes = [sizes[axis] for axis in (0, 3, 1, 2)]
        output, of_output = outputs[0] if outputs else ("", [])
        classes = of_output[-1] if of_output else None
        if len(outputs) > 1 and {"indices", "probs"} <= {name for name, _ in outputs}:
            classes = None
        elif classes is None:
            classes = _classes_by_weights(graph, output, initializers)
    except _FAULTS as error:
        if isinstance(error, (ModelNotFound, ModelFormatError)):
            raise
        return GraphFacts(metadata=metadata)
    return replace(
        _of_input(sizes),
        classes=classes,
        masked="widths" in names,
        pixels=pixels,
        metadata=metadata,
        data=tuple(sorted({file for _, file in initializers.values() if file is not None})),
    )


def _of_pir(program: Any) -> GraphFacts:  # noqa: ANN401 - JSON
    operators = program["program"]["regions"][0]["blocks"][0]["ops"]
    sizes: list[int | None] = []
    made: dict[int, list[int]] = {}
    weights: list[list[int]] = []
    classes = None
    for operator in operators:
        results = operator.get("O", [])
        for result in results if isinstance(results, list) else [results]:
            kind = result.get("TT", {})
            if kind.get("#") == "0.t_dtensor":
                made[result["%"]] = kind["D"][1]
        if operator["#"] == "p":
            if (operator.get("OA") or [1])[0]:  # persistable; states of layers are not, and are in no file
                weights.append(made[results["%"]])
        elif operator["#"] == "1.data" and not sizes:
            sizes = [_fixed(size) for size in made[results[0]["%"]]]
        elif operator["#"] == "1.fetch" and classes is None:
            classes = _fixed(made[operator["I"][0]["%"]][-1])
    return replace(_of_input(sizes), classes=classes, parameters=_together(weights))


def _of_program(data: memoryview) -> GraphFacts:
    block = _one(data, _BLOCK)
    variables = _repeated(block, _VARIABLE)
    sizes = {_text(variable, 1): _tensor_sizes(_one(variable, 2)) for variable in variables}
    kept = [_text(variable, 1) for variable in variables if 1 in _repeated(variable, _PERSISTABLE)]
    ends: dict[str, str] = {}  # what is fed and fetched first
    for operator in _repeated(block, _OPERATOR):
        kind = _text(operator, _OPERATOR_TYPE)
        if kind in {"feed", "fetch"}:
            slot = _one(operator, 2 if kind == "feed" else 1)  # its outputs, or its inputs
            ends.setdefault(kind, _text(slot, 2))
    output = sizes[ends["fetch"]]
    weights = [sizes[name] for name in kept if name not in {"feed", "fetch"}]
    return replace(
        _of_input(sizes[ends["feed"]]), classes=output[-1] if output else None, parameters=_together(weights)
    )


def _together(weights: Sequence[Sequence[int | None]]) -> tuple[int, int] | None:
    """Return how many tensors of these sizes there are, and how many numbers they hold; None if a size is open."""
    sizes = [[_fixed(size) for size in tensor] for tensor in weights]
    numbers = [math.prod(size for size in tensor if size is not None) for tensor in sizes]
    return None if not sizes or any(None in tensor for tensor in sizes) else (len(sizes), sum(numbers))


def _tensor_sizes(kind: memoryview) -> list[int | None]:
    """Return the sizes in a ``VarType``, which has them in ``lod_tensor.tensor.dims``."""
    tensors = _repeated(kind, _LOD_TENSOR)
    return [_fixed(_signed(size)) for tensor in tensors for size in _repeated(_one(tensor, 1), 2)]


def _of_input(sizes: Sequence[int | None]) -> GraphFacts:
    """Return what the sizes of an input (N, C, H, W) say."""
    if len(sizes) != _RANK:
        return GraphFacts()
    rows, channels, height, width = sizes
    return GraphFacts(rows, channels, height, width)


def _fixed(size: int | None) -> int | None:
    if not isinstance(size, int | None):
        raise TypeError(f"{size!r:.40} in the place of a size")
    return size if size is not None and size > 0 else None


def _initializers(path: Path, graph: memoryview) -> dict[str, tuple[list[int], Path | None]]:
    """Return the sizes of all weights, by name, and the file that holds them where that is another."""
    found = {}
    for tensor in _repeated(graph, _INITIALIZER):
        sizes: list[int] = []
        for value in _repeated(tensor, 1):
            sizes += [value] if isinstance(value, int) else _packed(value)
        apart = _strings(_repeated(tensor, _EXTERNAL_DATA))
        file = _beside(path, apart["location"]) if "location" in apart else None
        if file is not None:
            check_part(file, path, int(apart.get("offset", "0")), int(apart.get("length", "0")))
        found[_text(tensor, _TENSOR_NAME)] = sizes, file
    return found


def _beside(path: Path, location: str) -> Path:
    """Return a file of weights.

    Raises:
        ModelFormatError: It is outside of the folder: whoever made the model must not have any file read.
        ModelNotFound: It is missing.
    """
    file = (path.parent.resolve() / location).resolve()
    # A cache may hold links to both files, which then lie side by side elsewhere.
    if not any(file.is_relative_to(folder) for folder in (path.parent.resolve(), path.resolve().parent)):
        raise ModelFormatError(path, "external_data", f"its weights are said to be in {location!r}, outside its folder")
    if not file.is_file():
        raise ModelNotFound(file, f"the weights that belong to {path.name}")
    return file


def _classes_by_weights(
    graph: memoryview, output: str, initializers: Mapping[str, tuple[list[int], Any]]
) -> int | None:
    """Find the layer that makes the classes, where the output does not say how many there are."""
    makers = {}
    for node in _repeated(graph, _NODE):
        made_by = _text(node, _NODE_TYPE), [_decoded(name) for name in _repeated(node, 1)]
        makers.update({_decoded(name): made_by for name in _repeated(node, 2)})
    for _ in range(_MAX_NODES):
        if output not in makers:
            break
        kind, inputs = makers[output]
        weights = [initializers[name][0] for name in inputs if name in initializers]
        if kind == "Conv" and weights:
            return weights[0][0]
        if kind in {"Add", "MatMul", "Gemm"} and weights and weights[-1]:
            return weights[-1][-1]
        if kind not in {*_PASSED_ON, "Add"} or not inputs:
            break
        output = inputs[0]
    return None


def _value_info(message: memoryview) -> tuple[str, list[int | None]]:
    """Return name and sizes of a ``ValueInfoProto``."""
    tensors = [tensor for kind in _repeated(message, 2) for tensor in _repeated(kind, 1)]
    dimensions = [one for tensor in tensors for shape in _repeated(tensor, 2) for one in _repeated(shape, 1)]
    sizes = [next((_fixed(_signed(size)) for size in _repeated(one, 1)), None) for one in dimensions]
    return _text(message, 1), sizes


def _strings(messages: Sequence[memoryview]) -> dict[str, str]:
    """Return the entries of a list of ``StringStringEntryProto``."""
    entries = [{number: _decoded(value) for number, value in _fields(one)} for one in messages]
    return {entry.get(1, ""): entry.get(2, "") for entry in entries}


def _repeated(message: memoryview, wanted: int) -> list[Any]:
    return [value for number, value in _fields(message) if number == wanted]


def _one(message: memoryview, wanted: int) -> Any:  # noqa: ANN401 - an int or a message
    return next(value for number, value in _fields(message) if number == wanted)


def _text(message: memoryview, wanted: int) -> str:
    return _decoded(_one(message, wanted))


def _decoded(value: Any) -> str:  # noqa: ANN401 - an int or a message
    if isinstance(value, int):  # of which bytes() would make so many zeros
        raise TypeError(f"{value} in the place of text")
    return bytes(value).decode()


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield number and value of every field: an int, or the bytes of what has a length, which are not copied."""
    position, end = 0, len(data)
    for _ in range(_MAX_FIELDS):
        if position >= end:
            return
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"field number 0 at byte {position}")
        if wire_type == _BYTES:
            length, position = _varint(data, position)
            if position + length > end:
                raise ValueError(f"field {number} ends after the end of the file")
            yield number, data[position : position + length]
            position += length
        elif wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif wire_type in {_FIXED32, _FIXED64}:
            position += 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
    raise ValueError(f"more than {_MAX_FIELDS} fields")


def _packed(data: memoryview) -> list[int]:
    values, position = [], 0
    if len(data) > _MAX_FIELDS:
        raise ValueError(f"a list of {len(data)} bytes")
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of the encoding
            return value, position
    raise ValueError(f"overlong number at byte {position}")
