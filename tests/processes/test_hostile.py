"""Files that are made to hang a process, end it or take all its memory: each is a sentence, soon, at every door."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest

from tests.test_yaml_files import laughs
from tests.tiny_model import write_config
from tests.tiny_onnx import write_tiny_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows bounds no memory this way")

ROOT = Path(__file__).parents[2]
LIMIT_S = 150.0  # of all together, which take 10
SOON_S = 15.0  # of one, on a busy machine
HUGE = 2_000_000_000
DEEP = "[" * 100_000
LAUGHS = laughs(12)
OUTSIDE = ("load_predictor", "text_recognition", "export", "tune", "eval", "bundle", "lower", "batch")
SILENT = ("graph-", "model-truncated load_model")


def write_model(directory: Path, **sizes: int) -> Path:
    """Write a model, its graph of fixed sizes: ``rows``, ``height``, ``width``."""
    file = write_tiny_onnx(directory / "inference.onnx")
    graph = onnx.load(file)
    dims = graph.graph.input[0].type.tensor_type.shape.dim
    for name, size in sizes.items():
        dims[{"rows": 0, "height": 2, "width": 3}[name]].dim_value = size
    file.write_bytes(graph.SerializeToString())
    write_config(directory)
    return directory


def with_text(directory: Path, change: Callable[[str], str]) -> None:
    write_model(directory)
    file = directory / "inference.yml"
    changed = change(file.read_text("utf-8"))
    assert changed != file.read_text("utf-8")
    file.write_text(changed, "utf-8")


def write_models(folder: Path) -> None:
    write_model(folder / "good")
    for name in ("rows", "height", "width"):
        write_model(folder / f"model-{name}", **{name: HUGE})
    with_text(folder / "model-laughs", lambda text: f"{LAUGHS}\n{text}")
    with_text(folder / "model-deep", lambda text: f"{text}\nmore: {DEEP}")
    with_text(folder / "model-date", lambda text: f"when: 2024-13-45\n{text}")
    with_text(folder / "model-shape", lambda text: text.replace("- 48\n", f"- {HUGE}\n"))
    outside = write_model(folder / "model-outside")
    file = outside / "inference.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="weights.bin", size_threshold=64)
    file.write_bytes(file.read_bytes().replace(b"weights.bin", b"../ghts.bin"))
    short = write_model(folder / "model-short")
    file = short / "inference.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="weights.bin", size_threshold=64)
    (short / "weights.bin").write_bytes((short / "weights.bin").read_bytes()[:-1])
    truncated = write_model(folder / "model-truncated") / "inference.onnx"
    truncated.write_bytes(truncated.read_bytes()[:-1])


def write_files(folder: Path) -> None:
    tuning = "format: ocrhpi-hpi-config-2\n"
    texts = {
        "hpi-laughs.yml": LAUGHS,
        "hpi-laughs-of-a-tuning.yml": f"{tuning}{LAUGHS}",
        "hpi-deep.yml": DEEP,
        "hpi-deep-of-a-tuning.yml": f"{tuning}key: {DEEP}",
        "hpi-date.yml": "objective: 2024-13-45",
        "hpi-nul.yml": 'cache_dir: "a\\0b"',
        "hpi-number.yml": f"budget_s: 0x{'f' * 10_000}",
        "hpi-threads.yml": f"cpu_threads: {HUGE}",
        "graph-deep.json": DEEP,
        "graph-closed.json": "[" * 100_000 + "]" * 100_000,
        "graph-many.json": f"[{'{},' * 1_500_000}0]",
        "batch-deep.jsonl": f'{{"version": "ocrhpi-batch-1"}}\n{DEEP}',
        "labels-deep.txt": f"{DEEP}\ttext\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "rows-deep").mkdir()
    (folder / "rows-deep" / "row.json").write_text(DEEP, "utf-8")
    for name, text in (
        ("laughs", LAUGHS),
        ("deep", DEEP),
        ("buckets", f"cpu: [{{batching: masked, buckets: [320, {HUGE}]}}]"),
        ("step", f"cpu: [{{batching: natural, width_step: {HUGE}}}]"),
        ("batch", f"cpu: [{{batch_size: {HUGE}}}]"),
    ):
        (folder / f"grid-{name}").mkdir()
        (folder / f"grid-{name}" / "onnxruntime.yaml").write_text(text, "utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, lines_dir: Path) -> dict[str, tuple[str, str, float]]:
    """Name of a case and door -> error, what it says, and seconds."""
    folder = tmp_path_factory.mktemp("hostile")
    write_models(folder)
    write_files(folder)
    (folder / "lines").mkdir()
    shutil.copy(min(lines_dir.glob("*.png")), folder / "lines" / "a.png")
    (folder / "lines" / "labels.txt").write_text("a.png\ttext\n", "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "tests.processes.hostile", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OCRHPI_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    rows: list[list[Any]] = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, (run.returncode, rows[-1:], run.stderr[-2000:])
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def test_every_door_tells_a_sentence_and_soon(told: dict[str, tuple[str, str, float]]) -> None:
    assert len(told) > 100
    for case, (error, sentence, seconds) in told.items():
        # Facts say nothing, and a cached tuning says why it is not used; that of a user is read when a model is.
        silent = case.startswith(SILENT) or case.endswith((" find", "-of-a-tuning read_hpi_config"))
        expected = "" if silent else "ours"
        assert error == expected, (case, error, sentence[:300])
        assert len(sentence) < 1500, case
        assert "Traceback" not in sentence, case
        assert seconds < SOON_S, case


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("hpi-laughs read_hpi_config", "hpi-laughs.yml: no YAML: line 6: more than 250000 values"),
        ("hpi-laughs-of-a-tuning find", "line 7: more than 250000 values, with those that aliases repeat"),
        ("hpi-deep TextRecognition", "hpi-deep.yml: no YAML: line 1: nested more than 100 levels deep"),
        ("hpi-date explain", "'2024-13-45' makes no timestamp (month must be in 1..12)"),
        ("hpi-nul TextRecognition", "hpi_config.cache_dir"),
        ("hpi-threads read_hpi_config", "cpu_threads': received 2000000000"),
        ("grid-buckets list_candidates", "option 'buckets.1': received 2000000000"),
        ("grid-step list_candidates", "option 'width_step': received 2000000000"),
        ("model-laughs export", "inference.yml: YAML: line 6: more than 250000 values"),
        (
            "model-height eval",
            "model-height: input: height: received 2000000000, expected a whole number from 1 to 10000",
        ),
        ("model-width tune", "input: base_width: received 2000000000"),
        ("model-rows bundle", "input: rows: received 2000000000"),
        ("model-shape lower", "image_shape: received [3, 2000000000, 320]"),
        *((f"model-outside {door}", "'../ghts.bin', outside its folder") for door in OUTSIDE),
        ("labels-deep load_dataset", "none of the images of"),  # a bracket may begin the name of a file
        ("model-short load_model", "weights.bin: weights: is 1 byte shorter than inference.onnx asks for"),
        ("model-truncated text_recognition", "inference.onnx: reading: not an ONNX file, or damaged"),
    ],
)
def test_what_they_say(case: str, problem: str, told: dict[str, tuple[str, str, float]]) -> None:
    assert problem in told[case][1]
