"""How well a model reads lines of known text, counted as PaddleOCR counts it."""

from __future__ import annotations
