"""Render the hard lines: images and ``rec_gt.txt`` in PaddleOCR's format, the same bytes for the same seed.

The bytes depend on the seed, the fonts, and the versions of Pillow, FreeType, OpenCV and NumPy; the digest that is
printed at the end tells whether two sets are the same. Run it with ``python -m benchmarks.hard_lines -o FOLDER``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.hard_lines.fonts import Fonts, MissingFonts
from benchmarks.hard_lines.lines import hard_lines, read_material

LABELS = "rec_gt.txt"


def write_lines(folder: Path, count: int, seed: int, fonts: Path) -> str:
    """Render ``count`` lines into ``folder``; return the SHA-256, as hex, of all images and texts.

    Raises:
        MissingFonts: A font is not below ``fonts``.
    """
    material = read_material()
    lines = hard_lines(count, seed, Fonts(fonts, material["packages"]), material)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    labels, details = [], ["file\tkind\tfont"]
    for number, line in enumerate(tqdm(lines, total=count, unit="line", disable=None)):
        name = f"images/{number:05}.jpg"
        (folder / name).write_bytes(line.image)
        labels.append(f"{name}\t{line.text}")
        details.append(f"{name}\t{line.kind}\t{line.font}")
        digest.update(hashlib.sha256(line.image).digest() + f"{labels[-1]}\n".encode())
    (folder / LABELS).write_text("\n".join(labels) + "\n", "utf-8", newline="\n")
    (folder / "lines.tsv").write_text("\n".join(details) + "\n", "utf-8", newline="\n")
    return digest.hexdigest()


@click.command()
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to make.")
@click.option("--lines", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--fonts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/usr/share/fonts",
    show_default=True,
    help="Folder with the fonts of the Debian packages named in hard_lines.yaml.",
)
def main(output: Path, lines: int, seed: int, fonts: Path) -> None:
    """Render the hard lines."""
    try:
        digest = write_lines(output, lines, seed, fonts)
    except MissingFonts as error:
        raise click.ClickException(str(error)) from None
    print(f"{lines} lines in {output}, sha256 {digest}")


if __name__ == "__main__":
    main()
