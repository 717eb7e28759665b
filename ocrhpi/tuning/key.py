"""The key of a tuning: everything that makes it wrong when it changes, and how two keys differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.config.objective import Objective

TUNING_VERSION = 4
"""Part of the key; to be raised with every change of how candidates are made, read, timed or chosen."""

_SENTENCES = {
    "model": "model: the weights or the vocabulary changed",
    "grid": "grid: the options that are tried changed",
    "calibration": "calibration: the lines that are read changed",
}


def key_of(
    *,
    model: str,
    machine: Mapping[str, Any],
    engines: Mapping[str, str | None],
    grid: str,
    objective: Objective,
    calibration: str,
    device: str | None,
    versions: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything that makes a tuning wrong when it changes, as plain values that a file gives back equal.

    Args:
        model: Fingerprint of the model.
        machine: As `ocrhpi.machine.describe_machine` says.
        engines: Version of each registered backend's engine, None if it is not installed.
        grid: Digest of the option grids.
        objective: What was asked.
        calibration: Digest of the calibration lines.
        device: Device asked for.
        versions: Of what else takes part: ``ocrhpi``, ``exporter``. `TUNING_VERSION` is added.
    """
    parts = {
        "model": model,
        "machine": machine,
        "device": device,
        "engines": engines,
        "grid": grid,
        "question": objective.model_dump(),
        "calibration": calibration,
        "versions": {**versions, "tuning": TUNING_VERSION},
    }
    return {name: _plain(part) for name, part in parts.items()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name each part in which two keys differ, such as ``engines.openvino: 2026.4.1 -> 2026.5.0``."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [_SENTENCES.get(name, f"{name}: {_shown(name, before)} -> {_shown(name, after)}") for name in changed]


def _plain(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their dotted names."""
    if isinstance(value, Mapping):
        for part, item in value.items():
            yield from _leaves(item, f"{name}.{part}" if name else str(part))
    else:
        yield name, value


def _shown(name: str, values: Mapping[str, Any]) -> str:
    value = values.get(name)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "not installed" if name.startswith("engines.") else "none"
    return str(value)
