"""The values that pass between the steps of both pipelines: frozen dataclasses and named array types."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ocrhpi.errors import BackendError, InputError

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""One image, (height, width, 3), uint8, channels in the order blue, green, red."""

Tensor: TypeAlias = npt.NDArray[np.float32]
"""Network input, (N, channels, height, width), float32, C-contiguous, normalised to [-1, 1]; padding is 0."""

PixelBatch: TypeAlias = npt.NDArray[np.uint8]
"""Network input of graphs that normalise, (N, height, width, channels), uint8, C-contiguous, as the network wants
them; what lies right of a line's own pixels has no effect."""

NetworkInput: TypeAlias = Tensor | PixelBatch
"""One or the other."""

Widths: TypeAlias = npt.NDArray[np.int32]
"""Exact widths of the lines of a batch in pixels, (N,), int32."""

Contents: TypeAlias = npt.NDArray[np.int32]
"""How many columns of each line of a batch hold its pixels, (N,), int32; those after are padding."""

Batching: TypeAlias = Literal["exact", "masked", "split", "rounded", "natural"]
"""Which widths lines get, and so which share a batch.

- ``exact``: the width that PaddleOCR gives a line alone, equal widths together.
- ``masked``: rounded up, in a width-masked graph, which reads the same text.
- ``split``: lines of the base width (320), which are common, in the plain graph, and wider ones in the width-masked
  graph of the same engine.
- ``rounded``: exact widths rounded up in a plain graph; may read other text.
- ``natural``: the same without the least width of 320; may read other text.
"""

Head: TypeAlias = Literal["full", "topk", "argmax", "logits"]
"""Where top-1 is found. ``full``: probabilities (N, T, classes) leave the graph and are reduced on the host. The others
leave ``indices`` int32 and ``probs`` float32, (N, T): ``topk`` by TopK(1) of the probabilities; ``argmax`` by ArgMax
and ReduceMax; ``logits`` by ArgMax of the logits and 1 / sum(exp(logits - max)), which makes no probabilities."""

GraphPrecision: TypeAlias = Literal["fp32", "fp16"]
"""Precision of an exported graph's arithmetic; in ``fp16`` what is sensitive to rounding stays in FP32."""

Probabilities: TypeAlias = npt.NDArray[np.float32]
"""Network output, (N, T, classes), float32: the probability of every class at every time step."""


@dataclass(frozen=True, slots=True, eq=False)
class LineImage:
    """One text line to be read.

    Attributes:
        pixels: The image, see `Pixels`.
        input_path: The path or URL as the caller gave it (for a directory: of the file in it); None for arrays.
        page_index: 0-based page of a PDF or multi-page TIFF; None for single images.
        batch_ratio: Largest width / height among lines that it is to be padded alike with; None: padded as if alone.
    """

    pixels: Pixels
    input_path: str | None = None
    page_index: int | None = None
    batch_ratio: float | None = None

    @property
    def where(self) -> str:
        """Its name in messages."""
        if self.input_path is None:
            height, width = self.pixels.shape[:2]
            return f"an image of {width} x {height} pixels"
        return self.input_path if self.page_index is None else f"{self.input_path}, page {self.page_index}"


@dataclass(frozen=True, slots=True, eq=False)
class UnreadableLine:
    """An input that could not be read, in the place where its line would have been.

    Attributes:
        error: Names the input and the reason.
        input_path: As in `LineImage`.
        page_index: As in `LineImage`.
    """

    error: InputError | BackendError
    input_path: str | None = None
    page_index: int | None = None


LARGEST_SIZE: Final = 10_000
"""Pixels of the height or width of a line, and lines of a fixed batch; beyond it a typing error asks for terabytes."""

