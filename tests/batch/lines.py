"""Pictures of lines that `ocrhpi.testing.StripeBackend` and its kin read exactly, and what reads them."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from ocrhpi.config.reading_options import ReadingOptions, reading_options
from tests.tiny_model import VOCABULARY, write_config

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocrhpi.values import Pixels

needs_arrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="the extra 'batch' is not installed"
)
needs_pandas = pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")

STEP, STEPS = 8, 40
CLASSES = len(VOCABULARY) + 1  # without the blank: letters, and the space


def pixels(text: str) -> Pixels:
    """Return a line, 320 x 48, of at most 20 letters: one brightness a letter, black between them."""
    classes = np.zeros(STEPS, np.float64)
    classes[: 2 * len(text) : 2] = [VOCABULARY.index(letter) + 1 for letter in text]
    row = np.rint(classes / CLASSES * 255).astype(np.uint8).repeat(STEP)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (48, STEP * STEPS, 3)))


def png(text: str) -> bytes:
    done, data = cv2.imencode(".png", pixels(text))
    assert done
    return bytes(data)


def name_of(number: int) -> str:
    """Return a text for a number, another one for each."""
    return "".join(VOCABULARY[int(digit)] for digit in f"{number:06}")


def write_lines(folder: Path, numbers: Iterable[int]) -> dict[str, str]:
    """Write a picture for each number, in subfolders; return path -> text."""
    written = {}
    for number in numbers:
        path = folder / f"{number % 3}" / f"line {number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(name_of(number)))
        written[path.relative_to(folder).as_posix()] = name_of(number)
    return written


def write_model(directory: Path) -> Path:
    """Write what a model directory needs for backends that read no weights."""
    directory.mkdir()
    write_config(directory)
    (directory / "inference.onnx").write_bytes(b"no weights")
    return directory


def reading_with(backend: str, model_dir: Path, **others: Any) -> ReadingOptions:
    config = {"auto_config": False, "backend": backend}
    return reading_options(model_dir=model_dir, hpi_config=config, device="cpu", **others)


def json_rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows of all parts, in order."""
    parts = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text("utf-8").splitlines()]
