"""`Changes`: what was changed in another package, so that it can be undone exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

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
