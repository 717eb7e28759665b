"""What a bundle says of its files, and of how it is to be run: the network, the engine, how lines are put into batches.

JSON that does not fit is an error that names the file and the key.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from ocrhpi.data_files import read_json
from ocrhpi.errors import BundleError
from ocrhpi.values import LARGEST_SIZE, InputSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

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


MANIFEST = "manifest.json"
"""The one file of a bundle that stands in no list."""

FORMAT = "ocrhpi-bundle"
FORMAT_VERSION = 1

# A path below the bundle: no drive, no absolute path, no backslash, no "." or ".." and nothing hidden.
_PLAIN_NAME = re.compile(r"[\w][\w.+-]*(?:/[\w][\w.+-]*)*", re.ASCII)
_SHA256 = re.compile("[0-9a-f]{64}")
_MAX_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file.

    Attributes:
        sha256: SHA-256 of its content, as hex.
        size: Its length in bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a bundle.

    Attributes:
        target: What the bundle is made for, such as ``onnxruntime-arm64``.
        versions: Packages that made the bundle and their versions.
        files: All other files of the bundle, by their paths in it.
    """

    target: str
    versions: Mapping[str, str]
    files: Mapping[str, FileEntry]

    @classmethod
    def read(cls, where: str, data: bytes) -> Manifest:
        """Read the manifest of the bundle ``where``.

        Raises:
            BundleError: It is none, of another version, or names a file outside the bundle.
        """
        fields = Fields.of_json(where, MANIFEST, data)
        fields.one_of("format", (FORMAT,))
        version = fields.get("version", int)
        if version != FORMAT_VERSION:
            problem = f"received {version}, this runner reads {FORMAT_VERSION}; make the bundle and the runner anew"
            raise fields.error("version", problem)
        versions = fields.part("versions")
        listed = fields.part("files")
        files = {name: _entry(where, name, listed.part(name)) for name in listed.keys()}  # noqa: SIM118 - of Fields
        if sum(entry.size for entry in files.values()) > _MAX_BYTES:
            raise fields.error("files", f"together they are longer than {_MAX_BYTES} bytes, no bundle is")
        names = versions.keys()
        return cls(fields.get("target", str), {name: versions.get(name, str) for name in names}, files)

    def as_values(self) -> dict[str, object]:
        """Return what `read` reads."""
        files = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in sorted(self.files.items())}
        values: dict[str, object] = {"format": FORMAT, "version": FORMAT_VERSION, "target": self.target}
        return {**values, "versions": dict(self.versions), "files": files}


def is_plain_name(name: str) -> bool:
    """Whether ``name`` is a relative path that stays below the folder it is relative to, on any system."""
    return _PLAIN_NAME.fullmatch(name) is not None


def _entry(where: str, name: str, fields: Fields) -> FileEntry:
    if not is_plain_name(name):
        raise BundleError(where, MANIFEST, f"names a file outside the bundle or of an unfit name: {name!r}")
    entry = FileEntry(fields.get("sha256", str), fields.get("size", int))
    if not _SHA256.fullmatch(entry.sha256) or entry.size < 0:
        raise BundleError(where, MANIFEST, f"has no SHA-256 and size for {name!r}")
    return entry


CONFIG = "config.json"
VOCABULARY = "vocabulary.json"
CALIBRATION = "calibration/lines.json"


@dataclass(frozen=True, slots=True)
class BundleConfig:
    """The file ``config.json`` of a bundle.

    Attributes:
        model_name: Name of the model.
        spec: Its input.
        right_to_left: Whether its texts are turned into reading order.
        space: Whether a space follows the vocabulary; of bundles that do not say, it does.
        artifact: The file that the engine loads.
        engine: The engine, a backend of ocrhpi.
        precision: Precision of the arithmetic, as `ocrhpi.config.candidate.Candidate.precision` names it.
        batching: ``masked`` if the graph takes the width of each line, else ``exact``, see `ocrhpi.values.Batching`.
        width_step: Widths are rounded up to a multiple of this many pixels, in ``masked``.
        batch_size: Lines of base width that make one batch; of wider lines fewer share it.
        buckets: Widths in pixels, ascending, that lines are padded up to; for engines of the whole of ocrhpi only.
        small: Whether the small runner runs it; if not, the whole of ocrhpi does.
    """

    model_name: str
    spec: InputSpec
    right_to_left: bool
    artifact: str
    engine: str
    precision: str
    batching: Literal["exact", "masked"]
    width_step: int
    batch_size: int
    buckets: tuple[int, ...] = ()
    small: bool = True
    space: bool = True

    @classmethod
    def read(cls, where: str, data: bytes) -> BundleConfig:
        """Read the configuration of the bundle ``where``.

        Raises:
            BundleError: A value is missing or does not fit.
        """
        fields = Fields.of_json(where, CONFIG, data)
        batching = fields.one_of("batching", ("exact", "masked"))
        return cls(
            model_name=fields.get("model_name", str),
            spec=_spec(fields.part("input")),
            right_to_left=fields.get("right_to_left", bool),
            artifact=fields.get("artifact", str),
            engine=fields.get("engine", str),
            precision=fields.get("precision", str),
            batching=cast("Literal['exact', 'masked']", batching),
            width_step=_size(fields, "width_step"),
            batch_size=_size(fields, "batch_size"),
            buckets=_widths(fields, "buckets"),
            small=fields.get("small", bool),
            space=_optional(fields, "space", bool, default=True),
        )

    def as_values(self) -> dict[str, Any]:
        """Return what `read` reads."""
        values = asdict(self)
        spec = {name: value for name, value in values.pop("spec").items() if value is not None}
        return {"model_name": values.pop("model_name"), "input": spec, **values}


def _spec(fields: Fields) -> InputSpec:
    sizes = [fields.get(key, int) for key in ("height", "base_width", "max_width")]
    color = cast("Literal['BGR', 'RGB', 'GRAY']", fields.one_of("color", ("BGR", "RGB", "GRAY")))
    # Of networks that take one width, or so many lines at a time; most take any.
    stretch_width, rows = (_optional(fields, key, int, default=None) for key in ("stretch_width", "rows"))
    spec = InputSpec(sizes[0], sizes[1], sizes[2], stretch_width, color, rows)
    if spec.fault:
        raise fields.error("sizes", spec.fault)
    return spec


def _optional(fields: Fields, key: str, kind: type[Kind], *, default: Kind | None) -> Any:  # noqa: ANN401 - of kind
    return fields.get(key, kind) if key in fields.keys() else default  # noqa: SIM118 - of Fields


def _widths(fields: Fields, key: str) -> tuple[int, ...]:
    values = fields.get(key, list)
    whole = all(type(value) is int and 1 <= value <= LARGEST_SIZE for value in values)
    if not whole or any(first >= second for first, second in pairwise(values)):
        raise fields.error(key, f"expected widths from 1 to {LARGEST_SIZE}, ascending")
    return tuple(values)


def _size(fields: Fields, key: str) -> int:
    value = fields.get(key, int)
    if not 1 <= value <= LARGEST_SIZE:
        raise fields.error(key, f"received {value}, expected 1 to {LARGEST_SIZE}")
    return value
