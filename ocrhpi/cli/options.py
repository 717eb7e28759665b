"""Options in PaddleOCR's spelling, which also take the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["option", "switch"]


def option(name: str, text: str, **facts: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - click's
    """Return an option of PaddleOCR's spelling (``--batch_size``) that also takes the usual one (``--batch-size``).

    Args:
        name: Its name, with the two hyphens.
        text: Its help.
        **facts: What `click.option` takes.
    """
    usual = "--" + name[2:].replace("_", "-")
    return click.option(*dict.fromkeys((name, usual)), help=text, **facts)


def switch(name: str, text: str, *, default: bool | None = None) -> Callable[[Any], Any]:
    """Return an option that is on when given alone and also takes a value, as PaddleOCR's do (``--use_hpip false``).

    Args:
        name: As for `option`.
        text: As for `option`.
        default: Where it is not given.
    """
    facts: dict[str, Any] = {} if default is None else {"show_default": True}
    return option(name, text, type=bool, is_flag=False, flag_value=True, default=default, metavar="[BOOL]", **facts)
