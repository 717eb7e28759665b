"""The command line: one module a command; each parses, calls the package, and prints.

Commands are imported when they are called, so that ``ocrhpi --help`` loads neither an engine nor OpenCV.
"""

from __future__ import annotations

import importlib
import logging

import click

from ocrhpi._version import __version__
from ocrhpi.errors import OcrhpiError

__all__ = ["main"]

_COMMANDS = {
    "text_recognition": "Read text lines in images, folders, PDFs and URLs.",
    "batch": "Read many lines, from files to files, here or on a Ray cluster.",
    "serve": "Read text lines over HTTP.",
    "tune": "Measure what reads fastest on this machine.",
    "bench": "Time normal against high-performance mode, model by model.",
    "report": "Make the report of a benchmark, or compare two of them.",
    "eval": "Count how well a model reads lines of known text.",
    "explain": "Say why a tuning chose what it chose.",
    "export": "Export a model to ONNX and verify it.",
    "lower": "Find which layers of a model may compute in lower precision.",
    "bundle": "Pack a model and its runner for a small device, or test such a bundle.",
    "models": "List, fetch and locate official models.",
    "backends": "Show which engines this machine has.",
}


class _LazyCommands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        # click would import every command for its first line of help
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OcrhpiError as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ocrhpi")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def main(*, debug: bool) -> None:  # noqa: ARG001 - read from the context by _LazyCommands
    """PaddleOCR text recognition as fast as this machine allows."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
