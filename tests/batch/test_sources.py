"""Folders and manifests: what is found, how it is named, and what a second look adds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from ocrhpi.batch.shards import ImageShard, rows_of_a_part
from ocrhpi.batch.sources import find_source
from ocrhpi.errors import OptionError, UnreadableInput
from tests.batch.lines import write_lines

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.batch.sources import Source


def identities(source: Source) -> list[str]:
    return [row[0] for shard in source.new_shards([], None, 1) if isinstance(shard, ImageShard) for row in shard.images]


def test_a_folder_is_all_images_below_it(tmp_path: Path) -> None:
    written = write_lines(tmp_path, range(5))
    (tmp_path / "0" / "notes.txt").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").touch()
    (tmp_path / "UPPER.JPG").touch()
    source = find_source(tmp_path)
    assert source.kind == "folder"
    assert identities(source) == sorted([*written, "UPPER.JPG"])
    (task,) = source.tasks(source.new_shards([], None, 1))
    assert task.columns == {"rec_id": identities(source), "path": identities(source)}
    assert task.cells[0] == str(tmp_path / "0" / "line 000000.png")


def test_rows_are_cut_into_shards_that_fit_the_workers(tmp_path: Path) -> None:
    write_lines(tmp_path, range(130))
    source = find_source(tmp_path)
    assert [shard.rows for shard in source.new_shards([], None, 2)] == [64, 64, 2]
    assert [shard.rows for shard in source.new_shards([], 100, 2)] == [100, 30]
    assert [rows_of_a_part(rows, 4) for rows in (0, 100, 3200, 3201, 10**6)] == [64, 64, 200, 201, 1000]


def test_what_was_added_gets_shards_of_its_own(tmp_path: Path) -> None:
    write_lines(tmp_path, [1, 5])
    first = find_source(tmp_path).new_shards([], 2, 1)
    added = write_lines(tmp_path, [0, 3, 9])
    second = find_source(tmp_path).new_shards(first, 2, 1)
    assert [shard.number for shard in second] == [1, 2]
    found = [row[0] for shard in second if isinstance(shard, ImageShard) for row in shard.images]
    assert found == sorted(added)
    assert find_source(tmp_path).new_shards([*first, *second], 2, 1) == []


def test_a_manifest_keeps_order_and_repetitions(tmp_path: Path) -> None:
    write_lines(tmp_path / "images", [1])
    manifest = tmp_path / "list.txt"
    path = "images/1/line 000001.png"
    url = "https://example.org/a.png"
    manifest.write_text(f"\ufeff{path}\r\n\nb.png#2\nb.png\nb.png\nb.png\n{url}\nimages\\1\\line 000001.png", "utf-8")
    source = find_source(manifest)
    assert source.kind == "manifest"
    back = "images\\1\\line 000001.png"
    assert identities(source) == [path, "b.png#2", "b.png", "b.png#3", "b.png#4", url, back]
    (task,) = source.tasks(source.new_shards([], None, 1))
    assert task.columns["path"] == [path, "b.png#2", "b.png", "b.png", "b.png", url, back]
    found = str(tmp_path / "images" / "1" / "line 000001.png")
    assert task.cells == [found, *[str(tmp_path / name) for name in ("b.png#2", *["b.png"] * 3)], url, found]


def test_lines_that_are_put_into_a_manifest_leave_the_others_as_they_were(tmp_path: Path) -> None:
    manifest = tmp_path / "list.txt"
    manifest.write_text("a.png\nb.png\nb.png\n", "utf-8")
    first = find_source(manifest).new_shards([], None, 1)
    manifest.write_text("c.png\na.png\nb.png\nd.png\nb.png\nb.png\n", "utf-8")
    (shard,) = find_source(manifest).new_shards(first, None, 1)
    assert isinstance(shard, ImageShard)
    assert [row[0] for row in shard.images] == ["c.png", "d.png", "b.png#3"]


def test_a_label_file_gives_its_texts_along(tmp_path: Path) -> None:
    manifest = tmp_path / "rec_gt.txt"
    manifest.write_text('a.png\tone\n["b.png", "c.png"]\ttwo words\n', "utf-8")
    source = find_source(manifest, root=tmp_path / "data")
    (task,) = source.tasks(source.new_shards([], None, 1))
    assert task.columns == {
        "rec_id": ["a.png", "b.png", "c.png"],
        "path": ["a.png", "b.png", "c.png"],
        "label": ["one", "two words", "two words"],
    }
    assert task.cells[0] == str(tmp_path / "data" / "a.png")


def test_what_is_no_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is Parquet or ends in one of"):
        find_source(tmp_path)
    image = next(iter(write_lines(tmp_path / "images", [1])))
    with pytest.raises(OptionError, match="is no text; expected a folder of images, Parquet, or a text file"):
        find_source(tmp_path / "images" / image)
    (tmp_path / "zeros.txt").write_bytes(b"a.png\0b.png")
    with pytest.raises(OptionError, match="is no text"):
        find_source(tmp_path / "zeros.txt")
    with pytest.raises(OptionError, match="cannot be read"):
        find_source(tmp_path / "none.txt")
    (tmp_path / "labels.txt").write_text("a.png\tone\nb.png\n", "utf-8")
    with pytest.raises(OptionError, match=r"labels.txt, line 2: received 'b.png'"):
        find_source(tmp_path / "labels.txt")
    (tmp_path / "images" / "a.parquet").touch()
    with pytest.raises(OptionError, match="expected one kind"):
        find_source(tmp_path / "images")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path: Path) -> None:
    write_lines(tmp_path, [1, 2])
    (tmp_path / "1").chmod(0)
    with pytest.raises(UnreadableInput, match="cannot be listed: permission denied"):
        find_source(tmp_path)
    (tmp_path / "1").chmod(0o700)
