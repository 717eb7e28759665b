"""``ocrhpi lower``: find which layers of a model may compute in lower precision, and keep that for the tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.text import Text
from tqdm import tqdm

from ocrhpi.cli.options import model_facts, source_of
from ocrhpi.loader import find_model
from ocrhpi.quantization.lower import make_plan
from ocrhpi.quantization.plan import LOWERED, cache_path
from ocrhpi.report.formatting import bare_table, percent, plain, print_view
from ocrhpi.tuning.calibration import load_calibration

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from ocrhpi.quantization.plan import Lowered, PrecisionPlan


@click.command(
    "lower",
    help="""Find which layers of MODEL (official name, folder or ONNX file) may compute in lower precision.

    Takes some minutes. The result is kept, so that `ocrhpi tune` tries it from now on: like any other candidate it is
    chosen only if the texts will do.
    """,
)
@click.argument("model")
@model_facts
@click.option(
    "--precision", type=click.Choice(LOWERED), required=True, help="Precision of the layers that are quantized."
)
@click.option("--calibration_dir", "--calibration-dir", help="Your own lines to read.", metavar="DIR")
@click.option("--lines", type=click.IntRange(min=1), help="Read only so many: quicker, and poorer.  [default: all]")
@click.option("--cache_dir", "--cache-dir", help="Where it is kept, with exported models.", metavar="DIR")
def command(  # noqa: D103 - click documents it
    model: str,
    precision: Lowered,
    calibration_dir: str | None,
    lines: int | None,
    cache_dir: str | None,
    **facts: Any,  # noqa: ANN401 - validated by ModelSource
) -> None:
    source = find_model(source_of(model, facts))
    calibration = load_calibration(calibration_dir)
    pixels = [line.pixels for line in calibration.lines[:lines]]
    with tqdm(desc="starting", bar_format="{desc}  {elapsed}", disable=None) as bar:
        plan = make_plan(source, precision, pixels, cache_dir=cache_dir, advance=bar.set_description_str)
    print_view(_view(plan, cache_path(source, precision, cache_dir=cache_dir)))


def _view(plan: PrecisionPlan, path: Path) -> RenderableType:
    table = bare_table()
    for title in ("layers in FP32", "work lowered", "texts changed"):
        table.add_column(title, justify="right")
    for step in plan.steps:
        table.add_row(str(step.kept), percent(step.lowered), f"{step.changed} of {plan.lines}")
    heading = Text(plain(f"{plan.model} in {plan.precision}; the last row is kept"), style="bold")
    kept = Text(f"{len(plan.kept)} layers stay in FP32", style="dim")
    file = Text(f"file: {plain(str(path))}", no_wrap=True, overflow="ignore")  # so that it can be copied
    return Group(heading, table, kept, file)
