from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.model import load_model
from ocrhpi.values import InputSpec
from tests.oracle import write_onnx
from tests.tiny_model import VOCABULARY, write_config


@pytest.fixture
def directory(tiny_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_dir, tmp_path / "model"))


def change(directory: Path, key: str, value: Any) -> None:
    """Set the dotted ``key`` of inference.yml; None removes it."""
    path = directory / "inference.yml"
    config = yaml.safe_load(path.read_text("utf-8"))
    *parents, last = key.split(".")
    section = config
    for parent in parents:
        section = section[parent]
    if value is None:
        del section[last]
    else:
        section[last] = value
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")


def test_present_format(tiny_dir: Path) -> None:
    model = load_model(tiny_dir)
    assert model.name == "tiny_rec"
    assert model.files.paddle_graph == tiny_dir / "inference.json"
    assert model.files.paddle_parameters == tiny_dir / "inference.pdiparams"
    assert model.files.onnx is None
    assert model.spec == InputSpec(height=48, base_width=320)
    assert model.labels == ("", *VOCABULARY, " ")
    assert not model.right_to_left


def test_old_format(v4_mobile_dir: Path) -> None:
    model = load_model(v4_mobile_dir)
    assert model.name == "PP-OCRv4_mobile_rec"
    assert model.files.paddle_graph == v4_mobile_dir / "inference.pdmodel"
    assert len(model.labels) == 6625


def test_onnx_directory(v6_small_dir: Path) -> None:
    model = load_model(v6_small_dir)
    assert model.name == "PP-OCRv6_small_rec"
    assert model.files.source == (v6_small_dir / "inference.onnx",)
    assert len(model.labels) == 18710


def test_bare_onnx_file_with_its_vocabulary_in_the_metadata(v6_small_dir: Path) -> None:
    bare = load_model(v6_small_dir / "inference.onnx")
    assert bare.labels == load_model(v6_small_dir).labels
    assert bare.name == "inference"


def test_pir_wins_where_both_formats_are_present(directory: Path) -> None:
    (directory / "inference.pdmodel").write_bytes(b"old")
    assert load_model(directory).files.paddle_graph == directory / "inference.json"


def test_sections_of_the_exporter_are_kept(directory: Path) -> None:
    shapes = {"paddle_infer": {"trt_dynamic_shapes": {"x": [[1, 3, 48, 160]]}}}
    change(directory, "Hpi", {"backend_configs": shapes})
    assert load_model(directory).hpi["backend_configs"] == shapes


def test_rgb_and_other_sizes(directory: Path) -> None:
    transforms = [
        {"DecodeImage": {"channel_first": False, "img_mode": "RGB"}},
        {"RecResizeImg": {"image_shape": [3, 32, 100]}},
    ]
    change(directory, "PreProcess.transform_ops", transforms)
    (directory / "inference.json").write_text("{}")  # which would say 48
    assert load_model(directory).spec == InputSpec(height=32, base_width=100, color="RGB")


@pytest.mark.parametrize("name", ["arabic_PP-OCRv3_mobile_rec", "arabic_PP-OCRv5_mobile_rec"])
def test_arabic_models_read_right_to_left(directory: Path, name: str) -> None:
    change(directory, "Global.model_name", name)
    assert load_model(directory).right_to_left


def test_fingerprint_names_everything_that_decides_the_text(directory: Path) -> None:
    first = load_model(directory).fingerprint
    assert len(first) == 64
    assert load_model(directory).fingerprint == first
    change(directory, "Hpi", {"backend_configs": {}})
    assert load_model(directory).fingerprint == first, "advice to engines does not change the text"
    changed = {first}
    change(directory, "PostProcess.character_dict", list(reversed(VOCABULARY)))
    changed.add(load_model(directory).fingerprint)
    change(directory, "PreProcess.transform_ops", [
        {"DecodeImage": {"channel_first": False, "img_mode": "RGB"}},
        {"RecResizeImg": {"image_shape": [3, 48, 320]}},
    ])  # fmt: skip
    changed.add(load_model(directory).fingerprint)
    parameters = directory / "inference.pdiparams"
    parameters.write_bytes(parameters.read_bytes()[:-1] + b"\x01")
    changed.add(load_model(directory).fingerprint)
    assert len(changed) == 4


