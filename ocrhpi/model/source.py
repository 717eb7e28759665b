"""Which model is meant, and what its files do not say, as plain values that travel to other processes and machines."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from ocrhpi.errors import OptionError
from ocrhpi.options import Options, PathText
from ocrhpi.values import LARGEST_SIZE

_UNFIT = re.compile(r"[^\w.+-]", re.ASCII)
_LONGEST = 100
_DIGEST = 12


def file_name(name: str) -> str:
    """Return ``name`` as one part of a path, on any system: a model may be called ``../../x`` or by 250 letters.

    Official names stay as they are. Others get a digest where something was taken out, so that no two names meet.
    """
    plain = _UNFIT.sub("_", name).strip(".")[:_LONGEST]
    if plain and plain == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{plain[: _LONGEST - _DIGEST - 1] or 'model'}-{digest}"


_SIZES = 3
Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]


def _spelled_shape(value: object) -> object:
    """Take ``"3, 48, 320"`` of PaddleOCR 2.x, too."""
    if isinstance(value, str):
        parts = value.strip("[]() ").split(",")
        return tuple(int(part) for part in parts) if all(part.strip().isdecimal() for part in parts) else value
    return tuple(value) if isinstance(value, list) else value


Shape: TypeAlias = Annotated[tuple[Size, Size, Size], BeforeValidator(_spelled_shape)]
ImageShape: TypeAlias = Annotated[tuple[Literal[1, 3], Size, Size], BeforeValidator(_spelled_shape)]


class ModelSource(Options):
    """A model, named or on disk. What is given here wins over what its files say.

    Attributes:
        model_name: Official name, fetched into the cache if ``model_dir`` is not given; with it, what to call the
            model.
        model_dir: Directory of an exported model of any age, or a bare ONNX file.
        character_dict_path: Its dictionary, one entry a line, where neither ``inference.yml`` nor the metadata has it.
        use_space_char: Whether the network has a class for the space after those of the dictionary. None: its number of
            classes decides.
        rec_image_shape: (channels, height, width) as in PaddleOCR 2.x, also ``"3, 48, 320"``, where no
            ``inference.yml`` says it: lines are resized to the height and padded to the width at least.
        right_to_left: Whether the network emits a right-to-left script as it stands in the image. None: its vocabulary
            decides.
        input_shape: (channels, height, width) that every line is stretched to, instead of keeping its aspect ratio.
    """

    model_name: Annotated[str, Field(min_length=1)] | None = None
    model_dir: PathText | None = None
    character_dict_path: PathText | None = None
    use_space_char: bool | None = None
    rec_image_shape: ImageShape | None = None
    right_to_left: bool | None = None
    input_shape: Shape | None = None

    @classmethod
    def of(cls, model: Path | str, **facts: Any) -> ModelSource:  # noqa: ANN401 - validated as options
        """Return the source of ``model``, as commands take it: a path that exists, else an official name.

        Raises:
            OptionError: A fact is unknown or does not fit.
        """
        from ocrhpi.options import parse_options  # noqa: PLC0415

        key = "model_dir" if isinstance(model, os.PathLike) or os.path.exists(model) else "model_name"  # noqa: PTH110 - whatever its length
        return parse_options(cls, {key: model, **facts})

    @property
    def path(self) -> Path:
        """Where the model is.

        Raises:
            OptionError: ``model_dir`` is not given.
        """
        if self.model_dir is None:
            raise OptionError("model_dir", "not given; expected the directory of a model, or an ONNX file")
        return Path(self.model_dir)

    @property
    def source(self) -> ModelSource:
        """These facts alone, of a kind of options that has more."""
        return ModelSource(**{name: getattr(self, name) for name in ModelSource.model_fields})
