"""The configuration as users give it: PaddleX's keys and ours, as a mapping or a file, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.config.objective import Objective
from ocrhpi.errors import OptionError
from ocrhpi.values import Batching

FULL_OF_PADDLEX = {
    "pdx_model_name": "PP-OCRv4_mobile_rec",
    "device_type": "gpu",
    "device_id": 1,
    "auto_config": False,
    "backend": "onnxruntime",
    "backend_config": {"cpu_num_threads": 4},
    "hpi_info": {"backend_configs": {"paddle_infer": {}}},
    "auto_paddle2onnx": False,
}


def written(path: Path, text: str) -> Path:
    file = path / "hpi.yml"
    file.write_text(text, "utf-8")
    return file


def test_nothing_given_is_the_defaults() -> None:
    config = read_hpi_config(None)
    assert config == read_hpi_config({}) == HpiConfig()
    assert (config.forced, config.tune, config.budget_s, config.device) == (False, "auto", 60.0, None)
    assert not config.thorough
    assert Objective(**config.objective_options()) == Objective()


def test_all_keys_of_paddlex() -> None:
    config = read_hpi_config(FULL_OF_PADDLEX)
    assert config.forced
    assert config.model_name == "PP-OCRv4_mobile_rec"
    assert config.device == "gpu:1"
    assert config.backend_options == {"threads": 4}
    assert not config.auto_paddle2onnx


def test_our_keys_make_the_question() -> None:
    config = read_hpi_config(
        {"objective": "throughput", "max_latency_ms": 20, "max_memory_mib": 500.5, "accuracy": "cer<=2%"}
    )
    asked = Objective(**config.objective_options())
    assert asked == Objective(max_latency_ms=20.0, max_memory_mib=500.5, accuracy="cer<=2%")


@pytest.mark.parametrize(
    ("given", "thorough"),
    [
        ({}, False),
        ({"tune": "auto"}, False),
        ({"tune": "auto", "budget_s": 60}, True),
        ({"budget_s": 60.0}, True),
        ({"tune": "quick", "budget_s": 60}, False),
        ({"tune": "never", "budget_s": 60}, False),
        ({"tune": "always"}, True),
        ({"objective": "latency", "accuracy": "no-loss"}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("source", ["mapping", "file"])
def test_what_is_measured_thoroughly(given: dict[str, Any], source: str, tmp_path: Path, *, thorough: bool) -> None:
    config = read_hpi_config(given if source == "mapping" else written(tmp_path, yaml.safe_dump(given)))
    assert config.thorough is thorough


@pytest.mark.parametrize("batching", get_args(Batching))
def test_every_batching_can_be_forced(batching: Batching) -> None:
    config = read_hpi_config({"auto_config": False, "backend": "openvino", "batching": batching})
    assert config.batching == batching


@pytest.mark.parametrize("kind", [str, Path])
def test_a_yaml_file(tmp_path: Path, kind: type[Any]) -> None:
    file = written(tmp_path, "objective: latency\nbudget_s: 30\nbackend:\n")
    config = read_hpi_config(kind(file))
    assert (config.objective, config.budget_s, config.backend) == ("latency", 30.0, None)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = read_hpi_config({"cache_dir": "~/cache", "calibration_dir": Path("lines")})
    assert config.cache_dir == tmp_path / "home" / "cache"
    assert config.calibration_dir == Path("lines")


def test_relative_paths_in_a_file_start_at_its_folder(tmp_path: Path) -> None:
    file = written(tmp_path, f"calibration_dir: lines\ncache_dir: {tmp_path / 'elsewhere'}\n")
    config = read_hpi_config(file)
    assert config.calibration_dir == tmp_path / "lines"
    assert config.cache_dir == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "text",
    ["# made by ocrhpi\nformat: ocrhpi-hpi-config-2\nrows: []\n", "{format: ocrhpi-hpi-config-9}", "format : [broken"],
)
def test_a_file_of_a_tuning_is_known_by_its_format(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    assert read_hpi_config(file) == HpiConfig(tuned=file)


def test_a_tuned_file_with_other_keys(tmp_path: Path) -> None:
    config = read_hpi_config(written(tmp_path, "tuned: shipped.yml\ntune: never\n"))
    assert (config.tuned, config.tune) == (tmp_path / "shipped.yml", "never")


@pytest.mark.parametrize(
    ("given", "key", "message"),
    [
        ({"objectiv": "latency"}, "objectiv", "unknown.*; known keys are accuracy, .*Did you mean 'objective'"),
        ({"backend_confg": {}}, "backend_confg", "Did you mean 'backend_config'"),
        ({1: 2}, "1", "unknown"),
        ({"objective": "speed"}, "objective", "received 'speed'; input should be 'throughput' or 'latency'"),
        ({"auto_config": 1}, "auto_config", "received 1; input should be a valid boolean"),
        ({"auto_config": "false"}, "auto_config", "received 'false'"),
        ({"backend": ""}, "backend", "at least 1 character"),
        ({"backend": "openvino", "backend_config": [1]}, "backend_config", "dictionary"),
        ({"budget_s": 0}, "budget_s", "greater than 0"),
        ({"budget_s": True}, "budget_s", "received True"),
        ({"max_latency_ms": "20"}, "max_latency_ms", "received '20'"),
        ({"accuracy": "good"}, "accuracy", "received 'good'; expected 'identical'"),
        ({"tune": "sometimes"}, "tune", "'auto', 'quick', 'never' or 'always'"),
        ({"cache_dir": 3}, "cache_dir", "received 3; expected the path"),
        ({"cache_dir": ""}, "cache_dir", "expected the path"),
        ({"device_type": "gpu 0"}, "device_type", "expected 'cpu', 'gpu'"),
        ({"auto_config": False}, "auto_config", "needs the backend to run"),
        ({"backend_config": {"threads": 2}}, "backend_config", "without the backend"),
        ({"device_id": 0}, "device_id", "without device_type"),
        ({"batching": "exact"}, "batching", "unless a backend is forced"),
        ({"head": "topk", "backend": "openvino"}, "head", "unless a backend is forced"),
        ({"model_name": "a", "pdx_model_name": "b"}, "model_name", "received 'a' and, spelled otherwise, 'b'"),
        ({"tuned": "a.yml", "auto_config": False, "backend": "paddle"}, "tuned", "both say what to run"),
        ({"tuned": "a.yml", "objective": "latency"}, "objective", "given together with tuned"),
        (
            {"backend": "paddle", "backend_config": {"run_mode": "trt_fp16"}},
            "backend_config.run_mode",
            "runs paddle, paddle_fp32, mkldnn",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("source", ["mapping", "file"])
def test_what_does_not_fit(given: dict[Any, Any], key: str, message: str, source: str, tmp_path: Path) -> None:
    what = given if source == "mapping" else written(tmp_path, yaml.safe_dump(given))
    with pytest.raises(OptionError, match=message) as caught:
        read_hpi_config(what)
    assert caught.value.name == f"hpi_config.{key}"
    assert ("hpi.yml" in str(caught.value)) == (source == "file")


@pytest.mark.parametrize("content", ["", "- objective", "latency", "{a: b", "a: 2024-13-45", "\0", "[" * 3000])
def test_files_that_hold_no_keys(tmp_path: Path, content: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(OptionError, match=r"hpi\.yml: .*expected a YAML file") as caught:
        read_hpi_config(file)
    assert caught.value.name == "hpi_config"


def test_files_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "hpi.yml").write_bytes(b"backend: \xff\xfe\x00")
    with pytest.raises(OptionError, match=r"hpi\.yml: no YAML"):
        read_hpi_config(tmp_path / "hpi.yml")


def test_files_are_read_with_the_safe_loader(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    file = written(tmp_path, f"cache_dir: !!python/object/apply:os.mkdir ['{proof}']\n")
    with pytest.raises(OptionError, match="no YAML"):
        read_hpi_config(file)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nowhere.yml", "No such file"), (".", "Is a directory"), ("", "expected a YAML"), ("\0", "null")],
)
def test_files_that_cannot_be_read(tmp_path: Path, path: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=reason):
        read_hpi_config(path)


@pytest.mark.parametrize("given", [3, ["objective"], b"hpi.yml", True])
def test_other_kinds(given: Any) -> None:
    with pytest.raises(OptionError, match="expected a mapping, the path of a YAML file, or None"):
        read_hpi_config(given)
