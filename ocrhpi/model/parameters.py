"""Files of weights: are they as long as they say themselves, and as their graph asks for?

Paddle reads a file that a copy has cut off, and then other text. ``.pdiparams`` holds one tensor after another, in the
order of names that are not in it: version of the variable (4 bytes), levels (8 bytes, and what these need), version of
the tensor (4 bytes), length of its description (4 bytes), description, numbers.
Format: Paddle's ``SerializeToStream`` (``lod_tensor.cc``, ``tensor_util.cc``) and ``framework.proto``, ``VarType``.
"""

from __future__ import annotations

import math
import mmap
import struct
from typing import TYPE_CHECKING

from ocrhpi.errors import ModelFormatError

if TYPE_CHECKING:
    from pathlib import Path

_BEGINNING, _LEVEL, _DESCRIPTION = struct.Struct("<IQ"), struct.Struct("<Q"), struct.Struct("<Ii")
_MAX_LEVELS = 16
_LONGEST_DESCRIPTION = 1024
_MAX_TENSORS = 100_000
_DATA_TYPE, _SIZE, _SIZES = 0x08, 0x10, 0x12  # tags of data_type, dims, and dims that are packed
_MORE = 0x80  # of the bytes of a number
_BYTES = {  # data_type -> of one number
    0: 1,
    1: 2,
    2: 4,
    3: 8,
    4: 2,
    5: 4,
    6: 8,
    19: 8,
    20: 1,
    21: 1,
    22: 2,
    23: 8,
    24: 16,
    32: 1,
    33: 1,
}
_CURE = "copy or fetch it again"


def check_parameters(file: Path, graph: Path, wanted: tuple[int, int] | None) -> None:
    """Check the length of the parameters of a Paddle model, by their headers alone.

    Args:
        file: ``.pdiparams``.
        graph: The graph that they belong to, for messages.
        wanted: How many tensors that asks for, and how many numbers they hold; None: that is not known.

    Raises:
        ModelFormatError: It is shorter or longer than its headers say, damaged, or belongs to another graph.
    """
    held = _walk(file) if file.stat().st_size else (0, 0)  # what is empty cannot be mapped
    if wanted is not None and held is not None and held != wanted:
        asked = f"{graph.name} asks for {wanted[0]} of {wanted[1]}"
        problem = f"holds {held[0]} tensors of {held[1]} numbers together, but {asked}"
        raise ModelFormatError(file, "parameters", f"{problem}; {_CURE}, or the graph with it")


def check_part(file: Path, graph: Path, offset: int, length: int) -> None:
    """Check that a file is long enough for a tensor of an ONNX graph that lies in it.

    Args:
        file: The file of weights.
        graph: The graph, for messages.
        offset: Where the tensor begins.
        length: How many bytes it has; 0: that is not said.

    Raises:
        ModelFormatError: It is shorter.
    """
    if offset < 0 or length < 0:
        raise ModelFormatError(graph, "external_data", f"{length} bytes at byte {offset} of {file.name}")
    missing = offset + length - file.stat().st_size
    if missing > 0:
        problem = f"is {_bytes(missing)} shorter than {graph.name} asks for; {_CURE}"
        raise ModelFormatError(file, "weights", problem)


def _walk(file: Path) -> tuple[int, int] | None:
    """Return how many tensors a file holds, and how many numbers together; None of those that this does not know."""
    tensors, numbers, position = 0, 0, 0
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position < len(data):
            try:
                position, description = _described(data, position)
                sizes, data_type = _sizes(description)
            except (struct.error, IndexError, ValueError) as error:
                where = f"what follows tensor {tensors} (at byte {position} of {len(data)}) is none"
                problem = f"{where}: cut off, too long or damaged; {_CURE}"
                raise ModelFormatError(file, "parameters", problem) from error
            if data_type not in _BYTES:
                return None
            count = math.prod(sizes)
            position += count * _BYTES[data_type]
            tensors, numbers = tensors + 1, numbers + count
            if position > len(data):
                problem = f"is {_bytes(position - len(data))} shorter than its headers say; {_CURE}"
                raise ModelFormatError(file, "parameters", problem)
            if tensors > _MAX_TENSORS:
                return None
    return tensors, numbers


def _described(data: mmap.mmap, position: int) -> tuple[int, bytes]:
    """Return where the numbers of a tensor begin, and its description."""
    _, levels = _BEGINNING.unpack_from(data, position)
    position += _BEGINNING.size
    if levels > _MAX_LEVELS:
        raise ValueError(f"{levels} levels")
    for _ in range(levels):
        position += _LEVEL.size + _LEVEL.unpack_from(data, position)[0]
    _, length = _DESCRIPTION.unpack_from(data, position)
    position += _DESCRIPTION.size
    description = data[position : position + length]
    if not 0 < length <= _LONGEST_DESCRIPTION or len(description) < length:
        raise ValueError(f"a description of {length} bytes")
    return position + length, description


def _sizes(description: bytes) -> tuple[list[int], int]:
    """Return the sizes and the type of the numbers in a ``TensorDesc``."""
    sizes: list[int] = []
    data_type = position = 0
    while position < len(description):
        tag = description[position]
        value, position = _number(description, position + 1)
        if tag == _DATA_TYPE:
            data_type = value
        elif tag == _SIZE:
            sizes.append(value)
        elif tag == _SIZES:
            end = position + value
            while position < end:
                value, position = _number(description, position)
                sizes.append(value)
        else:
            raise ValueError(f"tag {tag}")
    return sizes, data_type


def _bytes(count: int) -> str:
    return f"{count} byte{'s' * (count != 1)}"


def _number(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & ~_MORE) << shift
        position, shift = position + 1, shift + 7
        if byte < _MORE:
            return value, position
