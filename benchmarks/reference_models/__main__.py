"""``python -m benchmarks.reference_models NAME -o DIR``: write one of the twenty reference models."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.reference_models.dictionaries import DictionaryError
from benchmarks.reference_models.models import MODELS, write_model


@click.command()
@click.argument("name", type=click.Choice(list(MODELS)), metavar="NAME")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Made if absent.")
@click.option("--seed", default=0, show_default=True, help="Of the random weights.")
def main(name: str, output: Path, seed: int) -> None:
    """Write the model NAME with random weights into the directory OUTPUT, as PaddleOCR exports it."""
    try:
        write_model(name, output, seed=seed)
    except DictionaryError as error:
        raise click.ClickException(str(error)) from error
    click.echo(output)


if __name__ == "__main__":
    main()
