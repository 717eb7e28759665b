"""Paddle's programs in JSON, mended where paddle2onnx reads another type than Paddle writes; runs in its process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ocrhpi.files import temporary_folder

_KIND, _ATTRIBUTES, _NAME, _VALUE, _ITEMS = "#", "A", "N", "AT", "D"
_ARRAY, _DOUBLE, _FLOAT = "0.a_array", "0.a_f64", "0.a_f32"


def mend_before_parsing(converter: Any) -> None:  # noqa: ANN401 - a module
    """Let ``paddle2onnx.convert`` parse mended programs; files are left as they are.

    Args:
        converter: The module, whose parser is replaced.
    """
    parser = converter.c_p2o

    def export(program: str, *others: object) -> bytes:
        with temporary_folder() as folder:
            converted: bytes = parser.export(_mended(program, folder / "mended.json"), *others)
        return converted

    converter.c_p2o = SimpleNamespace(export=export)


def mend_scales(node: object) -> bool:
    """Turn the doubles in ``scale`` of interpolations into floats, in place; return whether there were any.

    Paddle 3.3 writes them as doubles, also when it translates the old format; paddle2onnx 2.1 refuses those.
    """
    if not isinstance(node, dict | list):
        return False
    changed = False
    for child in node.values() if isinstance(node, dict) else node:
        changed |= mend_scales(child)
    if isinstance(node, dict) and "_interp" in str(node.get(_KIND)):
        changed |= _mend_operator(node)
    return changed


def _mend_operator(operator: dict[str, Any]) -> bool:
    scales = [one[_VALUE] for one in operator.get(_ATTRIBUTES, ()) if one.get(_NAME) == "scale"]
    doubles = [item for scale in scales if scale[_KIND] == _ARRAY for item in scale[_ITEMS] if item[_KIND] == _DOUBLE]
    for item in doubles:
        item[_KIND] = _FLOAT
    return bool(doubles)


def _mended(program: str, copy: Path) -> str:
    """Return the path of the program that can be parsed: the same, or the mended copy.

    A program in the old format is translated before it comes here.
    """
    if not program.endswith(".json"):
        return program
    content = json.loads(Path(program).read_text("utf-8"))
    if not mend_scales(content):
        return program
    copy.write_text(json.dumps(content), "utf-8")
    return str(copy)
