"""Options as frozen, validated values: one base class and one way to report what does not fit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ocrhpi.errors import OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


def _path_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText: TypeAlias = Annotated[str, BeforeValidator(_path_text), Field(min_length=1)]
"""A path, given as text or as `pathlib.Path`, as text."""

DeviceName: TypeAlias = Annotated[str, AfterValidator(lambda name: name.strip().lower())]
"""``cpu``, ``gpu`` or ``gpu:INDEX``, in capitals, too."""


Threads: TypeAlias = Annotated[int, Field(ge=1, le=1024)]
"""CPU threads. Engines hang or crash of numbers that no machine has."""


class Options(BaseModel):
    """Base of every option object: immutable, no coercion, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever is given
    """Return numbers, texts and arrays of numpy as Python's own, in lists and mappings, too; others as they are."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if type(value) in {list, tuple}:
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {name: plain(one) for name, one in value.items()}
    return value


OptionsT = TypeVar("OptionsT", bound=Options)


def parse_options(kind: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Build ``kind`` from a mapping of names to values.

    Raises:
        OptionError: The first option that is unknown (with the nearest known name) or whose value does not fit.
    """
    try:
        # Here, and not in a validator of the class: with one, pydantic takes no list of a JSON file for a tuple.
        return kind.model_validate(plain(dict(given)))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = sorted(kind.model_fields)
            problem = f"unknown; known options are {', '.join(known)}.{nearest(name, known)}"
        else:
            problem = f"received {fault['input']!r:.200}; {fault['msg'][0].lower()}{fault['msg'][1:]}"
        raise OptionError(name, problem) from None
