"""The catalogue of official text recognition models: what they are, and how to get one.

In reading order:

- ``models.py``: names and published figures, from ``official_models.csv``
- ``store.py``: the cache; `fetch` is the way in
- ``install.py``: asks the sources in order and puts a whole model in its place
- ``sources.py``: the model hubs and the archive server, not trusted; ``wheels.py``: the package index
- ``transfer.py``: one HTTP download, with ``responses.py`` (what a response means, and resuming)
- ``manifest.py``: what a model directory holds

Importing this package loads no network library; only a download does.
"""

from ocrhpi.catalog.models import OfficialModel, PublishedFigures, official_model, official_models
from ocrhpi.catalog.store import fetch, locate, models_dir, verify

__all__ = [
    "OfficialModel",
    "PublishedFigures",
    "fetch",
    "locate",
    "models_dir",
    "official_model",
    "official_models",
    "verify",
]
