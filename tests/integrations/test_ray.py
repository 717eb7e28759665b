"""Ray Data and the batch's pool on a cluster of this machine; one cluster for all tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.batch.lines import name_of, needs_arrow, write_model
from tests.batch.plugins import MARKER, install_plugins

pytestmark = [
    needs_arrow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra 'ray' is not installed"),
]

ROOT = Path(__file__).parents[2]
ROWS = 300


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `tests.integrations.ray_program` saw."""
    folder = tmp_path_factory.mktemp("ray")
    install_plugins(folder / "site")
    model = write_model(folder / "model")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        MARKER: str(folder / "died"),
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.integrations.ray_program", str(folder), str(model)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text("utf-8"))
    return found


def test_an_actor_that_is_killed_loses_no_row(seen: dict[str, Any]) -> None:
    read = seen["parquet"]
    assert read["killed"]
    assert read["keys"] == list(range(ROWS))
    assert read["texts"] == [*map(name_of, range(ROWS - 2)), "", ""]


def test_columns_stay_and_bad_images_are_rows(seen: dict[str, Any]) -> None:
    read = seen["parquet"]
    assert read["schema"] == {
        "key": "int32",
        "image": "binary",
        "tags": "list<element: string>",
        "rec_text": "string",
        "rec_score": "double",
        "error": "string",
    }
    assert read["tags"] == [["tag 0"], None]
    damaged = "is not an image, a TIFF or a PDF; its content begins with b'damaged'"
    assert read["errors"] == [None, damaged, "is empty (null)"]


def test_decoded_images_are_read(seen: dict[str, Any]) -> None:
    for kind in ("one size", "several sizes"):
        texts = seen["arrays"][kind]
        assert len(texts) == 6
        assert [text[:5] for text in texts] == ["aaaaa"] * 6
    assert seen["arrays"]["one size"] == [name_of(key) for key in range(6)]


def test_a_batch_on_the_cluster_is_complete(seen: dict[str, Any]) -> None:
    batch = seen["batch"]
    assert batch["killed"]
    assert (batch["rows"], batch["right"]) == (91, True)
    assert [error.rpartition(": ")[2] for error in batch["errors"]] == ["no such file or directory."]


def test_faults_are_ours(seen: dict[str, Any]) -> None:
    faults = seen["faults"]
    is_ours, said = faults["unknown backend"]
    assert is_ours
    assert "Did you mean 'stripes'" in said
    assert "no node has room for an actor of 3 CPUs; the largest of 1 nodes has 2 CPUs" in faults["too large"]
    assert "neither model_name nor model_dir" in faults["no model"]
