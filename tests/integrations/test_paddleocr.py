"""Unmodified PaddleOCR without us and with us, on the same pages and lines: same boxes, same text, same results."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from benchmarks.pages.pictures import make_pages
from ocrhpi.integrations.paddlex.parity import INPUTS
from tests.conftest import needs_paddle2onnx

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("paddleocr") is None, reason="the extra 'paddleocr' is not installed"),
    needs_paddle2onnx,
]

ROOT = Path(__file__).parents[2]
SCORE_TOLERANCE = 1e-3
LINES = 8


@pytest.fixture(scope="session")
def seen(
    tmp_path_factory: pytest.TempPathFactory,
    lines_dir: Path,
    models_dir: Path,
    v4_mobile_dir: Path,
    v4_detection_dir: Path,
    v6_detection_dir: Path,
) -> dict[str, Any]:
    """What `tests.integrations.paddleocr_run` saw."""
    folder = tmp_path_factory.mktemp("paddleocr")
    pages = [str(folder / f"{name}.png") for name in ("rendered", "lines_0", "lines_1")]
    for name, page in make_pages(lines_dir, INPUTS, 8).items():
        cv2.imwrite(str(folder / f"{name}.png"), page)
    lines = sorted(lines_dir.glob("*.png"))
    request = {
        "recognition": str(v4_mobile_dir),
        "detection": str(v4_detection_dir),
        "onnx_detection": str(v6_detection_dir),
        "pages": pages,
        "lines": [str(line) for line in lines[:: len(lines) // LINES]],
    }
    (folder / "request.json").write_text(json.dumps(request))
    environment = {**os.environ, "OCRHPI_CACHE_DIR": str(models_dir), "PADDLE_PDX_CACHE_HOME": str(folder / "paddlex")}
    command = [sys.executable, "-m", "tests.integrations.paddleocr_run", "request.json", "result.json"]
    command[3:] = [str(folder / name) for name in command[3:]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    content: dict[str, Any] = json.loads((folder / "result.json").read_text("utf-8"))
    return content


def assert_same_pages(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(got) == len(expected)
    assert sum(len(page["texts"]) for page in expected) >= 8
    for page, reference in zip(got, expected, strict=True):
        assert page.keys() == reference.keys()
        assert page["scores"] == pytest.approx(reference["scores"], abs=SCORE_TOLERANCE)
        assert {**page, "scores": []} == {**reference, "scores": []}


def assert_same_lines(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [line["text"] for line in got] == [line["text"] for line in expected]
    for line, reference in zip(got, expected, strict=True):
        assert line["score"] == pytest.approx(reference["score"], abs=SCORE_TOLERANCE)
        for one in (line, reference):
            one["json"]["res"].pop("rec_score", None)
        assert {**line, "score": 0} == {**reference, "score": 0}


def test_engine_in_the_pipeline_gives_the_same_pages(seen: dict[str, Any]) -> None:
    expected = {"detection": "PaddleStaticRunner", "recognition": "openvino", "masked": True}
    assert seen["engine"]["engines"] == expected
    assert sum(len(page["texts"]) for page in seen["pages"]) > 40
    assert_same_pages(seen["engine"]["pages"], seen["pages"])


def test_engine_gives_the_same_word_boxes(seen: dict[str, Any]) -> None:
    assert seen["pages, words"][0]["word_boxes"]
    assert_same_pages(seen["engine"]["pages, words"], seen["pages, words"])


@pytest.mark.parametrize("way", ["alone", "batches", "words", "paths", "one", "none"])
def test_module_gives_the_same_results(seen: dict[str, Any], way: str) -> None:
    expected = seen["lines"][way]
    assert len(expected) == {"one": 1, "none": 0}.get(way, len(seen["lines"]["alone"]))
    assert_same_lines(seen["engine"]["lines"][way], expected)


def test_an_input_that_is_missing_comes_after_the_results_before_it(seen: dict[str, Any]) -> None:
    before, error = seen["engine"]["lines"]["missing"]
    assert seen["lines"]["missing"] == [before, error]
    assert len(before) == 4
    assert error != "no error"


def test_padding_by_line_reads_in_batches_what_is_read_alone(seen: dict[str, Any]) -> None:
    texts = [line["text"] for line in seen["engine"]["alone"]]
    assert texts == [line["text"] for line in seen["lines"]["alone"]]


def test_input_shape_reaches_the_reader(seen: dict[str, Any]) -> None:
    stretched = seen["engine"]["stretched"]
    assert_same_lines(stretched["ours"], stretched["plain"])


def test_hpi_reads_the_same_pages_while_it_compares_engines_and_after(seen: dict[str, Any]) -> None:
    hpi = seen["hpi"]
    assert_same_pages(hpi["pages"], seen["pages"])
    assert_same_pages(hpi["again"], seen["pages"])
    assert hpi["engines"]["recognition"] == "openvino"


def test_detection_moves_or_stays_and_one_line_says_so(seen: dict[str, Any]) -> None:
    about = [line for line in seen["hpi"]["log"] if "det runs on" in line or "det stays on" in line]
    assert len(about) == 1
    assert ("PP-OCRv4_mobile_det runs on openvino" in about[0]) == (seen["hpi"]["engines"]["detection"] == "openvino")


def test_a_graph_that_onednn_refuses_runs_without_it(seen: dict[str, Any]) -> None:
    refusals = [line for line in seen["hpi"]["log"] if "oneDNN refuses it" in line]
    assert len(refusals) <= 1  # none where Paddle's oneDNN takes it
    assert_same_pages(seen["hpi"]["pages"], seen["pages"])


def test_a_second_pipeline_starts_with_what_was_found_out(seen: dict[str, Any]) -> None:
    second = seen["hpi, second"]
    assert second["engines"] == seen["hpi"]["engines"]
    assert_same_pages(second["pages"], seen["pages"][:1])
    assert not [line for line in second["log"] if "oneDNN" in line and second["engines"]["detection"] != "paddle"]


def test_hpi_config_never_leaves_everything_in_paddle(seen: dict[str, Any]) -> None:
    never = seen["hpi, never"]
    assert never["engines"] == {"detection": "paddle", "recognition": "paddle", "masked": False}
    assert "PP-OCRv4_mobile_det stays on paddle: tune is 'never'" in never["log"]
    assert_same_pages(never["pages"], seen["pages"][:1])


def test_a_detection_model_in_onnx_needs_no_paddle(seen: dict[str, Any]) -> None:
    onnx = seen["hpi, ONNX"]
    if not onnx:
        pytest.skip("this PaddleX does not know PP-OCRv6_small_det")
    assert onnx["engines"]["detection"] in {"onnxruntime", "openvino"}
    assert_same_pages(onnx["again"], onnx["first"][:1])


def test_enable_hpi_is_paddlexs_own_until_it_is_replaced(seen: dict[str, Any]) -> None:
    assert "ultra-infer" in seen["hpi without us"]
    assert seen["engine"]["hpi"] == seen["hpi after"] == seen["hpi without us"]


def test_default_reads_with_the_given_configuration(seen: dict[str, Any]) -> None:
    assert seen["by default, engine"] == "openvino"
    assert seen["by default"] == [line["text"] for line in seen["lines"]["alone"]]


def test_unknown_options_are_refused_with_the_nearest_name(seen: dict[str, Any]) -> None:
    for error in (seen["engine"]["typo"], seen["hpi, typo"]):
        assert error.startswith("OptionError: option 'hpi_config.objectiv': unknown")
        assert error.endswith("Did you mean 'objective'?")


def test_registering_changes_nothing_but_the_engine(seen: dict[str, Any]) -> None:
    before, registered = seen["before"], seen["registered"]
    assert registered["engines"].keys() - before["engines"].keys() == {"ocrhpi"}
    added = registered["bindings"].keys() - before["bindings"].keys()
    assert len(added) >= 30
    assert all(name.endswith(("_rec ocrhpi", "_rec_doc ocrhpi")) for name in added)
    assert registered["allowed"] == [*before["allowed"], "ocrhpi"]
    assert registered["doors"] == before["doors"]
    assert (registered["source"], registered["choice"]) == (before["source"], before["choice"])
    for kind in ("engines", "bindings"):
        assert registered[kind].items() >= before[kind].items()


def test_uninstall_undoes_everything_exactly(seen: dict[str, Any]) -> None:
    assert seen["after"] == seen["before"]
    assert "ocrhpi" in seen["engine after"]
    assert "Invalid engine" in seen["engine after"]
    again = seen["registered again"]
    assert again == seen["registered"]


def test_models_that_are_open_stay_as_they_are(seen: dict[str, Any]) -> None:
    assert seen["still open"] == seen["by default"]


def test_the_command_line_reads_with_the_engine_and_without_a_change(
    seen: dict[str, Any], v4_mobile_dir: Path, lines_dir: Path, models_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "hpi.yml"
    config.write_text("auto_config: false\nbackend: openvino\nbatching: masked\n")
    line = min(lines_dir.glob("*.png"))
    paddleocr = ["paddleocr", "text_recognition", "-i", str(line), "--model_name", "PP-OCRv4_mobile_rec"]
    paddleocr += ["--model_dir", str(v4_mobile_dir), "--save_path", str(tmp_path), "--device", "cpu"]
    environment = {
        **os.environ,
        "OCRHPI_CACHE_DIR": str(models_dir),
        "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
        "PADDLE_PDX_LOCAL_FONT_FILE_PATH": str(ROOT / "ocrhpi" / "fonts" / "wqy-microhei.ttc"),
    }
    launcher = [sys.executable, "-m", "ocrhpi.integrations.paddleocr", "--hpi_config", str(config), "--"]
    done = subprocess.run(
        [*launcher, *paddleocr], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    saved = json.loads((tmp_path / f"{line.stem}_res.json").read_text("utf-8"))
    assert saved["rec_text"] == seen["lines"]["one"][0]["text"]
    refused = subprocess.run(
        [*launcher, "paddleocr", "text_recognition", "--engine", "nothing", "-i", str(line)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "ocrhpi" in refused.stderr  # among the engines to choose from
