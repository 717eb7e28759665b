"""Typed access to a JSON object; what does not fit is an error that names the file and the key."""

from __future__ import annotations

from typing import Any, TypeVar

from ocrhpi.data_files import read_json
from ocrhpi.errors import BundleError

Kind = TypeVar("Kind")


class Fields:
    """One object of a JSON file of a bundle.

    Args:
        where: The bundle, for errors.
        file: The file, for errors.
        values: The object.
    """

    def __init__(self, where: str, file: str, values: dict[str, Any]) -> None:
        self._where = where
        self._file = file
        self._values = values

    @classmethod
    def of_json(cls, where: str, file: str, data: bytes) -> Fields:
        """Read a file that holds one object.

        Raises:
            BundleError: It does not.
        """
        try:
            values = read_json(data)
        except ValueError as error:
            raise BundleError(where, file, f"is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise BundleError(where, file, f"holds a JSON {type(values).__name__}, expected an object")
        return cls(where, file, values)

    def get(self, key: str, kind: type[Kind]) -> Kind:
        """Return the value of ``key``, which is of this very kind: a bool is no int.

        Raises:
            BundleError: It is missing or of another kind.
        """
        value = self._values.get(key)
        if type(value) is not kind:
            received = "nothing" if value is None else _shown(value)
            raise self.error(key, f"received {received}, expected {kind.__name__}")
        return value

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        """Return the value of ``key``, a string among ``known``.

        Raises:
            BundleError: It is none of them.
        """
        value = self.get(key, str)
        if value not in known:
            raise self.error(key, f"received {_shown(value)}, expected one of {', '.join(known)}")
        return value

    def part(self, key: str) -> Fields:
        """Return the object at ``key``."""
        return Fields(self._where, f"{self._file}: {key}", self.get(key, dict))

    def parts(self, key: str) -> list[Fields]:
        """Return the objects of the list at ``key``.

        Raises:
            BundleError: There is no list of objects.
        """
        values = self.get(key, list)
        if not all(isinstance(value, dict) for value in values):
            raise self.error(key, "expected a list of objects")
        return [Fields(self._where, f"{self._file}: {key}[{at}]", value) for at, value in enumerate(values)]

    def keys(self) -> list[str]:
        """Return the keys."""
        return list(self._values)

    def error(self, key: str, problem: str) -> BundleError:
        """Return the error that ``key`` does not fit."""
        return BundleError(self._where, f"{self._file}: {key}", problem)


def _shown(value: object) -> str:
    try:
        return repr(value)[:60]
    except RecursionError:
        return f"a {type(value).__name__} of many levels"
