"""What to install is told so that an ONNX Runtime for GPUs is not overwritten by the one for CPUs."""

from __future__ import annotations

import sys

import pytest

from ocrhpi.errors import BackendUnavailable
from ocrhpi.export.convert import missing_modules, require_modules


def test_what_is_there_is_not_asked_for_again() -> None:
    require_modules(["onnx"], "exporting")
    assert missing_modules(["onnx", "no_such_module"]) == ["no_such_module"]


@pytest.mark.parametrize(
    ("absent", "extras"),
    [
        ([], "convert"),
        (["onnxruntime"], "convert,onnxruntime"),
        (["paddle"], "convert,paddle"),
        (["onnxruntime", "paddle"], "convert,onnxruntime,paddle"),
    ],
)
def test_the_command_brings_only_what_is_not_there(
    absent: list[str], extras: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("paddle2onnx", *absent):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable) as caught:
        require_modules(["onnx", "paddle2onnx"], "conversion from Paddle")
    message = str(caught.value)
    assert "conversion from Paddle needs paddle2onnx, not installed" in message
    assert f"pip install 'ocrhpi[{extras}]'" in message
