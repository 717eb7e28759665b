from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.batch import LineRecognizer, tunings
from ocrhpi.errors import OptionError, UnknownBackend
from tests.batch.lines import name_of, needs_arrow, needs_pandas, pixels, png

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.label_file import Label

pytestmark = pytest.mark.usefixtures("plugins")

CONFIG = {"auto_config": False, "backend": "stripes"}


@pytest.fixture
def recognizer(model_dir: Path) -> LineRecognizer:
    return LineRecognizer(model_dir=model_dir, hpi_config=CONFIG, device="cpu")


def test_a_table_comes_back_with_what_was_read(recognizer: LineRecognizer) -> None:
    images = np.array([png("abc"), b"damaged", pixels("z"), None], object)
    read = recognizer({"key": np.arange(4), "image": images})
    assert read["rec_text"].tolist() == ["abc", "", "z", ""]
    assert read["rec_score"].tolist() == [0.5, 0.0, 0.5, 0.0]
    assert [str(error)[:12] for error in read["error"]] == ["None", "is not an im", "None", "is empty (nu"]
    assert read["key"].tolist() == [0, 1, 2, 3]


@needs_pandas
def test_spark_and_dask_hand_out_pandas(recognizer: LineRecognizer, tmp_path: Path) -> None:
    import pandas as pd

    (tmp_path / "a.png").write_bytes(png("abc"))
    copy = pickle.loads(pickle.dumps(recognizer))
    tables = [pd.DataFrame({"image": [str(tmp_path / "a.png")], "key": [key]}) for key in range(2)]
    # as mapInPandas calls it, with an iterator of tables, and map_partitions, with a table
    for read in (*map(copy, iter(tables)), copy(tables[0])):
        assert read["rec_text"].tolist() == ["abc"]
    assert list(read.columns) == ["image", "key", "rec_text", "rec_score", "error"]


@needs_arrow
def test_ray_hands_out_arrow(recognizer: LineRecognizer) -> None:
    import pyarrow as pa

    table = pa.table({"image": [png(name_of(number)) for number in range(20)]})
    assert recognizer(table).column("rec_text").to_pylist() == [name_of(number) for number in range(20)]


def test_it_opens_late_and_once_a_process(recognizer: LineRecognizer) -> None:
    assert recognizer({"image": np.array([], object)})["rec_text"].tolist() == []
    assert tunings._predictors == {}
    copies = [pickle.loads(pickle.dumps(recognizer)) for _ in range(8)]
    table = {"image": np.array([png("abc")] * 3, object)}
    with ThreadPoolExecutor(8) as threads:
        for read in threads.map(lambda copy: copy(table), copies):
            assert read["rec_text"].tolist() == ["abc"] * 3
    assert len(tunings._predictors) == 1
    assert len(pickle.dumps(recognizer)) < 2000


def test_what_does_not_fit_is_refused(model_dir: Path) -> None:
    with pytest.raises(OptionError, match=r"hpi_config\.objectiv"):
        LineRecognizer("x", hpi_config={"objectiv": "latency"})
    with pytest.raises(OptionError, match="device"):
        LineRecognizer("x", device=3)  # type: ignore[arg-type]
    wrong = LineRecognizer(model_dir=model_dir, hpi_config={"auto_config": False, "backend": "stripe"})
    with pytest.raises(UnknownBackend, match="Did you mean 'stripes'"):
        wrong({"image": np.array([png("a")], object)})


def test_normal_mode_reads_what_paddleocr_reads(v4_mobile_dir: Path, lines_dir: Path, labels: dict[str, Label]) -> None:
    recognizer = LineRecognizer(model_dir=v4_mobile_dir, image_column="file", use_hpip=False, device="cpu", threads=1)
    files = list(labels)[:8]
    read = recognizer({"file": np.array([str(lines_dir / file) for file in files])})
    assert read["rec_text"].tolist() == [labels[file].text for file in files]
    (predictor,) = tunings._predictors.values()
    assert predictor.effective.threads == 1
    predictor.close()
