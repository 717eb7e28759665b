"""Models for tests that load none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.model import Model
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from ocrhpi.model import ModelFiles

__all__ = ["fileless_model"]


def fileless_model(files: ModelFiles) -> Model:
    """Return a model whose files need not exist, of a fingerprint that nothing in a cache belongs to."""
    model = Model("m", Path("m"), files, InputSpec(), ("a",))
    model.__dict__["fingerprint"] = "0" * 64  # where the property keeps it
    return model
