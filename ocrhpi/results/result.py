"""`TextRecResult`: what was read in one line, with the calls and file names of PaddleOCR."""

from __future__ import annotations

import copy
import json
import re
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from ocrhpi.errors import OptionError, UnreadableInput
from ocrhpi.files import replacing, told_as_output
from ocrhpi.output import json_text, writable
from ocrhpi.results.save_names import SaveNames
from ocrhpi.results.visualize import captioned

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from PIL.Image import Image

    from ocrhpi.values import LineImage, TextLine, UnreadableLine

# Aliases, since inside the class `str` is the property of that name.
Text: TypeAlias = str
StrPath: TypeAlias = Path | str

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_OTHER_IMAGE_SUFFIXES = (".gif", ".pbm", ".pgm", ".ppm", ".pnm", ".dib", ".ras", ".sr", ".jp2", ".avif", ".heic")
_MAX_STEM_BYTES = 200  # file systems allow 255 for a name; page, number and "_res.json" come on top
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
            "rec_text": list(copy.deepcopy(text)) if isinstance(text, tuple) else text,
            "rec_score": float(self["rec_score"]),
        }
        error = self.get("error")
        return {"res": fields if error is None else {**fields, "error": error}}

    @property
    def str(self) -> dict[Text, dict[Text, Any]]:
        """``{"res": {...}}`` without the image."""
        hidden = {"input_img", "error"} if self.get("error") is None else {"input_img"}
        return {"res": {key: value for key, value in self.items() if key not in hidden}}

    @property
    def img(self) -> dict[Text, Image]:
        """``{"res": picture}``: the line with "text (score)" below it, a PIL image.

        Raises:
            UnreadableInput: The input could not be read, or its image was taken out of the result.
            OptionError: A font file named by the environment cannot be read.
        """
        if self["input_img"] is None:
            where = self["input_path"] or "this input"
            reason = "input_img is None" if self.get("error") is None else "it could not be read"
            raise UnreadableInput(where, f"{reason}, so there is no picture of it", self["page_index"])
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
        """Write the result to stdout; what stdout cannot encode is escaped.

        Args:
            format_json: As JSON; else as a dict.
            indent: Spaces of JSON indentation.
            ensure_ascii: Escape everything beyond ASCII.
            json_format: PaddleX's spelling of ``format_json``.
        """
        as_json = format_json if json_format is None else json_format
        if as_json:
            text = json_text(self.json, sys.stdout, indent=indent, ensure_ascii=ensure_ascii)
        else:
            text = writable(f"{self.str}", sys.stdout)
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

        Raises:
            OutputError: It cannot be written.
        """
        path = Path(save_path)
        content = json.dumps(self.json["res"], indent=indent, ensure_ascii=ensure_ascii)

        def write(file: BinaryIO) -> None:
            # A path that is not valid text holds lone surrogates; their escapes are JSON's own, so they come back.
            file.write(content.encode("utf-8", "backslashreplace"))

        return _write(path, write) if _names_file(path, (".json",)) else self._save_in(path, "_res.json", write)

    def save_to_img(self, save_path: StrPath) -> Path:
        """Save the picture: to ``save_path`` if it ends as an image, else as ``<name>_res<suffix of the input>``.

        Returns:
            The file written.

        Raises:
            UnreadableInput: The input could not be read, or its image was taken out of the result.
            OptionError: ``save_path`` ends as an image of a format that is not written.
            OutputError: It cannot be written.
        """
        picture = self.img["res"]
        path = _place_of_picture(save_path)
        as_file = _names_file(path, _IMAGE_SUFFIXES)
        suffix = path.suffix if as_file else self._picture_suffix()

        def write(file: BinaryIO) -> None:
            picture.save(file, _pillow_format(suffix))

        return _write(path, write) if as_file else self._save_in(path, f"_res{suffix}", write)

    def save_all(self, save_path: StrPath) -> list[Path]:
        """Save JSON and picture into the directory ``save_path``; where there is no image, the JSON only.

        A ``save_path`` that names a file, JSON or image, gets the other one beside it.

        Returns:
            The files written.

        Raises:
            OutputError: They cannot be written.
        """
        path = as_json = as_picture = _place_of_picture(save_path)
        if _names_file(path, (".json",)):
            as_picture = path.with_suffix(self._picture_suffix())
        elif _names_file(path, _IMAGE_SUFFIXES):
            as_json = path.with_suffix(".json")
        saved = [self.save_to_json(as_json)]  # first, since it says whose the name is
        return saved if self["input_img"] is None else [*saved, self.save_to_img(as_picture)]

    def _picture_suffix(self) -> Text:
        suffix = Path(_file_name(self["input_path"] or "")).suffix
        return suffix if suffix.lower() in _IMAGE_SUFFIXES else ".png"

    def _save_in(self, directory: Path, ending: Text, write: Callable[[BinaryIO], object]) -> Path:
        input_path, page_index = self["input_path"], self["page_index"]
        base, identity = self._stem, (None, None, self._token)
        if input_path is not None:
            stem = _shortened(_UNSAFE.sub("_", Path(_file_name(input_path)).stem)) or "input"
            base = stem if page_index is None else f"{stem}_{page_index}"
            identity = (input_path, page_index, "")
        with told_as_output(directory):
            # Before a name is looked for: in something that is no directory, none would ever be free.
            directory.mkdir(parents=True, exist_ok=True)
            return self._names.save(directory, base, identity, ending, write)


def _rebuild(fields: dict[str, Any], names: SaveNames, stem: str, token: str) -> TextRecResult:
    result = TextRecResult(fields, names)
    result._stem, result._token = stem, token  # noqa: SLF001 - of our own class
    return result


def _file_name(input_path: str) -> str:
    """Return the last part of a path or URL, of a URL without its query."""
    if input_path.startswith(("http://", "https://")):
        return unquote(urlsplit(input_path).path).rstrip("/").rpartition("/")[2]
    return Path(input_path).name


def _shortened(stem: str) -> str:
    # "surrogateescape" is how Python holds the bytes of a file name that are not text.
    content = stem.encode("utf-8", "surrogateescape")
    return stem if len(content) <= _MAX_STEM_BYTES else content[:_MAX_STEM_BYTES].decode("utf-8", "ignore")


def _names_file(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether ``path`` means a file of this kind, not a directory to save into."""
    return path.suffix.lower() in suffixes and not path.is_dir()


def _place_of_picture(save_path: StrPath) -> Path:
    path = Path(save_path)
    if _names_file(path, _OTHER_IMAGE_SUFFIXES):
        known = ", ".join(_IMAGE_SUFFIXES)
        raise OptionError("save_path", f"received {str(path)!r}; pictures are written as one of {known}")
    return path


def _pillow_format(suffix: str) -> str:
    formats = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
    return formats.get(suffix.lower(), suffix[1:].upper())


def _write(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all; parents are made."""
    with told_as_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Synchronising each of very many small files takes longer than reading the lines.
        with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
            write(file)
    return path
