"""The lines that are read: from a folder with a label file, or rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.label_file import read_label_file
from benchmarks.peers.rendering import render_lines
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.values import InputSpec, Pixels


@dataclass(frozen=True)
class Lines:
    """Lines in memory, decoded once, for all systems alike.

    Attributes:
        title: What they are, for the report.
        names: A name for each.
        images: Their pixels, BGR.
        labels: The texts of the label file, or what was rendered.
        reference: Whether ``labels`` is what the model reads; else the first FP32 system says what it is.
    """

    title: str
    names: list[str]
    images: list[Pixels]
    labels: list[str]
    reference: bool

    def padded_widths(self, spec: InputSpec) -> int:
        """Return how many different widths a network of ``spec`` sees, one line at a time."""
        return len(padded_widths(self.images, spec))

    def save(self, path: Path) -> None:
        """Write the images for the workers."""
        save_images(self.images, path)


def save_images(images: Sequence[Pixels], path: Path) -> None:
    """Write ``images`` for the workers, named so that their names sort as they come."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"{number:06}": image for number, image in enumerate(images)}
    np.savez(path, **arrays)


def padded_widths(images: Sequence[Pixels], spec: InputSpec) -> set[int]:
    """Return the widths that a network of ``spec`` sees, one line at a time."""
    return {line_geometry(image.shape[1], image.shape[0], spec).padded_width for image in images}


def lines_of_folder(folder: Path, label_file: Path, model_name: str) -> Lines:
    """Read the images that ``label_file`` names; it holds the reference if its name ends in the model's.

    Raises:
        InputError: An image cannot be read.
        ValueError: The label file names none.
    """
    labels = read_label_file(label_file)
    images = []
    for name in labels:
        (line,) = read_lines(folder / name)
        if not isinstance(line, LineImage):
            raise line.error
        images.append(line.pixels)
    if not images:
        raise ValueError(f"{label_file} names no images")
    return Lines(
        title=f"{len(images)} lines of {folder.name}",
        names=list(labels),
        images=images,
        labels=[label.text for label in labels.values()],
        reference=label_file.stem.endswith(model_name),
    )


def rendered_lines(count: int, seed: int) -> Lines:
    """Render ``count`` lines, each of another width; the rendered text is not the reference, a model may err."""
    images, texts = render_lines(count, seed)
    return Lines(
        title=f"{count} rendered lines (seed {seed})",
        names=[f"rendered_{number:05}" for number in range(count)],
        images=images,
        labels=texts,
        reference=False,
    )
