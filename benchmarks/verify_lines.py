"""Read a folder of lines and compare with a label file: texts must be equal, scores within a tolerance.

Run it with ``python -m benchmarks.verify_lines FOLDER LABELS``. The label file is as `benchmarks.label_file` has
it. Exits with 1 on a difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks.label_file import read_label_file
from ocrhpi import TextRecognition


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("labels", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model_name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--model_dir", type=click.Path(exists=True, path_type=Path))
@click.option("--engine", default="paddle", show_default=True, help="paddle, openvino or onnxruntime.")
@click.option("--batch_size", "batch_sizes", type=int, multiple=True, default=(1, 8, 64), show_default=True)
@click.option("--tolerance", default=1e-3, show_default=True, help="Largest score difference.")
def main(
    folder: Path,
    labels: Path,
    model_name: str,
    model_dir: Path | None,
    engine: str,
    batch_sizes: tuple[int, ...],
    tolerance: float,
) -> None:
    """Compare what is read in the lines of FOLDER with LABELS."""
    expected = read_label_file(labels)
    faults = 0
    with TextRecognition(None if model_dir else model_name, model_dir, engine=engine) as recognition:
        print(recognition.effective)
        for batch_size in batch_sizes:
            results = recognition.predict([folder / file for file in expected], batch_size)
            equal, largest = 0, 0.0
            for result, (file, (text, score)) in zip(results, expected.items(), strict=True):
                equal += result["rec_text"] == text
                if result["rec_text"] != text:
                    print(f"  {file}: expected {text!r}, read {result['rec_text']!r}")
                largest = max(largest, abs(result["rec_score"] - score) if score is not None else 0.0)
            print(f"batch size {batch_size}: {equal} of {len(expected)} texts equal, scores within {largest:.1e}")
            faults += len(expected) - equal + (largest > tolerance)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