@pytest.mark.parametrize("missing", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_missing_files_are_named(directory: Path, missing: str) -> None:
    (directory / missing).unlink()
    with pytest.raises(ModelNotFound, match=missing):
        load_model(directory)


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("Global.model_name", ["x"], "Global.model_name: received list"),
        ("PostProcess", None, "PostProcess.name: missing"),
        ("PostProcess.name", "SARLabelDecode", "PostProcess.name: received 'SARLabelDecode'"),
        ("PostProcess.character_dict", None, "PostProcess.character_dict: missing"),
        ("PostProcess.character_dict", "abc", "PostProcess.character_dict: received str"),
        (
            "PostProcess.character_dict",
            ["a", 1],
            r"PostProcess.character_dict\[1\]: received 1; expected text",
        ),
        ("PostProcess.character_dict", ["a", True], r"character_dict\[1\]: received True"),
        ("PreProcess.transform_ops", None, "PreProcess.transform_ops: missing"),
        ("PreProcess.transform_ops", [{"Rotate": None}], r"transform_ops\[0\]: unknown operator 'Rotate'"),
        ("PreProcess.transform_ops", ["DecodeImage"], r"transform_ops\[0\]: received 'DecodeImage'"),
        ("PreProcess.transform_ops", [{"KeepKeys": None}], "transform_ops.DecodeImage: missing"),
    ],
)
def test_unfit_configurations_name_the_file_and_the_key(directory: Path, key: str, value: Any, named: str) -> None:
    change(directory, key, value)
    with pytest.raises(ModelFormatError, match=rf"inference\.yml: .*{named}"):
        load_model(directory)


@pytest.mark.parametrize(
    ("operator", "named"),
    [
        ({"DecodeImage": {"img_mode": "GRAY"}}, "DecodeImage.img_mode: received 'GRAY'"),
        ({"DecodeImage": {"img_mode": "BGR", "channel_first": True}}, "DecodeImage.channel_first"),
        ({"RecResizeImg": {"image_shape": [4, 32, 320]}}, r"RecResizeImg.image_shape: received \[4, 32, 320\]"),
        ({"RecResizeImg": {"image_shape": [3, 2_000_000_000, 320]}}, "up to 10000 pixels"),
        ({"RecResizeImg": {"image_shape": [3, 48]}}, "RecResizeImg.image_shape"),
        ({"RecResizeImg": {"image_shape": [3, 48, 0]}}, "RecResizeImg.image_shape"),
    ],
)
def test_unfit_preprocessing(directory: Path, operator: dict[str, Any], named: str) -> None:
    good = {"DecodeImage": {"img_mode": "BGR"}, "RecResizeImg": {"image_shape": [3, 48, 320]}}
    change(directory, "PreProcess.transform_ops", [{name: value} for name, value in {**good, **operator}.items()])
    with pytest.raises(ModelFormatError, match=named):
        load_model(directory)


@pytest.mark.parametrize("content", [b"a: [", b"- 1", b"\xff\xfe\x00", b""])
def test_broken_yaml(directory: Path, content: bytes) -> None:
    (directory / "inference.yml").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"inference\.yml: YAML"):
        load_model(directory)


def test_a_vocabulary_with_odd_characters_survives(directory: Path) -> None:
    (directory / "inference.json").write_text("{}")  # which would say how many there are
    odd = [
        "'",
        '"',
        " ",
        "\u3000",
        "\u2028",
        "null",
        "1",
        "=",
        "~",
        "e\u0301",
        "\U0001f600",
        "\\",
        "#",
    ]
    write_config(directory, PostProcess={"name": "CTCLabelDecode", "character_dict": odd})
    assert load_model(directory).vocabulary == tuple(odd)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("[1]", "metadata.input: expected a JSON object"),
        ("{", "metadata.input: expected a JSON object"),
        ("[" * 10_000, r"metadata.input: expected a JSON object \(nested too deeply\)"),
        ('{"height": 2000000000}', "input: height: received 2000000000, expected a whole number from 1 to 10000"),
        ('{"base_width": "wide"}', "input: base_width: received 'wide'"),
        ('{"color": {}}', "input: color: received {}, expected BGR, RGB or GRAY"),
    ],
    ids=lambda text: text[:20],
)
def test_an_export_that_says_what_no_input_is(told: str, problem: str, tmp_path: Path) -> None:
    metadata = {"exporter": "ours", "character": "a\nb", "input": told}
    file = write_onnx(tmp_path / "m.onnx", ["a", "b"], metadata=metadata)
    with pytest.raises(ModelFormatError, match=rf"m\.onnx: {problem}"):
        load_model(file)


def test_names_that_no_file_can_have(directory: Path) -> None:
    write_config(directory, Global={"model_name": "a\0b"})
    model = load_model(directory)
    assert model.name == "a\0b"
    assert "\0" not in model.file_name
    with pytest.raises(ModelNotFound, match="not found"):
        load_model(directory / "a\0b")
