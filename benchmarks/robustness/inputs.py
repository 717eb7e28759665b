"""Lines among which one cannot be read."""

from __future__ import annotations

import io
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.robustness.rows import MODEL, row
from ocrhpi import load_predictor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.robustness.rows import Row


def inputs(files: Sequence[str], times: int) -> Iterator[Row]:
    """Read 1,000 lines with one among them that cannot be read."""
    del times
    lines = [files[number % len(files)] for number in range(1000)]
    kinds = list(_unreadable(Path(files[0])))
    with load_predictor(MODEL, backend="openvino", device="cpu", batching="split") as predictor:
        expected = [result["rec_text"] for result in predictor.predict(lines, batch_size=8)]
        outcome: Counter[str] = Counter()
        start = time.monotonic()
        for number, (kind, bad) in enumerate(kinds):
            place = 37 * number % 1000
            mixed: list[Any] = [*lines[:place], bad, *lines[place + 1 :]]
            read = predictor.predict(mixed, batch_size=8, on_error="skip")
            others = [result["rec_text"] for result in read]
            told = read[place]["error"] is not None and others[place] == ""
            others[place] = expected[place]
            good = told and others == expected
            outcome["told, 999 equal" if good else f"{kind}: {'other text' if told else 'not told'}"] += 1
    yield row("inputs", f"one unreadable of 1,000, {len(kinds)} kinds", len(kinds), outcome, time.monotonic() - start)


def _unreadable(image: Path) -> Iterator[tuple[str, Any]]:
    """Yield kinds of inputs that cannot be read as a line."""
    whole = image.read_bytes()
    picture = Image.open(image).convert("RGB")
    for name in ("JPEG", "WEBP", "BMP", "GIF", "TIFF", "PNG"):
        buffer = io.BytesIO()
        picture.save(buffer, name)
        yield f"{name}, cut off", buffer.getvalue()[: len(buffer.getvalue()) // 2]
        yield f"{name}, header alone", buffer.getvalue()[:24]
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    yield "PNG, a byte flipped", bytes(flipped)
    yield "nothing", b""
    yield "text", b"this is no image at all, and long enough to be taken for one" * 8
    yield "a web page", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "a PDF cut off", b"%PDF-1.7\n1 0 obj <<"
    yield "a missing file", str(image.with_name("no such file.png"))
    yield "a name of 5,000 letters", "x" * 5000 + ".png"
    yield "a name with NUL", "a\0b.png"
    yield "a URL of nobody", "http://127.0.0.1:1/line.png"
    yield "a URL that is none", "http://[::1/line.png"
    yield "None", None
    yield "a number", 3.5
    yield "an object", object()
    yield "floats", np.zeros((48, 320, 3), np.float32)
    yield "booleans", np.zeros((48, 320, 3), bool)
    yield "no pixels", np.zeros((0, 320, 3), np.uint8)
    yield "five channels", np.zeros((48, 320, 5), np.uint8)
    yield "channels first", np.zeros((3, 48, 320), np.uint8)
