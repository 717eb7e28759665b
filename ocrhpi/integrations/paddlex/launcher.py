"""`python -m ocrhpi.integrations.paddleocr -- PROGRAM ARGS...`: a program as it is, with PaddleOCR on ocrhpi."""

from __future__ import annotations

import importlib.metadata
import runpy
import sys
from pathlib import Path

import click

from ocrhpi.errors import OcrhpiError, nearest
from ocrhpi.integrations.paddlex.installation import install

_CONSOLE_SCRIPTS = "console_scripts"


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--hpi_config", help="YAML file, or file of a tuning, for models that the program gives none.")
@click.option(
    "--only_where_asked", is_flag=True, help="Leave models as they are unless the program enables HPI itself."
)
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def main(hpi_config: str | None, only_where_asked: bool, program: tuple[str, ...]) -> None:  # noqa: FBT001 - click's
    """Run PROGRAM with PaddleOCR's text recognition on ocrhpi.

    PROGRAM is what stands on a command line: an installed command (paddleocr ocr -i page.png), a Python file with its
    arguments, or python FILE and python -m MODULE. High-performance inference is on wherever it leaves that open.
    """
    try:
        install(replace_hpi=True, by_default=not only_where_asked, hpi_config=hpi_config)
        _run(list(program))
    except OcrhpiError as error:
        raise click.ClickException(str(error)) from error


def _run(arguments: list[str]) -> None:
    if Path(arguments[0]).stem in {"python", "python3"} and len(arguments) > 1:
        arguments = arguments[1:]
        if arguments[0] == "-m" and len(arguments) > 1:
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
            return
    command = _installed().get(arguments[0])
    file = Path(arguments[0])
    sys.argv = arguments
    if command is not None:
        sys.exit(command.load()())
    if file.suffix == ".py" and file.is_file():
        sys.path[0] = str(file.resolve().parent)
        runpy.run_path(str(file), run_name="__main__")
        return
    known = nearest(arguments[0], _installed())
    raise click.UsageError(f"{arguments[0]!r} is neither an installed Python command nor a Python file.{known}")


def _installed() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=_CONSOLE_SCRIPTS)}
