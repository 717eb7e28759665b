"""How a bundle is to be run: the input of the network, the engine, and how lines are put into batches."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from ocrhpi.edge.fields import Fields
from ocrhpi.values import LARGEST_SIZE, InputSpec

if TYPE_CHECKING:
    from typing import Any

Kind = TypeVar("Kind")

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
        precision: Precision of the arithmetic, as `ocrhpi.candidate.Candidate.precision` names it.
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
