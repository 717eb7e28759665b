"""``ocrhpi models``: list, fetch and locate official models."""

from __future__ import annotations

import click

from ocrhpi.catalog import fetch, locate, official_models
from ocrhpi.catalog.wheels import WHEEL_MODELS
from ocrhpi.errors import ModelNotFound
from ocrhpi.output import say


@click.group("models", help="List, fetch and locate official models.")
def command() -> None:  # noqa: D103 - click documents it
    pass


@command.command("list", help="Show all official text recognition models.")
def list_models() -> None:
    """List the official models."""
    models = official_models()
    width = max(len(name) for name in models)
    say(f"{'model':<{width}}  accuracy %  storage MB  cached  package index")
    for name, model in models.items():
        figures = model.published
        accuracy, storage = (figures.avg_accuracy_pct, figures.storage_mb) if figures else (None, None)
        cached, wheel = "yes" if locate(name) else "", WHEEL_MODELS.get(name)
        row = f"{name:<{width}}  {_number(accuracy):>10}  {_number(storage):>10}  {cached:<6}  {wheel or ''}"
        say(row.rstrip())


@command.command("pull", help="Fetch a model into the cache and print its folder.")
@click.argument("name")
@click.option("--source", "sources", multiple=True, help="Where to fetch from; may be repeated, tried in this order.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
def pull(name: str, *, sources: tuple[str, ...], quiet: bool) -> None:
    """Fetch a model."""
    say(fetch(name, sources=sources or None, quiet=quiet))


@command.command("path", help="Print the folder of a model in the cache.")
@click.argument("name")
def path(name: str) -> None:
    """Print where a model is."""
    directory = locate(name)
    if directory is None:
        raise ModelNotFound(name, f"a complete copy in the cache; fetch it with: ocrhpi models pull {name}")
    say(directory)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
