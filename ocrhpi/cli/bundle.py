"""``ocrhpi bundle``: a model and its runner for a small device; ``ocrhpi bundle verify``: is it whole, and right?"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import click

from ocrhpi.bundle.artifacts import Beside
from ocrhpi.bundle.runner import write_runner
from ocrhpi.bundle.targets import TARGETS, BundleOptions, target_of
from ocrhpi.bundle.write import write_bundle
from ocrhpi.cli.options import model_facts, source_of
from ocrhpi.edge.selftest import describe, verify_bundle
from ocrhpi.export.heads import HEADS
from ocrhpi.loader import find_model
from ocrhpi.options import parse_options
from ocrhpi.output import say

_THIS_PYTHON = ".".join(platform.python_version_tuple()[:2])
_DEFAULTS = {name: field.default for name, field in BundleOptions.model_fields.items()}


_HELP = """Make an edge bundle, or test one.

'ocrhpi bundle MODEL --target TARGET -o OUTPUT' is short for 'ocrhpi bundle write ...', whose --help lists all options.
"""


class _WriteUnlessNamed(click.Group):
    """``ocrhpi bundle MODEL ...`` is ``ocrhpi bundle write MODEL ...``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["write", *args]
        return super().parse_args(ctx, args)


@click.group("bundle", cls=_WriteUnlessNamed, help=_HELP)
def command() -> None:  # noqa: D103 - click documents it
    pass


@command.command("write", help="Make a bundle of MODEL (official name, folder, ONNX file); 'write' may be left out.")
@click.argument("model")
@model_facts
@click.option("--target", type=click.Choice(list(TARGETS)), required=True, help="Target device and engine.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="A new folder, or a file that ends in .zip."
)
@click.option("--precision", default=_DEFAULTS["precision"], show_default=True, help="Of the arithmetic.")
@click.option("--batching", type=click.Choice(["exact", "masked"]), help="Which lines share a batch.")
@click.option("--batch_size", type=int, help="Lines of base width per batch. Default: the target's.")
@click.option(
    "--head", type=click.Choice(HEADS), help="Where the most probable class is found. Default: what suits the engine."
)
@click.option(
    "--lines", type=int, default=_DEFAULTS["lines"], show_default=True, help="Number of calibration lines to include."
)
@click.option(
    "--calibration_dir", type=click.Path(path_type=Path), help="Folder of your own lines, instead of the shipped ones."
)
@click.option("--offline-wheelhouse", is_flag=True, help="Fetch all wheels that the device needs, into NAME.wheels.")
@click.option("--platform", "platforms", multiple=True, help="Platform tag of these wheels. Default: the target's.")
@click.option("--python", default=_THIS_PYTHON, show_default=True, help="The device's Python, for wheels and image.")
@click.option("--dockerfile", is_flag=True, help="Write NAME.Dockerfile, the recipe of a small image.")
def write(
    model: str,
    output: Path,
    calibration_dir: Path | None,
    *,
    offline_wheelhouse: bool,
    platforms: tuple[str, ...],
    python: str,
    dockerfile: bool,
    **options: Any,  # noqa: ANN401 - click's, checked by parse_options
) -> None:
    """Write a bundle."""
    found = source_of(model, options)
    asked = parse_options(BundleOptions, options)
    target = target_of(asked.target)
    wheels = (platforms or target.platforms) if offline_wheelhouse else ()
    beside = Beside(output, python, wheels, recipe=dockerfile)
    beside.check(target)
    source = find_model(found)
    written = write_bundle(source, asked, output, calibration_dir=calibration_dir)
    say(written.path)
    for path in beside.write(source, target):
        say(path)
    if written.verification:
        say("\n".join(describe(written.verification)[1:]))
    else:
        say(f"hashes     SHA-256 of the manifest {written.seal}")
        say(f"texts      not tested here: test them on the device with 'ocrhpi bundle verify {output.name}'")


@command.command(
    "verify", help="Check hashes, texts and speed of the bundle FILE (folder or zip file) on this machine."
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--threads", type=int, help="CPU threads. Default: the usable cores.")
@click.option("--sha256", help="SHA-256 that the manifest must have.")
@click.option("--rounds", type=int, default=3, show_default=True, help="Timing rounds; 0 compares texts only.")
def verify(file: Path, threads: int | None, sha256: str | None, rounds: int) -> None:
    """Verify a bundle on this machine."""
    verification = verify_bundle(file, threads=threads, sha256=sha256, rounds=rounds)
    say("\n".join(describe(verification)))
    if not verification.passed:
        raise click.exceptions.Exit(1)


@command.command("runner", help="Write the wheel ocrhpi-edge, which reads bundles on a device, into a folder.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
def runner(output: Path) -> None:
    """Write the runner."""
    say(write_runner(output))
