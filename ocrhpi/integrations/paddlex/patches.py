"""How the functions of PaddleX and PaddleOCR take ``hpi_config`` where ocrhpi stands in for high-performance inference.

`Changes` keeps what was changed in another package, so that it can be undone exactly. Each other function takes one of
theirs and returns what stands in for it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from ocrhpi.errors import OptionError
from ocrhpi.integrations.paddlex.settings import PADDLE_SETTINGS, as_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from ocrhpi.config.hpi_config import HpiConfig

_ABSENT = object()


class Changes:
    """Makes changes, and undoes them in reverse order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def set_attribute(self, owner: object, name: str, value: object) -> None:
        """Replace an attribute.

        Raises:
            AttributeError: There is none of that name.
        """
        before = getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, before))

    def set_item(self, mapping: MutableMapping[Any, Any], key: object, value: object) -> None:
        """Set an entry, a new one or another."""
        before = mapping.get(key, _ABSENT)
        mapping[key] = value
        self._undo.append(lambda: mapping.pop(key) if before is _ABSENT else mapping.__setitem__(key, before))

    def append(self, values: list[Any], value: object) -> None:
        """Append to a list."""
        values.append(value)
        self._undo.append(lambda: values.remove(value))

    def call(self, action: Callable[[], object]) -> None:
        """Call what is to be called now, and again when all is undone: say, to empty a cache."""
        action()
        self._undo.append(action)

    def adopt(self, later: Changes) -> None:
        """Take over what others made after these."""
        self._undo += later._undo
        later._undo = []

    def undo(self) -> None:
        """Undo all; a second time nothing is left to do."""
        while self._undo:
            self._undo.pop()()


_log = logging.getLogger("ocrhpi")

HPI = "hpi"
"""PaddleX's name of high-performance inference among its engines."""


def effective_engine(original: Callable[..., Any], without: Callable[[str], bool]) -> Callable[..., Any]:
    """Stand in for PaddleX's choice of the engine that a model gets.

    In PaddleX ``use_hpip`` is an error for a model that has no high-performance inference, such as one of vision and
    language. Here such a model stays where it is without it, so that the others of its pipeline need not.

    Args:
        original: PaddleX's.
        without: Whether a model has none.
    """

    @wraps(original)
    def resolve(model_name: str, engine: str | None, use_hpip: bool, genai_config: Any) -> Any:  # noqa: ANN401, FBT001
        chosen = original(model_name, engine, use_hpip, genai_config)
        if engine is not None or chosen != HPI or not without(model_name):
            return chosen
        chosen = original(model_name, engine, False, genai_config)  # noqa: FBT003
        _log.warning("%s stays on %s: PaddleX has no high-performance inference for it", model_name, chosen)
        return chosen

    return resolve


def config_source(original: Callable[..., Any], engine_names: Collection[str]) -> Callable[..., Any]:
    """Stand in for PaddleX's choice of the configuration that a model gets.

    PaddleX lets ``engine_config`` win, and PaddleOCR always passes one, of Paddle Inference's settings alone; so
    ``hpi_config`` never arrives. Here both do, and Paddle's settings stay with them for the models that need Paddle.

    Args:
        original: PaddleX's.
        engine_names: Names of all engines, by which an ``engine_config`` for several of them is recognised.
    """

    @wraps(original)
    def select(*, engine: str, engine_config: Any, hpi_config: Any, **others: Any) -> Any:  # noqa: ANN401
        if engine != HPI or _mixes(engine_config, engine_names):
            return original(engine=engine, engine_config=engine_config, hpi_config=hpi_config, **others)
        if isinstance(engine_config, Mapping) and engine_config and set(engine_config) <= set(engine_names):
            paddle, own = engine_config.get(PADDLE_SETTINGS, {}), engine_config.get(HPI, {})
        else:
            paddle, own = {}, as_mapping(engine_config)
        given = {**as_mapping(hpi_config), **own}
        return {HPI: {**given, PADDLE_SETTINGS: dict(paddle)}}

    return select


def parsed_arguments(original: Callable[..., Any]) -> Callable[..., Any]:
    """Stand in for PaddleOCR's check of the common keywords: it also takes ``use_hpip`` and ``hpi_config``."""

    @wraps(original)
    def parse(kwargs: Mapping[str, Any], **others: Any) -> dict[str, Any]:  # noqa: ANN401
        rest = dict(kwargs)
        hpi_config = rest.pop("hpi_config", None)
        use_hpip = rest.pop("use_hpip", None)
        if use_hpip is not None and rest.get("enable_hpi") not in {None, use_hpip}:
            raise OptionError("use_hpip", f"received {use_hpip}, and enable_hpi={rest['enable_hpi']}; keep one of them")
        if use_hpip is not None:
            rest["enable_hpi"] = use_hpip
        parsed: dict[str, Any] = original(rest, **others)
        if hpi_config is not None and parsed["enable_hpi"] is False:
            raise OptionError("hpi_config", "given without enable_hpi=True; it configures high-performance mode only")
        parsed["hpi_config"] = hpi_config
        return parsed

    return parse


def init_arguments(original: Callable[..., Any], default: HpiConfig | Mapping[str, Any] | None) -> Callable[..., Any]:
    """Stand in for PaddleOCR's translation of the common keywords: it also hands ``hpi_config`` on to PaddleX.

    Args:
        original: PaddleOCR's.
        default: Configuration of those who give none.
    """

    @wraps(original)
    def prepare(model_name: str | None, common_args: Mapping[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = original(model_name, common_args)
        given = common_args.get("hpi_config")
        config = as_mapping(default if given is None else given)
        return {**arguments, "hpi_config": config} if config else arguments

    return prepare


def _mixes(engine_config: object, engine_names: Collection[str]) -> bool:
    """Whether keys and names of engines stand side by side, which PaddleX itself refuses in its own words."""
    if not isinstance(engine_config, Mapping):
        return False
    named = set(engine_config) & set(engine_names)
    return bool(named) and len(named) < len(engine_config)
