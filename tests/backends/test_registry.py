from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from ocrhpi.backends.registry import availability, backend_specs, create_backend
from ocrhpi.errors import BackendError, BackendUnavailable, UnknownBackend
from ocrhpi.model import Model, ModelFiles
from ocrhpi.values import InputSpec
from tests.fakes import StripeBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model("m", tmp_path, ModelFiles(onnx=tmp_path / "m.onnx"), InputSpec(), ("a",))


def test_third_parties_register_through_the_entry_point_group(
    register: Callable[[str, str], None], model: Model
) -> None:
    register("stripes", "tests.fakes:SPEC")
    assert availability(backend_specs()["stripes"]).available
    assert isinstance(create_backend("stripes", model), StripeBackend)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("no_such_module:SPEC", "fails to load"), ("tests.fakes:STRIDE", "expected a BackendSpec")],
)
def test_a_broken_plug_in_is_unavailable_and_harms_no_other(
    register: Callable[[str, str], None], model: Model, value: str, reason: str
) -> None:
    register("broken", value)
    specs = backend_specs()
    assert "paddle" in specs
    assert reason in availability(specs["broken"]).reason
    with pytest.raises(BackendUnavailable, match="plugin-broken"):
        create_backend("broken", model)


def test_two_backends_of_one_name_are_an_error(register: Callable[[str, str], None]) -> None:
    register("other", "tests.fakes:SPEC")
    register("third", "tests.fakes:SPEC")
    with pytest.raises(BackendError, match="registered twice"):
        backend_specs()


def test_unknown_name_suggests_the_nearest(model: Model) -> None:
    with pytest.raises(UnknownBackend, match="Did you mean 'paddle'"):
        create_backend("padle", model)


def test_missing_library_is_a_sentence_with_the_install_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddle", None)
    assert not availability(backend_specs()["paddle"]).available
    with pytest.raises(BackendUnavailable, match=r"not installed; install it with: pip install 'ocrhpi\[paddle\]'"):
        create_backend("paddle", model)
