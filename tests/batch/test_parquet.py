"""Parquet: rows are streamed once, in order, across row groups, and keep their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.batch.sources import find_source, parquet
from ocrhpi.errors import OptionError, UnreadableInput
from tests.batch.lines import needs_arrow, png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.batch.shards import Task
    from ocrhpi.batch.sources import Source

pytestmark = needs_arrow


def write_table(path: Path, columns: dict[str, Any], group: int = 1000) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def numbered(count: int) -> dict[str, Any]:
    return {"key": list(range(count)), "image": [f"content {number}".encode() for number in range(count)]}


def tasks_of(source: Source, *, rows: int, left_out: Sequence[int] = ()) -> list[Task]:
    shards = source.new_shards([], rows, 1)
    return list(source.tasks([shard for shard in shards if shard.number not in left_out]))


@pytest.mark.parametrize("group", [1, 7, 300, 1000])
@pytest.mark.parametrize("left_out", [(), (0, 3, 4, 9), tuple(range(10))])
def test_every_row_is_in_one_shard(tmp_path: Path, group: int, left_out: tuple[int, ...]) -> None:
    source = find_source(write_table(tmp_path / "a.parquet", numbered(955), group))
    tasks = tasks_of(source, rows=100, left_out=left_out)
    expected = [number for number in range(955) if number // 100 not in left_out]
    assert [cell for task in tasks for cell in task.cells] == [f"content {number}".encode() for number in expected]
    rows = [row for task in tasks for row in task.columns.to_pylist()]
    assert rows == [{"rec_id": f"a.parquet#{number}", "key": number} for number in expected]
    assert [len(task.cells) for task in tasks] == [task.shard.rows for task in tasks]


def test_a_folder_of_files_is_one_input(tmp_path: Path) -> None:
    write_table(tmp_path / "b" / "2.pq", numbered(3))
    write_table(tmp_path / "b" / "1.parquet", numbered(2))
    source = find_source(tmp_path)
    assert (source.kind, source.is_table) == ("parquet", True)
    found = [identity for task in tasks_of(source, rows=2) for identity in task.columns.column("rec_id").to_pylist()]
    assert found == ["b/1.parquet#0", "b/1.parquet#1", "b/2.pq#0", "b/2.pq#1", "b/2.pq#2"]


def test_images_of_hugging_face_and_nulls(tmp_path: Path) -> None:
    images = [{"bytes": png("a"), "path": "a.png"}, {"bytes": None, "path": "b.png"}, None]
    source = find_source(write_table(tmp_path / "a.parquet", {"picture": images}), image_column="picture")
    (task,) = tasks_of(source, rows=10)
    assert task.cells == [png("a"), None, None]


def test_large_images_make_small_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [bytes([number]) * 1000 for number in range(100)]
    source = find_source(write_table(tmp_path / "a.parquet", {"image": large}))
    assert [shard.rows for shard in source.new_shards([], None, 1)] == [64, 36]
    monkeypatch.setattr(parquet, "_SHARD_BYTES", 20_500)
    sizes = [shard.rows for shard in source.new_shards([], None, 1)]
    assert (sum(sizes), max(sizes) <= 20, len(sizes) <= 6) == (100, True, True)
    assert [shard.rows for shard in source.new_shards([], 50, 1)] == [50, 50]


def test_what_is_told_of_the_whole_table_is_not_told_of_the_results(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(numbered(3)).replace_schema_metadata({"huggingface": '{"features": "image"}'})
    pq.write_table(table, tmp_path / "a.parquet")
    (task,) = tasks_of(find_source(tmp_path / "a.parquet"), rows=10)
    assert task.columns.schema.metadata is None


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.parquet", numbered(1))
    assert find_source(table.rename(tmp_path / "table")).kind == "parquet"
    (tmp_path / "b.parquet").write_text("no Parquet", "utf-8")
    with pytest.raises(UnreadableInput, match=r"b\.parquet: cannot be read as Parquet"):
        find_source(tmp_path / "b.parquet")


def test_columns_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.parquet", numbered(1))
    with pytest.raises(OptionError, match=r"the columns of .*a.parquet are 'key', 'image'. Did you mean 'image'"):
        find_source(table, image_column="imagee")
    with pytest.raises(OptionError, match="is of the type int64; expected encoded images"):
        find_source(table, image_column="key")
    write_table(table, {**numbered(1), "error": ["x"]})
    with pytest.raises(OptionError, match="has a column 'error', which the results have as well"):
        find_source(table)


def test_files_that_came_later_are_added_and_files_that_changed_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "b.parquet", numbered(3))
    first = find_source(tmp_path).new_shards([], 2, 1)
    write_table(tmp_path / "a.parquet", numbered(1))
    (added,) = find_source(tmp_path).new_shards(first, 2, 1)
    assert (added.number, added.rows) == (2, 1)
    write_table(tmp_path / "b.parquet", numbered(30))
    with pytest.raises(OptionError, match=r"b\.parquet has .* bytes, and had"):
        find_source(tmp_path).new_shards(first, 2, 1)


def test_a_file_that_is_gone_matters_only_if_it_is_to_be_read(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_table(tmp_path / name, numbered(2))
    shards = find_source(tmp_path).new_shards([], 2, 1)
    (tmp_path / "a.parquet").unlink()
    source = find_source(tmp_path)
    assert source.new_shards(shards, 2, 1) == []
    assert [task.shard for task in source.tasks(shards[1:])] == shards[1:]
    with pytest.raises(UnreadableInput, match=r"a\.parquet: cannot be read as Parquet"):
        list(source.tasks(shards))
