from __future__ import annotations

import os

import pytest

from ocrhpi.backends.device import TF32_VARIABLE, forbid_tf32
from ocrhpi.errors import BackendMismatch


@pytest.mark.parametrize("before", [None, "0"])
def test_tf32_is_forbidden(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.setenv(TF32_VARIABLE, "to be put back")
    if before is None:
        monkeypatch.delenv(TF32_VARIABLE)
    else:
        monkeypatch.setenv(TF32_VARIABLE, before)
    forbid_tf32("paddle")
    assert os.environ[TF32_VARIABLE] == "0"


def test_a_user_who_wants_tf32_gets_no_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TF32_VARIABLE, "1")
    with pytest.raises(BackendMismatch, match=r"'paddle': asked for FP32, but NVIDIA_TF32_OVERRIDE=1 .*unset it"):
        forbid_tf32("paddle")
