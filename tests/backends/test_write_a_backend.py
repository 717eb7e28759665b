"""The page for authors of backends: its example is installed as it stands there, reads, and is measured."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ocrhpi import load_predictor, tuner
from ocrhpi.backends.registry import ENTRY_POINT_GROUP, BackendSpec, availability, backend_specs
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.errors import BackendMismatch, OptionError
from ocrhpi.tuner import find_or_tune
from tests.tiny_onnx import tiny_onnx_model
from tests.tuning.grids import grid_of

if TYPE_CHECKING:
    from benchmarks.label_file import Label
    from ocrhpi.values import Batching

PAGE = Path(__file__).parents[2] / "docs" / "write_a_backend.md"
BLOCK = re.compile(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Name -> content of every file that the page shows."""
    return dict(BLOCK.findall(PAGE.read_text("utf-8")))


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the example, as pip does, and return the name of its backend."""
    site = tmp_path / "site"
    shown = files()
    project = shown.pop("pyproject.toml")
    for name, content in shown.items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    distribution, version = (re.findall(rf'^{key} = "(.+)"$', project, re.MULTILINE)[0] for key in ("name", "version"))
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    _, _, entries = project.partition(f'[project.entry-points."{ENTRY_POINT_GROUP}"]\n')
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{entries}".replace('"', ""))
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "ocrhpi_example", raising=False)
    return entries.partition(" =")[0]


def test_every_field_of_the_spec_is_explained() -> None:
    page = PAGE.read_text("utf-8")
    assert [field.name for field in fields(BackendSpec) if f"`{field.name}`" not in page] == []


def test_it_is_registered_and_refuses_what_it_does_not_have(example: str, tmp_path: Path) -> None:
    assert availability(backend_specs()[example]).available
    model = tiny_onnx_model(tmp_path / "tiny")
    with pytest.raises(BackendMismatch, match="it runs on the CPU alone"):
        load_predictor(model_dir=model.path, backend=example, device="gpu:0")
    with pytest.raises(OptionError, match="Did you mean 'threads'"):
        load_predictor(model_dir=model.path, backend=example, backend_options={"thread": 2})


@pytest.mark.parametrize("batching", ["exact", "masked"])
def test_it_reads_what_the_built_in_backend_reads(
    example: str,
    batching: Batching,
    v6_small_dir: Path,
    models_dir: Path,
    lines_dir: Path,
    labels: dict[str, Label],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(models_dir))
    lines = [lines_dir / file for file in list(labels)[::3]]
    asked: dict[str, Any] = {"model_dir": v6_small_dir, "device": "cpu", "batching": batching}
    with load_predictor(backend="onnxruntime", **asked) as predictor:
        expected = list(predictor.predict_iter(lines, batch_size=4))
    with load_predictor(backend=example, backend_options={"threads": 1, "requests": 2}, **asked) as predictor:
        assert (predictor.effective.backend, predictor.effective.threads) == (example, 1)
        results = list(predictor.predict_iter(lines, batch_size=4))
    assert [result["rec_text"] for result in results] == [result["rec_text"] for result in expected]
    scores = [result["rec_score"] for result in expected]
    assert [result["rec_score"] for result in results] == pytest.approx(scores, abs=1e-4)
    assert len({result["rec_text"] for result in results}) > 10


def test_its_grid_is_what_is_tried(example: str, tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path / "tiny")
    grid = yaml.safe_load(files()["ocrhpi_example/example.yaml"])["cpu"]
    found = grid_of(model, "cpu", "throughput", cpu_threads=1, backend=example).candidates
    expected = [Candidate(**entry, backend=example, device="cpu") for entry in grid]
    assert [one.model_copy(update={"options": {**one.options, "threads": 1}}) for one in expected] == list(found)
    assert example in {one.backend for one in grid_of(model, "cpu", "throughput").candidates}


def test_a_tuning_measures_it(example: str, tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path / "tiny")
    asked = {"cache_dir": tmp_path / "cache", "backend": example, "tune": "quick", "cpu_threads": 1}
    tuning = find_or_tune(tuner.plan(model, read_hpi_config(asked), "cpu"))
    assert tuning is not None
    assert next(row.candidate.name for row in tuning.rows if row.baseline).startswith("onnxruntime")
    mine = [row for row in tuning.rows if row.candidate.name.startswith(f"{example}, ")]
    outcomes = {row.outcome for row in mine}
    assert "measured" in outcomes, [row.reason for row in mine]
    assert "rejected" not in outcomes, [row.reason for row in mine]
