"""`TextRecResult`: what was read in one line, with the calls and file names of PaddleOCR."""

from __future__ import annotations

import json
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from ocrhpi.errors import UnreadableInput
from ocrhpi.pictures import captioned
from ocrhpi.save_names import SaveNames

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from PIL.Image import Image

    from ocrhpi.values import LineImage, TextLine, UnreadableLine

__all__ = ["SaveNames", "TextRecResult"]

# Aliases, since inside the class `str` is the property of that name.
Text: TypeAlias = str
StrPath: TypeAlias = Path | str

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')


class TextRecResult(dict[str, Any]):
    """What was read in one line; a dict with these keys.

    - ``input_path``: path or URL as given, None for arrays
    - ``page_index``: 0-based page of a PDF or TIFF, else None
    - ``input_img``: the line, (height, width, 3), uint8, BGR; None if it could not be read
    - ``rec_text``: the text; with word boxes PaddleOCR's tuple ``(text, [column_count, words, columns, kinds])``
    - ``rec_score``: mean probability of its characters, 0.0 for an empty text
    - ``error``: None, or the sentence that says why the input could not be read
    """

    def __init__(self, fields: dict[str, Any], names: SaveNames | None = None) -> None:
        super().__init__(fields)
        self._names = names or SaveNames()
        # Inputs without a path: the peer's name for their files, and what tells them apart.
        self._stem = f"{int(time.time())}_{secrets.randbelow(9000) + 1000}"
        self._token = secrets.token_hex(8)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (dict(self), self._names, self._stem, self._token)

    @classmethod
    def of_line(cls, line: LineImage, read: TextLine, names: SaveNames) -> TextRecResult:
        """Return the result of a line that was read."""
        text: Any = read.text
        if read.word_boxes is not None:
            boxes = read.word_boxes
            text = (read.text, [boxes.column_count, boxes.words, boxes.columns, boxes.kinds])
        fields = {"input_path": line.input_path, "page_index": line.page_index, "input_img": line.pixels}
        return cls({**fields, "rec_text": text, "rec_score": read.score, "error": None}, names)

    @classmethod
    def of_error(cls, line: UnreadableLine, names: SaveNames) -> TextRecResult:
        """Return the result of an input that could not be read."""
        fields = {"input_path": line.input_path, "page_index": line.page_index, "input_img": None}
        return cls({**fields, "rec_text": "", "rec_score": 0.0, "error": str(line.error)}, names)

    @property
    def json(self) -> dict[Text, dict[Text, Any]]:
        """``{"res": {...}}`` of plain values, without the image; ``error`` only if there is one."""
        text = self["rec_text"]
        fields = {
            "input_path": self["input_path"],
            "page_index": self["page_index"],
            "rec_text": list(text) if isinstance(text, tuple) else text,
            "rec_score": float(self["rec_score"]),
        }
        return {"res": {**fields, "error": self["error"]} if self["error"] is not None else fields}

    @property
    def str(self) -> dict[Text, dict[Text, Any]]:
        """``{"res": {...}}`` without the image."""
        hidden = {"input_img"} if self["error"] is not None else {"input_img", "error"}
        return {"res": {key: value for key, value in self.items() if key not in hidden}}

    @property
    def img(self) -> dict[Text, Image]:
        """``{"res": picture}``: the line with "text (score)" below it, a PIL image.

        Raises:
            UnreadableInput: The input could not be read, so there is nothing to show.
            OptionError: A font file named by the environment cannot be read.
        """
        if self["input_img"] is None:
            where = self["input_path"] or "this input"
            raise UnreadableInput(where, "it could not be read, so there is no picture of it", self["page_index"])
        text = self["rec_text"]
        shown = text[0] if isinstance(text, tuple) else text
        return {"res": captioned(self["input_img"], f"{shown} ({self['rec_score']:.4f})")}

    def print(
        self,
        format_json: bool = True,  # noqa: FBT001, FBT002 - the peer's signature
        indent: int = 4,
        ensure_ascii: bool = False,  # noqa: FBT001, FBT002
        *,
        json_format: bool | None = None,
    ) -> None:
        """Write the result to stdout.

        Args:
            format_json: As JSON; else as a dict.
            indent: Spaces of JSON indentation.
            ensure_ascii: Escape everything beyond ASCII.
            json_format: PaddleX's spelling of ``format_json``.
        """
        as_json = format_json if json_format is None else json_format
        text = json.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii) if as_json else f"{self.str}"
        print(text)  # noqa: T201 - that is what was asked for

    def save_to_json(
        self,
        save_path: StrPath,
        indent: int = 4,
        ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - the peer's signature
    ) -> Path:
        """Save as JSON: to ``save_path`` if it ends in .json, else as ``<name>_res.json`` in that directory.

        Returns:
            The file written.
        """
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path = path / f"{self._name_in(path)}_res.json"
        content = json.dumps(self.json["res"], indent=indent, ensure_ascii=ensure_ascii)
        return _write(path, lambda file: file.write(content.encode("utf-8", "surrogatepass")))

    def save_to_img(self, save_path: StrPath) -> Path:
        """Save the picture: to ``save_path`` if it ends as an image, else as ``<name>_res<suffix of the input>``.

        Returns:
            The file written.

        Raises:
            UnreadableInput: The input could not be read, so there is nothing to show.
        """
        picture = self.img["res"]
        path = Path(save_path)
        if path.suffix.lower() not in _IMAGE_SUFFIXES:
            suffix = Path(_file_name(self["input_path"] or "")).suffix
            suffix = suffix if suffix.lower() in _IMAGE_SUFFIXES else ".png"
            path = path / f"{self._name_in(path)}_res{suffix}"
        return _write(path, lambda file: picture.save(file, _pillow_format(path)))

    def save_all(self, save_path: StrPath) -> list[Path]:
        """Save JSON and picture into the directory ``save_path``; of an input with an error, the JSON.

        Returns:
            The files written.
        """
        saved = [self.save_to_json(save_path)]
        if self["error"] is None:
            saved.append(self.save_to_img(save_path))
        return saved

    def _name_in(self, directory: Path) -> Text:
        input_path, page_index = self["input_path"], self["page_index"]
        if input_path is None:
            return self._names.claim(directory, self._stem, (None, None, self._token))
        stem = _UNSAFE.sub("_", Path(_file_name(input_path)).stem) or "input"
        base = stem if page_index is None else f"{stem}_{page_index}"
        return self._names.claim(directory, base, (input_path, page_index, ""))


def _rebuild(fields: dict[str, Any], names: SaveNames, stem: str, token: str) -> TextRecResult:
    result = TextRecResult(fields, names)
    result._stem, result._token = stem, token  # noqa: SLF001 - of our own class
    return result


def _file_name(input_path: str) -> str:
    """Return the last part of a path or URL, of a URL without its query."""
    if input_path.startswith(("http://", "https://")):
        return unquote(urlsplit(input_path).path).rstrip("/").rpartition("/")[2]
    return Path(input_path).name


def _pillow_format(path: Path) -> str:
    formats = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
    return formats.get(path.suffix.lower(), path.suffix[1:].upper())


def _write(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all; parents are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
