"""Read the metadata of an ONNX file without the ``onnx`` package and without reading the weights.

The vocabulary of a bare ONNX recogniser stands in ``ModelProto.metadata_props``. Only the top level of the
protobuf message is walked; the graph, which holds the weights, is skipped by its length.
Format: https://protobuf.dev/programming-guides/encoding/ and ``onnx.proto`` (``metadata_props`` is field 14).
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from ocrhpi.errors import ModelFormatError, ModelNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read_onnx_metadata"]

_METADATA_PROPS = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


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
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            entries = [_strings(bytes(value)) for field, value in _fields(data) if field == _METADATA_PROPS]
        except (ValueError, IndexError) as error:
            raise ModelFormatError(path, "ONNX", f"not an ONNX file, or damaged ({error})") from error
    return {entry.get(1, ""): entry.get(2, "") for entry in entries}


def _strings(message: bytes) -> dict[int, str]:
    return {field: bytes(value).decode("utf-8") for field, value in _fields(message)}


def _fields(data: bytes | mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Yield (field number, bytes) of every length-delimited field; the large graph field is not copied."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        field, wire_type = key >> 3, key & 7
        if field == 0:
            raise ValueError(f"field number 0 at byte {position}")
        if wire_type == _BYTES:
            length, position = _varint(data, position)
            if position + length > end:
                raise ValueError(f"field {field} ends after the end of the file")
            if field in {1, 2, _METADATA_PROPS}:
                yield field, data[position : position + length]
            position += length
        elif wire_type == _VARINT:
            _, position = _varint(data, position)
        elif wire_type in {_FIXED32, _FIXED64}:
            position += 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")


def _varint(data: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of the encoding
            return value, position
    raise ValueError(f"overlong number at byte {position}")
