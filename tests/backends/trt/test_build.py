from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends.trt.build import BuildSettings, build_engine, shares_profiles, typing_of
from ocrhpi.backends.trt.request import Profile
from ocrhpi.errors import BackendError, BackendMismatch
from tests.backends.trt.tiny_graphs import half_model
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model

pytestmark = pytest.mark.usefixtures("current")

PROFILES = (Profile(4, 320, 320), Profile(1, 640, 640))
SETTINGS = BuildSettings("fp32", PROFILES, 48)
from_8_6 = pytest.mark.parametrize("version", ["8.6.1", "10.16.1.11", "11.4.0.106"], indirect=True)
from_10 = pytest.mark.parametrize("version", ["10.16.1.11", "11.4.0.106"], indirect=True)
oldest = pytest.mark.parametrize("version", ["8.5.3.1"], indirect=True)


def file_of(model: Model) -> Path:
    assert model.files.onnx is not None
    return model.files.onnx


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    return file_of(tiny_onnx_model(tmp_path / "masked", head="argmax", masked=True))


@pytest.fixture
def half(tmp_path: Path) -> Path:
    return file_of(half_model(tmp_path / "half"))


def last_build(trt: Any) -> dict[str, Any]:
    build: dict[str, Any] = trt._state.builds[-1]
    return build


def test_fp32_means_fp32(trt: Any, masked: Path) -> None:
    assert build_engine(trt, masked, SETTINGS).engine
    assert last_build(trt)["config"]._flags == set()  # no TF32, no FP16


def test_every_input_has_its_shapes_in_every_profile(trt: Any, masked: Path) -> None:
    build_engine(trt, masked, SETTINGS)
    narrow, wide = last_build(trt)["config"]._profiles
    assert narrow == {
        "x": ((1, 3, 48, 320), (4, 3, 48, 320), (4, 3, 48, 320)),
        "widths": ((1,), (4,), (4,)),
    }
    assert wide["x"] == ((1, 3, 48, 640),) * 3


@pytest.mark.parametrize(
    ("version", "typing", "flags"),
    [
        ("8.5.3.1", "constraints", {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
        ("8.6.1", "constraints", {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
        ("10.16.1.11", "strong", set()),
        ("11.4.0.106", "strong", set()),
    ],
    indirect=["version"],
)
def test_fp16_comes_from_the_graph(trt: Any, half: Path, typing: str, flags: set[str]) -> None:
    assert typing_of(trt) == typing
    build_engine(trt, half, replace(SETTINGS, precision="fp16"))
    build = last_build(trt)
    assert build["config"]._flags == flags
    assert ("STRONGLY_TYPED" in build["network"]._flags) == (typing == "strong" and trt.__version__.startswith("10"))
    assert any(layer._types for layer in build["network"]._layers) == (typing == "constraints")


@pytest.mark.parametrize(
    ("version", "shared", "previews"),
    [("8.5.3.1", False, set()), ("8.6.1", True, {"PROFILE_SHARING_0806"}), ("10.16.1.11", True, set())],
    indirect=["version"],
)
def test_profiles_are_shared_where_they_can_be(trt: Any, masked: Path, shared: bool, previews: set[str]) -> None:
    assert shares_profiles(trt) is shared
    build_engine(trt, masked, SETTINGS)
    assert last_build(trt)["config"]._previews == previews


@from_8_6
def test_settings_reach_the_builder(trt: Any, masked: Path) -> None:
    settings = replace(SETTINGS, optimization_level=5, workspace_mib=64, hardware_compatibility="ampere_plus")
    build_engine(trt, masked, settings)
    config = last_build(trt)["config"]
    assert config.builder_optimization_level == 5
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS
    assert config._pools == {"WORKSPACE": 64 << 20}


@oldest
@pytest.mark.parametrize("setting", [{"optimization_level": 5}, {"hardware_compatibility": "ampere_plus"}])
def test_a_setting_that_this_version_lacks_is_a_mismatch(trt: Any, masked: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(BackendMismatch, match=rf"asked for {next(iter(setting))}=.*8.5.3.1 has no such setting"):
        build_engine(trt, masked, replace(SETTINGS, **setting))


def test_a_graph_that_cannot_be_parsed_is_told_in_the_words_of_tensorrt(trt: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"\x08\x08broken")
    with pytest.raises(BackendError, match=r"cannot parse .*broken.onnx: Failed to parse ONNX model \(node 7, import"):
        build_engine(trt, file, SETTINGS)


def test_a_build_that_fails_is_told_in_the_words_of_tensorrt(trt: Any, masked: Path) -> None:
    trt._state.build_error = "Error Code 10: Could not find any implementation for node Conv.0"
    with pytest.raises(BackendError, match=r"cannot build an engine of .*: Error Code 10: Could not find any impl"):
        build_engine(trt, masked, SETTINGS)


def test_shapes_that_the_graph_refuses(trt: Any, masked: Path) -> None:
    with pytest.raises(BackendError, match=r"refuses shapes of 1 to 4 x 640 to 320 pixels"):
        build_engine(trt, masked, replace(SETTINGS, profiles=(Profile(4, 640, 320),)))


@from_10
def test_a_build_stops_at_its_limit_and_keeps_what_it_measured(trt: Any, masked: Path) -> None:
    kept: list[bytes] = []
    trt._state.on_step = lambda: time.sleep(0.02)
    with pytest.raises(BackendError, match=r"stopped after build_seconds=0.01, with 2 profiles; raise that option"):
        build_engine(trt, masked, replace(SETTINGS, seconds=0.01), b"", kept.append)
    assert kept == [b"timings"]


@from_10
def test_progress_is_reported_now_and_then(trt: Any, masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrhpi.backends.trt.build._INTERVAL_S", 0.0)
    reports: list[tuple[str, int, int]] = []
    build_engine(trt, masked, SETTINGS, report=lambda *report: reports.append(report))
    assert reports == [("Building Engine", done, 3) for done in (1, 2, 3)]


@from_10
def test_a_build_can_be_interrupted_from_the_keyboard(trt: Any, masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrhpi.backends.trt.build._INTERVAL_S", 0.0)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(trt, masked, SETTINGS, report=interrupt)


@pytest.mark.parametrize(
    ("timings", "used"), [(b"earlier", b"earlier"), (b"damaged", b""), (b"foreign", b""), (b"", b"")]
)
def test_timings_of_earlier_builds_are_used_if_they_can_be(trt: Any, masked: Path, timings: bytes, used: bytes) -> None:
    kept: list[bytes] = []
    build_engine(trt, masked, SETTINGS, timings, kept.append)
    assert last_build(trt)["timings"] == used
    assert kept == [b"timings"]


def test_inputs_that_decide_shapes_are_refused(trt: Any, masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = trt.INetworkDefinition._fill

    def with_shape_tensor(self: Any, model: Any) -> None:
        fill(self, model)
        self._inputs[-1].is_shape_tensor = True

    monkeypatch.setattr(trt.INetworkDefinition, "_fill", with_shape_tensor)
    with pytest.raises(BackendError, match="the input 'widths' decides shapes"):
        build_engine(trt, masked, SETTINGS)
