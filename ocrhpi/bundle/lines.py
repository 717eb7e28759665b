"""The lines of known text that go with a bundle, and what they must read."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from PIL import Image

from ocrhpi.edge.config import CALIBRATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.tuning.calibration import CalibrationLine
    from ocrhpi.values import Pixels, TextLine


def calibration_files(lines: Sequence[CalibrationLine], texts: Sequence[TextLine]) -> dict[str, bytes]:
    """Return the files of the calibration lines: their images as PNG, and their list.

    Args:
        lines: The lines.
        texts: What is read in them where the bundle is made.
    """
    files: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    for number, (line, read) in enumerate(zip(lines, texts, strict=True)):
        name = f"calibration/{number:03}.png"
        files[name] = _png(line.pixels)
        written = {} if line.text is None else {"written": line.text}
        entries.append({"file": name, "expected": read.text, "score": float(read.score), **written})
    files[CALIBRATION] = json.dumps({"lines": entries}, ensure_ascii=False, indent=1).encode()
    return files


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., ::-1].copy()).save(file, "PNG", optimize=True)
    return file.getvalue()
