"""Options in PaddleOCR's spelling, which also take the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model.source import ModelSource

_FACTS = ("model_name", "character_dict_path", "use_space_char", "rec_image_shape", "right_to_left")


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


def model_facts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say of a model what its files do not; `source_of` takes what is given."""
    for decorate in (
        switch("--right_to_left", "The script runs from right to left.  [default: inferred from the vocabulary]"),
        option("--rec_image_shape", "Input shape, such as 3,48,320.  [default: from its files]", metavar="C,H,W"),
        switch("--use_space_char", "A space follows the dictionary.  [default: inferred from the number of classes]"),
        option("--character_dict_path", "The model's dictionary, if its files contain none.", metavar="FILE"),
    ):
        command = decorate(command)
    return command


def source_of(model: str, given: dict[str, Any]) -> ModelSource:
    """Take the options of `model_facts` out of ``given``, and return the model that they belong to.

    Args:
        model: Official name, folder or ONNX file.
        given: Options of a command.

    Raises:
        OptionError: One does not fit.
    """
    from ocrhpi.model.source import ModelSource  # noqa: PLC0415 - loads pydantic, which --help does without

    facts = {name: given.pop(name) for name in _FACTS if name in given}
    return ModelSource.of(model, **{name: value for name, value in facts.items() if value is not None})
