"""What `tests.integrations.test_ray` looks at: a local cluster, what was read on it, as ``seen.json``.

In a process of its own, since Ray changes much in the one that it is used in. Reads with the backends of
`tests.batch.plugins`, which the environment makes known.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from ocrhpi.batch.plan import job_of
from ocrhpi.batch.run import run_batch
from ocrhpi.batch.sources import find_source
from ocrhpi.batch.store import open_store
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError, UnknownBackend
from ocrhpi.integrations.ray import recognize
from ocrhpi.integrations.ray_cluster import RayPool, connect
from ocrhpi.loader import find_model
from tests.batch.lines import json_rows, name_of, pixels, png, write_lines
from tests.batch.plugins import MARKER

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray.data import Dataset

ROWS = 300


def rows_of(read: Dataset) -> list[dict[str, Any]]:
    return sorted(read.take_all(), key=lambda row: row["key"])


def reading(backend: str, model_dir: str) -> dict[str, Any]:
    return {"model_dir": model_dir, "hpi_config": {"auto_config": False, "backend": backend}}


def parquet(folder: Path, model_dir: str) -> dict[str, Any]:
    """Read a Parquet file with actors on every CPU, one of which is killed; every column is there, every row once."""
    images = [png(name_of(number)) for number in range(ROWS)]
    keys = pa.array(range(ROWS), pa.int32())
    tags = pa.array([None if number % 2 else [f"tag {number}"] for number in range(ROWS)], pa.list_(pa.string()))
    table = pa.table({"key": keys, "image": [*images[:-2], b"damaged", None], "tags": tags})
    pq.write_table(table, folder / "lines.parquet", row_group_size=50)
    read = recognize(
        ray.data.read_parquet(str(folder / "lines.parquet")),
        **reading("dies-once", model_dir),
        num_actors=2,
        cpus_per_actor=1,
        batch_size=4,
        block_rows=40,
    ).materialize()
    rows = rows_of(read)
    return {
        "schema": {name: str(kind) for name, kind in zip(read.schema().names, read.schema().types, strict=True)},
        "keys": [row["key"] for row in rows],
        "texts": [row["rec_text"] for row in rows],
        "errors": [row["error"] for row in rows[-3:]],
        "tags": [None if row["tags"] is None else list(row["tags"]) for row in rows[:2]],
        "killed": Path(os.environ[MARKER]).exists(),
    }


def arrays(_: Path, model_dir: str) -> dict[str, Any]:
    """Read decoded images, of one size or of several, which Ray keeps in columns of its own kinds."""
    found = {}
    for name, widths in (("one size", [320] * 6), ("several sizes", [320, 160, 80, 320, 160, 80])):
        items = [{"key": key, "image": pixels(name_of(key))[:, :width]} for key, width in enumerate(widths)]
        rows = rows_of(recognize(ray.data.from_items(items), **reading("stripes", model_dir), num_actors=1))
        found[name] = [row["rec_text"] for row in rows]
    return found


def batch(folder: Path, model_dir: str) -> dict[str, Any]:
    """Read files with actors, one of which is killed, into a folder of results."""
    Path(os.environ[MARKER]).unlink()
    written = write_lines(folder / "input", range(90))
    (folder / "input" / "gone.png").symlink_to("nowhere")
    options = reading_options(**reading("dies-once", model_dir), batch_size=4)
    source = find_source(folder / "input")
    with open_store(folder / "out", job_of(source, find_model(model_dir), options, "jsonl")) as store:
        store.extend(source, 10, 2)
        with RayPool(options, 2, 1) as pool:
            run_batch(source, store, pool)
    rows = json_rows(folder / "out")
    return {
        "rows": len(rows),
        "right": {row["rec_id"]: row["rec_text"] for row in rows if not row["error"]} == written,
        "errors": [row["error"] for row in rows if row["error"]],
        "killed": Path(os.environ[MARKER]).exists(),
    }


def faults(_: Path, model_dir: str) -> dict[str, Any]:
    """Ask for what cannot be."""
    data = ray.data.from_items([{"image": b""}])
    connect("nowhere:1")  # is connected already
    with RayPool(reading_options(**reading("strips", model_dir)), 1) as pool:
        unknown = pool.submit([png("a")]).exception(60)
    return {
        "unknown backend": [isinstance(unknown, UnknownBackend), str(unknown)],
        "too large": _error(lambda: recognize(data, **reading("stripes", model_dir), cpus_per_actor=3)),
        "no model": _error(lambda: recognize(data)),
    }


def _error(call: Callable[[], object]) -> str:
    try:
        call()
    except OptionError as error:
        return str(error)
    return ""


def main() -> None:
    folder, model_dir = Path(sys.argv[1]), sys.argv[2]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    seen = {part.__name__: part(folder, model_dir) for part in (parquet, arrays, batch, faults)}
    (folder / "seen.json").write_text(json.dumps(seen), "utf-8")  # stdout is Ray's


if __name__ == "__main__":
    main()
