"""What FP16 by the graph changes: texts, classes, probabilities, casts and file sizes, found out on a CPU.

Run it with ``python -m benchmarks.half_precision [MODEL ...]``; a model is an official name or a directory. Exits with
1 if a text changes. Lines of known text are the folder's, with its label file, and the shipped calibration lines; each
is read alone. Two ways of running the half graph are compared with FP32, all on ONNX Runtime:

- *stored*: the file as it is. ONNX Runtime has few FP16 kernels for CPUs, computes in FP32 in place of the others and
  between two of them leaves out the rounding. This shows the effect of FP16 weights and of the casts in the graph.
- *rounded*: FP32 arithmetic with every FP16 result rounded (`ocrhpi.export.fp16`), without graph optimisation.
  This shows the effect of FP16 activations, overflow included, as of an engine that sums in FP32 and fuses nothing.

Neither shows sums in FP16, other orders of summation, fast approximations of functions, or flushed subnormal numbers;
an engine that fuses operators rounds less often than *rounded* does.

Of each way it is also said what *verified* reading makes of it (docs/decisions/0022-verified-low-precision.md): the
threshold that the calibration lines ask for, the share of lines that would be read again, and the changes it misses.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import onnx
from onnx import TensorProto

from benchmarks.label_file import read_label_file
from ocrhpi.backends.registry import create_backend
from ocrhpi.export.exporter import export_model
from ocrhpi.export.fp16 import element_types, emulate_half, to_half
from ocrhpi.export.heads import HEADS, add_head
from ocrhpi.export.masking import mask_widths
from ocrhpi.loader import find_model
from ocrhpi.model import ModelFiles
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.inputs import DEFAULT_LIMITS
from ocrhpi.recognition.near_ties import text_margins
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.gate import ReadLine
from ocrhpi.tuning.verification import MAX_MARGIN, threshold_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocrhpi.model import Model
    from ocrhpi.values import Emissions, Head, Pixels

MODELS = ("PP-OCRv4_mobile_rec", "PP-OCRv6_small_rec")
FOLDER = Path(__file__).parents[1] / "tests" / "data" / "lines"
LABELS = FOLDER / "labels_PP-OCRv4_mobile_rec.tsv"
CALIBRATION = "calibration"
STORED, ROUNDED = {"precision": "fp16"}, {"precision": "fp16", "graph_level": "disabled"}


@dataclass(frozen=True)
class Line:
    """One line: its file, what is known to stand on it, if anything is, and its pixels."""

    name: str
    text: str | None
    pixels: Pixels


def line_sets(folder: Path, labels: Path) -> dict[str, list[Line]]:
    """Return the sets of lines by name."""
    labelled = [
        Line(file, label.text, decode_image((folder / file).read_bytes(), file, DEFAULT_LIMITS.max_pixels))
        for file, label in read_label_file(labels).items()
    ]
    shipped = [Line(line.name, line.text, line.pixels) for line in load_calibration().lines]
    return {folder.name: labelled, CALIBRATION: shipped}


def read(model: Model, file: Path, options: Mapping[str, str], lines: Sequence[Line]) -> list[Emissions]:
    """Read every line alone with the graph ``file``."""
    found = []
    with create_backend("onnxruntime", replace(model, files=ModelFiles(onnx=file)), "cpu", options) as backend:
        for line in lines:
            height, width = line.pixels.shape[:2]
            geometry = line_geometry(width, height, model.spec)
            widths = np.array([geometry.padded_width], np.int32) if backend.masked else None
            tensor = to_tensor([line.pixels], [geometry], model.spec)
            found.append(backend.run(tensor, widths, margin=MAX_MARGIN))
    return found


def compare(
    model: Model, what: str, lines: Sequence[Line], single: Sequence[Emissions], half: Sequence[Emissions]
) -> int:
    """Print a row and the texts that changed; return their number."""
    decoder = CtcDecoder(model.labels)
    texts = [
        (decoder.decode(one)[0].text, decoder.decode(other)[0].text) for one, other in zip(single, half, strict=True)
    ]
    changed = [(line, *pair) for line, pair in zip(lines, texts, strict=True) if pair[0] != pair[1]]
    steps = sum(one.indices.size for one in single)
    classes = sum(np.count_nonzero(one.indices != other.indices) for one, other in zip(single, half, strict=True))
    shifts = [np.abs(one.probs - other.probs).max() for one, other in zip(single, half, strict=True)]
    right = [sum(line.text == text[way] for line, text in zip(lines, texts, strict=True)) for way in (0, 1)]
    print(
        f"{what:<22} {len(changed):>3} of {len(lines):>3} texts  {classes:>3} of {steps:>6} classes  "
        f"shift {max(shifts):.1e}, median {np.median(shifts):.1e}  as labelled: {right[0]} -> {right[1]}"
    )
    for line, before, after in changed:
        print(f"    {line.name}: {before!r} -> {after!r} (labelled {line.text!r})")
    return len(changed)


def verify(
    labels: Sequence[str], pairs: Mapping[str, tuple[Sequence[Emissions], Sequence[Emissions]]], calibrating: str
) -> str:
    """Return what reading doubtful lines again would do, for sets of (FP32, half) emissions."""
    decoder = CtcDecoder(labels)
    read = {title: tuple(read_lines(decoder, emissions) for emissions in pair) for title, pair in pairs.items()}
    threshold = threshold_of(read[calibrating][1], read[calibrating][0])
    if threshold is None:
        return f"verified: no threshold up to {MAX_MARGIN} catches every change on {calibrating}"
    words = [f"verified below {threshold:.2f}"]
    for title, (single, half) in read.items():
        again = [line.margin is not None and line.margin < threshold for line in half]
        missed = sum(
            one.text != other.text and not doubtful for one, other, doubtful in zip(single, half, again, strict=True)
        )
        words.append(f"{title}: {sum(again) / len(again):.1%} again, {missed} missed")
    return "; ".join(words)


def read_lines(decoder: CtcDecoder, emissions: Sequence[Emissions]) -> list[ReadLine]:
    """Return text, score and margin of each line, of which each of the emissions holds one."""
    found = []
    for one in emissions:
        (line,), (margin,) = decoder.decode(one), text_margins(one)
        found.append(ReadLine(line.text, line.score, margin))
    return found


def describe(single: Path, half: Path) -> None:
    """Print sizes, casts, and how many of the nodes that compute with floats compute in FP16."""
    graph = onnx.load(half)
    types = element_types(graph)
    kinds = Counter[int]()
    for node in graph.graph.node:
        found = {types.get(name) for name in (*node.input, *node.output)} & {TensorProto.FLOAT, TensorProto.FLOAT16}
        if node.op_type not in {"Cast", "Constant", "Shape"} and found:
            kinds[TensorProto.FLOAT16 if TensorProto.FLOAT16 in found else TensorProto.FLOAT] += 1
    casts = [sum(node.op_type == "Cast" for node in onnx.load(file).graph.node) for file in (single, half)]
    megabytes = [file.stat().st_size / 1e6 for file in (single, half)]
    print(
        f"{kinds[TensorProto.FLOAT16]} of {kinds.total()} nodes in FP16; casts {casts[0]} -> {casts[1]}; "
        f"file {megabytes[0]:.1f} -> {megabytes[1]:.1f} MB"
    )


def measure(
    name: str, sets: Mapping[str, Sequence[Line]], head: Head, operators: Sequence[str], work: Path, *, masked: bool
) -> int:
    """Compare one model; return how many texts changed."""
    model = find_model(name)
    plain = export_model(model).files.onnx
    assert plain is not None  # noqa: S101 - an export has one
    graph = onnx.load(plain)
    graph = add_head(mask_widths(graph) if masked else graph, head)
    files = {way: work / f"{way}.onnx" for way in ("single", "stored", "rounded")}
    onnx.save(graph, files["single"])
    half = to_half(copy.deepcopy(graph), operators)
    onnx.save(half, files["stored"])
    onnx.save(emulate_half(half), files["rounded"])
    print(f"\n{model.name}, head {head}{', masked' if masked else ''}")
    describe(files["single"], files["stored"])
    changed = 0
    single = {title: read(model, files["single"], {}, lines) for title, lines in sets.items()}
    for way, options in (("stored", STORED), ("rounded", ROUNDED)):
        halves = {title: read(model, files[way], options, lines) for title, lines in sets.items()}
        for title, lines in sets.items():
            changed += compare(model, f"{title}, {way}", lines, single[title], halves[title])
        pairs = {title: (single[title], halves[title]) for title in sets}
        print(verify(model.labels, pairs, CALIBRATION))
    return changed


@click.command()
@click.argument("models", nargs=-1)
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=FOLDER)
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=LABELS)
@click.option("--head", type=click.Choice(HEADS), default="argmax", show_default=True)
@click.option("--masked", is_flag=True)
@click.option("--single", "operators", multiple=True, help="An operator to leave in FP32 besides; may be repeated.")
def main(
    models: tuple[str, ...], folder: Path, labels: Path, head: Head, operators: tuple[str, ...], *, masked: bool
) -> None:
    """Compare the half graph of each of MODELS with FP32."""
    sets = line_sets(folder, labels)
    with tempfile.TemporaryDirectory() as work:
        changed = [measure(name, sets, head, operators, Path(work), masked=masked) for name in models or MODELS]
    sys.exit(sum(changed) > 0)


if __name__ == "__main__":
    main()
