"""The file ``config.json``: sizes that would ask for terabytes are refused before anything is made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocrhpi.edge.config import BundleConfig
from ocrhpi.errors import BundleError
from ocrhpi.values import InputSpec

CONFIG = BundleConfig(
    model_name="rec",
    spec=InputSpec(),
    right_to_left=False,
    artifact="model.onnx",
    engine="onnxruntime",
    precision="fp32",
    batching="masked",
    width_step=64,
    batch_size=8,
    buckets=(320, 640),
)


def changed(key: str, value: Any) -> bytes:
    values = CONFIG.as_values()
    place = values["input"] if key in values["input"] or key in {"rows", "stretch_width"} else values
    place[key] = value
    return json.dumps(values).encode()


def test_it_comes_back_as_it_was_written() -> None:
    assert BundleConfig.read("b", json.dumps(CONFIG.as_values()).encode()) == CONFIG
    assert BundleConfig.read("b", changed("rows", 4)).spec == InputSpec(rows=4)


@pytest.mark.parametrize("key", ["height", "base_width", "max_width", "stretch_width", "rows"])
@pytest.mark.parametrize("value", [0, -3, 10_001, 2_000_000_000, 1 << 70])
def test_sizes_that_no_network_has(key: str, value: int) -> None:
    with pytest.raises(BundleError, match=rf"{key}: received {value}, expected a whole number from 1 to 10000"):
        BundleConfig.read("b", changed(key, value))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("width_step", 2_000_000_000, "width_step: received 2000000000, expected 1 to 10000"),
        ("batch_size", 2_000_000_000, "batch_size: received 2000000000, expected 1 to 10000"),
        ("batch_size", 0, "batch_size: received 0, expected 1 to 10000"),
        ("buckets", [320, 2_000_000_000], "expected widths from 1 to 10000, ascending"),
        ("buckets", [640, 320], "expected widths from 1 to 10000, ascending"),
        ("buckets", [0, 320], "expected widths from 1 to 10000, ascending"),
        ("buckets", [320, True], "expected widths from 1 to 10000, ascending"),
        ("height", "48", "received '48', expected int"),
        ("height", 48.5, "received 48.5, expected int"),
        ("color", "CMYK", "received 'CMYK', expected one of BGR, RGB, GRAY"),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any, problem: str) -> None:
    with pytest.raises(BundleError, match=f"b: config.json: .*{problem}"):
        BundleConfig.read("b", changed(key, value))


def test_sizes_that_are_too_much_together() -> None:
    values = CONFIG.as_values()
    values["input"] |= {"height": 10_000, "base_width": 10_000, "max_width": 10_000}
    with pytest.raises(BundleError, match=r"received \(1, 3, 10000, 10000\) for one batch"):
        BundleConfig.read("b", json.dumps(values).encode())


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"input": ' * 100_000, b"", b"[]", b'{"input": 5}', b"\xff"])
def test_what_is_no_configuration(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"b: config\.json"):
        BundleConfig.read("b", data)
    deep = b'{"batching": ' + b"[" * 900 + b"]" * 900 + b"}"
    with pytest.raises(BundleError, match="batching: received "):
        BundleConfig.read("b", deep)
