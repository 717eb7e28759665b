from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ocrhpi.backends
from ocrhpi.backends import registry
from ocrhpi.backends.registry import BackendSpec, availability, backend_specs, create_backend, spec_of
from ocrhpi.errors import BackendError, BackendUnavailable, UnknownBackend
from ocrhpi.model import Model, ModelFiles
from ocrhpi.testing import SPEC, StripeBackend
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model("m", tmp_path, ModelFiles(onnx=tmp_path / "m.onnx"), InputSpec(), ("a",))


@pytest.fixture
def one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put one more module into the package of the backends."""
    lines = ("from dataclasses import replace", "from ocrhpi import testing", "SPEC = replace(testing.SPEC, order=2)")
    (tmp_path / "stripes_.py").write_text("\n".join(lines))
    monkeypatch.setattr(ocrhpi.backends, "__path__", [*ocrhpi.backends.__path__, str(tmp_path)])
    registry._own_specs.cache_clear()
    yield
    registry._own_specs.cache_clear()
    del sys.modules["ocrhpi.backends.stripes_"]


def test_those_of_this_package_are_found_in_an_order_of_their_own() -> None:
    folder = Path(registry.__file__).parent
    specs = backend_specs()
    assert list(specs) == ["paddle", "openvino", "onnxruntime", "tensorrt"]
    assert {f"{name}_.py" for name in specs} == {path.name for path in folder.glob("[a-z]*_.py")}
    for name, spec in specs.items():
        assert spec.name == name
        assert spec.target.startswith(f"ocrhpi.backends.{name}_:")
        assert spec_of(name) is spec


@pytest.mark.usefixtures("one_more")
def test_one_more_is_one_more_module() -> None:
    assert list(backend_specs()) == ["paddle", "openvino", "onnxruntime", "stripes", "tensorrt"]


def test_asking_what_there_is_imports_no_engine() -> None:
    heavy = {"cv2", *(module for spec in backend_specs().values() for module in spec.modules)}
    program = (
        "import sys; from ocrhpi.backends.registry import availability, backend_specs; "
        "[availability(spec) for spec in backend_specs().values()]; "
        f"sys.exit(str({heavy} & set(sys.modules) or ''))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == ""


def test_the_spec_of_one(register: Callable[[str, str], None]) -> None:
    assert spec_of("stripes") is None
    register("stripes", "ocrhpi.testing:SPEC")
    assert spec_of("stripes") is SPEC


def test_threads_go_into_the_option_that_takes_them() -> None:
    spec = BackendSpec("m", "m:M", (), (), "", threads_option="workers")
    assert spec.with_threads(3) == {"workers": 3}
    assert spec.with_threads(None) == SPEC.with_threads(3) == {}


def test_third_parties_register_through_the_entry_point_group(
    register: Callable[[str, str], None], model: Model
) -> None:
    register("stripes", "ocrhpi.testing:SPEC")
    assert availability(backend_specs()["stripes"]).available
    assert isinstance(create_backend("stripes", model), StripeBackend)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("no_such_module:SPEC", "fails to load"), ("ocrhpi.testing:STRIDE", "expected a BackendSpec")],
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
    register("other", "ocrhpi.testing:SPEC")
    register("third", "ocrhpi.testing:SPEC")
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
