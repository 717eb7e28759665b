"""What is written on the lines: patterns filled from lists, by chance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

__all__ = ["Texts"]

_CAPITALS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and O, which in codes nobody tells from 1 and 0
_LEVEL_1 = range(0xB0, 0xD8)  # first bytes, in GB 2312, of the everyday characters
_SECOND = range(0xA1, 0xFF)
_CASES = {"Title": str.capitalize, "CAPITALS": str.upper}


class Texts:
    """Writes lines of text.

    Args:
        material: The sections ``kinds``, ``patterns`` and ``lists`` of ``hard_lines.yaml``.
    """

    def __init__(self, material: Mapping[str, Any]) -> None:
        self._kinds = list(material["kinds"])
        shares = [kind["share"] for kind in material["kinds"].values()]
        self._shares = [share / sum(shares) for share in shares]
        self._patterns: Mapping[str, Sequence[str]] = material["patterns"]
        self._lists: Mapping[str, Sequence[str]] = material["lists"]
        self._characters = _everyday_characters()

    def write(self, rng: np.random.Generator) -> tuple[str, str]:
        """Return the kind of a text, and the text."""
        kind = str(rng.choice(self._kinds, p=self._shares))
        text = _pick(self._patterns[kind], rng)
        text = re.sub(r"\{(\w+)\}", lambda match: self._entry(match[1], rng), text)
        text = re.sub("#", lambda _: str(rng.integers(10)), text)
        text = re.sub(r"\^", lambda _: _pick(_CAPITALS, rng), text)
        # Addresses of mail have an @ of their own.
        return kind, text if kind == "codes" else re.sub("@", lambda _: _pick(self._characters, rng), text)

    def _entry(self, name: str, rng: np.random.Generator) -> str:
        if name in _CASES:
            return _CASES[name](_pick(self._lists["english"], rng))
        return _pick(self._lists[name], rng)


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _everyday_characters() -> str:
    """Return the 3,755 characters of GB 2312 level 1; its last row is not full."""
    codes = (bytes((first, second)) for first in _LEVEL_1 for second in _SECOND)
    return "".join(code.decode("gb2312", errors="ignore") for code in codes)
