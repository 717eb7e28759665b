"""``python -m benchmarks.reference_models NAME -o DIR``: write one of the twenty reference models, or all."""

from __future__ import annotations

import time
from pathlib import Path

import click

from benchmarks.reference_models.checks import check_model
from benchmarks.reference_models.dictionaries import DictionaryError
from benchmarks.reference_models.models import MODELS, UNSPECIFIED, write_model
from benchmarks.reference_models.old_format import OldFormatError, write_old_model
from ocrhpi.bench.run import REFERENCE_MARK
from ocrhpi.errors import nearest

_ALL = "all"
_MARK_TEXT = (
    "Random weights, made by benchmarks.reference_models: for timing and conversion tests, they read nothing.\n"
)
_LISTED = "\n    ".join(MODELS)


@click.command(
    help=f"""Write the model NAME with random weights into the directory OUTPUT, as PaddleOCR exports it.

    NAME is one of the models below, or 'all': then each gets a directory of its own in OUTPUT. The weights are the same
    each time for a seed.

    \b
    {_LISTED}

    Not specified, and so not here: {", ".join(UNSPECIFIED)}. 'ocrhpi models pull NAME' fetches their official weights.
    """
)
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Made if absent.")
@click.option("--seed", default=0, show_default=True, help="Of the random weights.")
@click.option(
    "--check",
    is_flag=True,
    help="Compare parameters, multiply-adds, time steps and file size with the published ones, and read lines.",
)
@click.option(
    "--old_format",
    "--old-format",
    is_flag=True,
    help="Write inference.pdmodel, by Paddle 3.0.0 in an environment of its own (900 MB in the cache, made once).",
)
def main(*, name: str, output: Path, seed: int, check: bool, old_format: bool) -> None:  # noqa: D103 - click documents it
    faulty = 0
    for one in _names(name):
        start = time.monotonic()
        directory = output / one if name == _ALL else output
        try:
            _write(one, directory, seed, old_format=old_format)
        except (DictionaryError, OldFormatError) as error:
            raise click.ClickException(f"{one}: {error}") from error
        faults = check_model(one, directory, seed=seed) if check else []
        verdict = f" ({'; '.join(faults) or 'as published'}, {time.monotonic() - start:.0f} s)" if check else ""
        click.echo(f"{directory}{verdict}")
        faulty += bool(faults)
    if faulty:
        raise click.ClickException(f"{faulty} models are not as published")


def _names(name: str) -> list[str]:
    if name == _ALL:
        return list(MODELS)
    if name in UNSPECIFIED:
        hint = f"'ocrhpi models pull {name}' fetches its official weights"
        raise click.UsageError(f"the architecture of {name} is not specified, so it is not built here; {hint}")
    if name not in MODELS:
        raise click.UsageError(
            f"received {name!r}; expected 'all' or one of {', '.join(MODELS)}.{nearest(name, MODELS)}"
        )
    return [name]


def _write(name: str, directory: Path, seed: int, *, old_format: bool) -> None:
    # Of two formats in one directory the new one would be read, with the parameters of whichever came last.
    for stale in ("inference.json", "inference.pdmodel", "inference.pdiparams.info"):
        (directory / stale).unlink(missing_ok=True)
    (write_old_model if old_format else write_model)(name, directory, seed=seed)
    (directory / REFERENCE_MARK).write_text(_MARK_TEXT, "utf-8")


if __name__ == "__main__":
    main()
