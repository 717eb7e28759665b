"""By which margins low precision and other widths change texts: what a verified pair would miss, and read twice.

    python -m benchmarks.changed_margins FOLDER [--models NAME ...]

FOLDER holds images of single lines. Four sets are read: the calibration lines, the lines of FOLDER, these stretched in
width by random factors, and pieces of the calibration lines, both as they come in the tuning's stream. The reference is
OpenVINO in FP32. Prints a table: of each set the texts that changed, the largest margins of these, and the share of
the lines within some margins, which a pair of that threshold reads twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.loader import find_model
from ocrhpi.measuring.stream import LineStream
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_STRETCHED, _PIECES = 6, 2  # of each line
_THRESHOLDS = (0.2, 0.3, 0.4)
_FEW = (64, 96, 128, 160, 192, 224, 256, 320, 400, 512, 640, 800, 1024, 1280, 1600, 2048, 2560, 3200)
_CONTENDERS = {
    "BF16": Candidate(backend="openvino", batching="split", batch_size=8, options={"precision": "bf16"}),
    "BF16, rounded": Candidate(backend="openvino", batching="rounded", batch_size=8, options={"precision": "bf16"}),
    "BF16, natural": Candidate(
        backend="openvino", batching="natural", buckets=_FEW, batch_size=8, options={"precision": "bf16"}
    ),
    "FP32, natural": Candidate(backend="openvino", batching="natural", buckets=_FEW, batch_size=8),
}


def _sets(folder: Path) -> dict[str, list[LineImage]]:
    shipped, own = ([line.pixels for line in load_calibration(place).lines] for place in (None, folder))
    sets = {
        "calibration": shipped,
        "folder": own,
        "folder, stretched": LineStream(own).part(0, _STRETCHED * len(own)),
        "calibration, pieces": LineStream(shipped, pieces=1.0).part(0, _PIECES * len(shipped)),
    }
    return {name: [LineImage(line) for line in lines] for name, lines in sets.items()}


def _rows(name: str, sets: Mapping[str, Sequence[LineImage]]) -> Iterator[str]:
    model = find_model(name)
    with open_reader(model, Candidate(backend="openvino", batching="split", batch_size=8)) as reader:
        reference = {title: [line.text for line in reader.read(lines)] for title, lines in sets.items()}
    for contender, candidate in _CONTENDERS.items():
        with open_reader(model, candidate) as reader:
            for title, lines in sets.items():
                read = reader.read(lines, margin=1.0)
                pairs = zip(read, reference[title], strict=True)
                changed = sorted((line.margin or 0.0 for line, text in pairs if line.text != text), reverse=True)
                shares = [sum((line.margin or 0.0) < at for line in read) / len(read) for at in _THRESHOLDS]
                largest = ", ".join(f"{margin:.2f}" for margin in changed[:3])
                doubt = " | ".join(f"{share:.0%}" for share in shares)
                yield f"| {name} | {contender} | {title} | {len(changed)} of {len(read)} | {largest} | {doubt} |"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--models", multiple=True, default=("PP-OCRv4_mobile_rec", "PP-OCRv6_small_rec"), show_default=True)
def main(folder: Path, models: Sequence[str]) -> None:
    """Print by which margins texts change."""
    sets = _sets(folder)
    within = " | ".join(f"within {at}" for at in _THRESHOLDS)
    print(f"| model | | lines | changed | largest margins | {within} |")
    print("|---|---|---|--:|---|" + "--:|" * len(_THRESHOLDS))
    for name in models:
        for row in _rows(name, sets):
            print(row, flush=True)


if __name__ == "__main__":
    main()
