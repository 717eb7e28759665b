"""Options as frozen, validated values: one base class and one way to report what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ocrhpi.errors import OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Options", "parse_options"]


class Options(BaseModel):
    """Base of every option object: immutable, no coercion, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


OptionsT = TypeVar("OptionsT", bound=Options)


def parse_options(kind: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Build ``kind`` from a mapping of names to values.

    Raises:
        OptionError: The first option that is unknown (with the nearest known name) or whose value does not fit.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = sorted(kind.model_fields)
            problem = f"unknown; known options are {', '.join(known)}.{nearest(name, known)}"
        else:
            problem = f"received {fault['input']!r}; {fault['msg'][0].lower()}{fault['msg'][1:]}"
        raise OptionError(name, problem) from None
