from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ocrhpi.export.programs import mend_before_parsing, mend_scales


def attribute(name: str, kind: str, *values: float) -> dict[str, Any]:
    return {"N": name, "AT": {"#": "0.a_array", "D": [{"#": kind, "D": value} for value in values]}}


def program(kind: str) -> dict[str, Any]:
    scalar = {"N": "align_mode", "AT": {"#": "0.a_i32", "D": 1}}
    interpolation = {"#": "1.nearest_interp", "A": [scalar, attribute("scale", kind, 2.0, 2.0)]}
    other = {"#": "1.full", "A": [attribute("scale", "0.a_f64", 1.0), attribute("value", "0.a_f64", 1.0)]}
    return {"program": {"regions": [{"blocks": [{"ops": [interpolation, other, interpolation | {"I": []}]}]}]}}


def test_scales_of_interpolations_alone_become_floats() -> None:
    content = program("0.a_f64")
    assert mend_scales(content)
    assert content == program("0.a_f32")


def test_what_needs_no_mending_stays_as_it_is() -> None:
    content = program("0.a_f32")
    assert not mend_scales(content)
    assert content == program("0.a_f32")
    assert not mend_scales({"program": {"ops": [{"#": "1.bilinear_interp"}]}})


def converter(seen: list[Any]) -> SimpleNamespace:
    def export(path: str, *others: object) -> bytes:
        seen.append((json.loads(Path(path).read_text()) if path.endswith(".json") else path, others))
        return b"onnx"

    return SimpleNamespace(c_p2o=SimpleNamespace(export=export))


def test_the_parser_sees_the_mended_program_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "inference.json"
    original = program("0.a_f64")
    path.write_text(json.dumps(original))
    seen: list[Any] = []
    module = converter(seen)
    mend_before_parsing(module)
    assert module.c_p2o.export(str(path), "weights", 17) == b"onnx"
    assert module.c_p2o.export("inference.pdmodel", "weights") == b"onnx"
    mended = copy.deepcopy(original)
    mend_scales(mended)
    assert seen == [(mended, ("weights", 17)), ("inference.pdmodel", ("weights",))]
    assert json.loads(path.read_text()) == original
