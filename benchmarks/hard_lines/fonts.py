"""The fonts that lines are drawn in, found by file name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Fonts", "MissingFonts"]

_NO_GLYPH = "\U0010fffe"


class MissingFonts(Exception):
    """Fonts that are not where they were looked for; the text names them and says how to get them."""


class Fonts:
    """The fonts below a folder.

    Args:
        folder: Where they are, at any depth.
        packages: Debian package -> names of the files that must be there.

    Raises:
        MissingFonts: A file is not there.
    """

    def __init__(self, folder: Path, packages: Mapping[str, Sequence[str]]) -> None:
        self._found = {path.name: path for path in sorted(folder.rglob("*.tt[fc]"))}
        missing = {package for package, names in packages.items() if not self._found.keys() >= set(names)}
        if missing:
            names = " ".join(sorted(missing))
            raise MissingFonts(
                f"not all fonts of {names} are below {folder}; install them with 'apt-get install {names}', or "
                f"without root 'apt-get download {names}', unpack each with 'dpkg-deb -x PACKAGE FOLDER' "
                "and give --fonts FOLDER"
            )
        self.load = lru_cache(maxsize=None)(self._load)
        self.can_write = lru_cache(maxsize=None)(self._can_write)

    def _load(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        """Return a face; ``name`` is a file name and, for collections, ``:number``."""
        file, _, face = name.partition(":")
        return ImageFont.truetype(self._found[file], size, int(face or 0), layout_engine=ImageFont.Layout.BASIC)

    def _can_write(self, name: str, character: str) -> bool:
        """Whether the face has a glyph for the character."""
        font = self.load(name, 24)
        return character == " " or bytes(font.getmask(character)) != bytes(font.getmask(_NO_GLYPH))