_MAX_NUMBERS = 1 << 28  # in the tensor of one batch of base width: 1 GiB


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How lines become network input.

    Attributes:
        height: Height in pixels that lines are resized to.
        base_width: Least width in pixels of the padded line.
        max_width: Width in pixels beyond which lines are squeezed; a constant of PaddleOCR, but where the network takes
            one width only, that.
        stretch_width: If set, every line is stretched to exactly this width (``input_shape`` of PaddleOCR).
        color: Channels that the network was trained on, in their order; ``GRAY``: one, of luminance.
        rows: Lines of every batch, where the network takes no other number.
    """

    height: int = 48
    base_width: int = 320
    max_width: int = 3200
    stretch_width: int | None = None
    color: Literal["BGR", "RGB", "GRAY"] = "BGR"
    rows: int | None = None

    @property
    def channels(self) -> int:
        """Channels of its input."""
        return 1 if self.color == "GRAY" else 3

    @property
    def only_width(self) -> int | None:
        """The width in pixels that every line gets; None where it depends on the line."""
        return self.stretch_width or (self.base_width if self.base_width == self.max_width else None)

    @property
    def fault(self) -> str:
        """What is wrong with it where a file has said what it is, as a phrase; empty: nothing."""
        for name in ("height", "base_width", "max_width", "stretch_width", "rows"):
            size = getattr(self, name)
            optional = size is None and name in {"stretch_width", "rows"}
            if not optional and (type(size) is not int or not 1 <= size <= LARGEST_SIZE):
                return f"{name}: received {size!r:.40}, expected a whole number from 1 to {LARGEST_SIZE}"
        if self.color not in ("BGR", "RGB", "GRAY"):  # not a set: it may be a list
            return f"color: received {self.color!r:.40}, expected BGR, RGB or GRAY"
        shape = (self.rows or 1, self.channels, self.height, self.stretch_width or self.base_width)
        if math.prod(shape) > _MAX_NUMBERS:
            return f"received {shape} for one batch, expected at most {_MAX_NUMBERS} numbers"
        return ""


@dataclass(frozen=True, slots=True)
class LineGeometry:
    """Where the pixels of one line lie in its tensor.

    Attributes:
        resized_width: Width in pixels of the line after resizing to the network's height.
        padded_width: Width in pixels of the tensor; columns from ``resized_width`` on are padding.
    """

    resized_width: int
    padded_width: int


@dataclass(frozen=True, slots=True, eq=False)
class NearTies:
    """Classes that were nearly as probable as the most probable one of their time step; K of them.

    Attributes:
        rows: (K,), int32, in which line of the batch; ascending.
        steps: (K,), int32, at which time step.
        classes: (K,), int32, which class.
        margins: (K,), float32, by how much less probable it is.
    """

    rows: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]
    classes: npt.NDArray[np.int32]
    margins: npt.NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: Probabilities, probs: npt.NDArray[np.float32], margin: float) -> NearTies:
        """Find the classes that are less probable than the first, of probability ``probs``, by less than ``margin``.

        Only time steps with 2 p - 1 < margin are looked into: elsewhere what p leaves to the others is too little.
        """
        rows, steps = np.nonzero(2 * probs - 1 < margin)
        distances = probs[rows, steps, None] - probabilities[rows, steps]
        near = distances < margin
        near[np.arange(len(near)), distances.argmin(axis=-1)] = False
        places, classes = np.nonzero(near)
        return cls(
            rows=rows[places].astype(np.int32),
            steps=steps[places].astype(np.int32),
            classes=classes.astype(np.int32),
            margins=distances[places, classes],
        )

    def before(self, row: int) -> NearTies:
        """Return those in the rows before ``row``."""
        count = int(np.searchsorted(self.rows, row))
        return NearTies(self.rows[:count], self.steps[:count], self.classes[:count], self.margins[:count])


@dataclass(frozen=True, slots=True, eq=False)
class Emissions:
    """Top-1 class and its probability at every time step of a batch.

    Attributes:
        indices: (N, T), int32, class indices; 0 is the CTC blank.
        probs: (N, T), float32, probability of that class.
        steps: (N,), int32, how many time steps of each line are its own; those after are blank. None: all are.
        near_ties: Classes that were nearly as probable; None if they were not looked for.
    """

    indices: npt.NDArray[np.int32]
    probs: npt.NDArray[np.float32]
    steps: npt.NDArray[np.int32] | None = None
    near_ties: NearTies | None = None

    @classmethod
    def from_probabilities(cls, probabilities: Probabilities, *, margin: float = 0.0) -> Emissions:
        """Reduce full network output, (N, T, classes), to emissions; on ties the lowest class wins.

        The arg-max and the gather read the large array once; ``max`` would read it a second time.

        Args:
            probabilities: The output.
            margin: Also find the near-ties that are less probable by less than this; 0 looks for none.
        """
        indices = probabilities.argmax(axis=-1)
        probs = np.take_along_axis(probabilities, indices[..., None], axis=-1)[..., 0]
        near_ties = NearTies.of(probabilities, probs, margin) if margin else None
        return cls(indices.astype(np.int32), probs, near_ties=near_ties)

    @property
    def finite(self) -> bool:
        """Whether all probabilities are numbers. Damaged weights give others, and so do some in too low a precision."""
        return bool(np.isfinite(self.probs).all())

    def first(self, lines: int) -> Emissions:
        """Return those of the first lines, without the rows that filled up their batch."""
        if len(self.indices) == lines:
            return self
        steps = None if self.steps is None else self.steps[:lines]
        near_ties = None if self.near_ties is None else self.near_ties.before(lines)
        return Emissions(self.indices[:lines], self.probs[:lines], steps, near_ties)


@dataclass(frozen=True, slots=True)
class WordBoxes:
    """Words of a line and the time steps ("columns") that their characters were read at.

    Attributes:
        column_count: Time steps that cover the text; the steps of right padding are not counted, hence a float.
        words: Characters of each word.
        columns: 0-based time step of each character of each word.
        kinds: Kind of each word: ``cn`` (CJK ideographs), ``en&num`` or ``symbol``.
    """

    column_count: float
    words: list[list[str]]
    columns: list[list[int]]
    kinds: list[str]


@dataclass(frozen=True, slots=True)
class TextLine:
    """What was read in one line.

    Attributes:
        text: The text; empty if nothing was read.
        score: Mean probability of the emitted characters, 0.0 for an empty text.
        word_boxes: Words and their columns, if they were asked for.
        margin: By which margin of probability it would have read as another text, if that was asked for; see
            `ocrhpi.recognition.near_ties`.
    """

    text: str
    score: float
    word_boxes: WordBoxes | None = None
    margin: float | None = None
