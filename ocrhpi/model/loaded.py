"""A model that was read from its files: input, vocabulary, fingerprint."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ocrhpi.files import sha256_of
from ocrhpi.forks import in_children
from ocrhpi.model.graph_facts import GraphFacts
from ocrhpi.model.source import ModelSource, file_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.values import InputSpec


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model; at least ``onnx`` or both Paddle files are present.

    Attributes:
        paddle_graph: ``inference.json`` (PIR) or ``inference.pdmodel``.
        paddle_parameters: ``inference.pdiparams``.
        onnx: ``inference.onnx``, or the bare ONNX file.
        onnx_data: Files beside the ONNX file that hold weights of it.
    """

    paddle_graph: Path | None = None
    paddle_parameters: Path | None = None
    onnx: Path | None = None
    onnx_data: tuple[Path, ...] = ()

    @property
    def source(self) -> tuple[Path, ...]:
        """The files that define the weights: Paddle's where present, since ONNX is made from them."""
        if self.paddle_graph and self.paddle_parameters:
            return (self.paddle_graph, self.paddle_parameters)
        return (self.onnx, *self.onnx_data) if self.onnx else ()

    @property
    def onnx_alone(self) -> bool:
        """Whether there is no Paddle model that the ONNX file was made from."""
        return self.onnx is not None and self.paddle_graph is None


@dataclass(frozen=True)
class Model:
    """A text recognition model on disk.

    Attributes:
        name: What it is called.
        path: The directory, or the bare ONNX file.
        files: Its files.
        spec: Its input.
        vocabulary: Its characters without blank and the space that is appended; an entry may be several code points.
        hpi: The section ``Hpi`` of ``inference.yml`` as it stands there.
        space: Whether its last class is a space that its vocabulary does not have.
        right_to_left: Whether the network emits a right-to-left script as it stands in the image, from left to right.
        graph: What its graph says about itself.
        source: What it was loaded from, to load it again in another process.
    """

    name: str
    path: Path
    files: ModelFiles
    spec: InputSpec
    vocabulary: tuple[str, ...]
    hpi: Mapping[str, Any] = field(default_factory=dict, hash=False)
    space: bool = True
    right_to_left: bool = False
    graph: GraphFacts = field(default_factory=GraphFacts)
    source: ModelSource = field(default_factory=ModelSource)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Text of every class: the CTC blank (empty), the vocabulary, and the space where PaddleOCR appended one."""
        return ("", *self.vocabulary, *[" "] * self.space)

    @property
    def own_precision(self) -> dict[str, str]:
        """The option ``precision`` of an export that came in another one than FP32: engines want to be told."""
        own = self.graph.precision
        return {"precision": own} if self.files.onnx_alone and own != "fp32" else {}

    @property
    def file_name(self) -> str:
        """Its name as one part of a path."""
        return file_name(self.name)

    def stretched(self, width: int | None) -> Model:
        """Return the model with every line stretched to ``width`` pixels; None keeps the aspect ratio of lines."""
        shape = None if width is None else (self.spec.channels, self.spec.height, width)
        source = self.source.model_copy(update={"input_shape": shape})
        return replace(self, spec=replace(self.spec, stretch_width=width), source=source)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, as hex, of everything that decides which text is read: weights, input and vocabulary."""
        digest = hashlib.sha256()
        for file in self.files.source:
            digest.update(bytes.fromhex(sha256_of(file)))
        order = "right to left" if self.right_to_left else ""
        for text in (repr(self.spec), "\0".join(self.labels), order):
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()


@in_children
def _renew_locks() -> None:
    """Free the locks that cached properties have before Python 3.12; hashing the weights holds one for seconds."""
    for attribute in vars(Model).values():
        if isinstance(attribute, cached_property) and hasattr(attribute, "lock"):
            attribute.lock = threading.RLock()
