"""``ocrhpi export``: a model as ONNX, verified, in a directory that needs no Paddle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ocrhpi.cli.options import model_facts, source_of
from ocrhpi.export.exporter import PRECISIONS, GraphForm, write_export
from ocrhpi.export.heads import HEADS
from ocrhpi.loader import find_model
from ocrhpi.output import say


@click.command("export", help="Export MODEL (official name, folder or ONNX file) to ONNX and verify it.")
@click.argument("model")
@model_facts
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
@click.option(
    "--head",
    type=click.Choice(HEADS),
    default="full",
    show_default=True,
    help="Where the most probable class is found.",
)
@click.option(
    "--masked", is_flag=True, help="Width-masked graph: lines of any width can share a batch without changing text."
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Precision; fp16, for GPUs, keeps sensitive layers in FP32.",
)
@click.option("--pixels", is_flag=True, help="Take uint8 pixels and normalise them in the graph.")
def command(  # noqa: D103 - click documents it
    model: str,
    output: Path,
    head: str,
    precision: str,
    *,
    masked: bool,
    pixels: bool,
    **facts: Any,  # noqa: ANN401 - validated by ModelSource
) -> None:
    source = find_model(source_of(model, facts))
    form = GraphForm(
        next(known for known in HEADS if known == head),
        masked=masked,
        precision=next(known for known in PRECISIONS if known == precision),
        pixels=pixels,
    )
    exported = write_export(source, form, output)
    say(exported.path)
