"""The lines that precisions are chosen on: those that ship for tuning, as the model's own preprocessing gives them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib import resources
from typing import TYPE_CHECKING

from ocrhpi.recognition.batching import plan_equal_widths
from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.inputs import DEFAULT_LIMITS
from ocrhpi.recognition.tensors import to_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, Pixels, Tensor

__all__ = ["line_tensors", "shipped_digest", "shipped_lines"]

_BATCH = 8  # lines of base width


def shipped_lines(limit: int | None = None) -> list[Pixels]:
    """Return the first ``limit`` shipped lines, which stand for all; None: all."""
    with zipfile.ZipFile(io.BytesIO(_archive())) as archive:
        rows = archive.read("index.tsv").decode().splitlines()[1:][:limit]
        names = [row.partition("\t")[0] for row in rows]
        return [decode_image(archive.read(name), name, DEFAULT_LIMITS.max_pixels) for name in names]


def shipped_digest() -> str:
    """Return the SHA-256 of the shipped lines, as hex."""
    return hashlib.sha256(_archive()).hexdigest()


def line_tensors(lines: Sequence[Pixels], spec: InputSpec) -> list[Tensor]:
    """Return the lines as batches of equal exact width, (N, 3, H, W), float32."""
    geometries = [line_geometry(line.shape[1], line.shape[0], spec) for line in lines]
    plan = plan_equal_widths(geometries, _BATCH * spec.base_width)
    return [
        to_tensor([lines[number] for number in batch.numbers], [geometries[number] for number in batch.numbers], spec)
        for batch in plan
    ]


def _archive() -> bytes:
    return (resources.files("ocrhpi") / "tuning" / "data" / "lines.zip").read_bytes()
