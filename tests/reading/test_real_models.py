"""Real models that come as ONNX: both engines read the same text, in batches of any kind and size."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from ocrhpi import load_predictor

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.values import Batching

BACKENDS = ("onnxruntime", "openvino")
BATCHINGS: tuple[Batching, ...] = ("exact", "masked")
KNOWN = {
    "en_001.png": "MovieShots Dataset",
    "test_without_det_000.png": "在中国作家协会第三届儿童文学",
}


@pytest.mark.parametrize(("source", "every"), [("v5_mobile_dir", 1), ("v6_small_dir", 8)])
def test_every_engine_reads_the_same_alone_and_in_batches(
    source: str,
    every: int,
    lines_dir: Path,
    models_dir: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For time every eighth line of the second model, and one thread: on a busy machine two wait for each other."""
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(models_dir))
    directory = request.getfixturevalue(source)
    files = sorted(lines_dir.glob("*.png"))[::every]
    texts: list[str] = []
    scores: list[float] = []
    for backend, batching in product(BACKENDS, BATCHINGS):
        options = {"threads": 1}
        with load_predictor(
            model_dir=directory, backend=backend, batching=batching, backend_options=options
        ) as predictor:
            for batch_size in (1, 8):
                results = list(predictor.predict_iter(files, batch_size=batch_size))
                read = [result["rec_text"] for result in results]
                texts, scores = texts or read, scores or [result["rec_score"] for result in results]
                assert read == texts, (backend, batching, batch_size)
                assert [result["rec_score"] for result in results] == pytest.approx(scores, abs=1e-3)
    found = dict(zip((file.name for file in files), texts, strict=True))
    assert {name: found[name] for name in KNOWN} == KNOWN
