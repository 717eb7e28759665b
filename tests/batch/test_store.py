"""The folder of results: whole files, one writer, one job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.batch import store as module
from ocrhpi.batch.plan import Job, job_of
from ocrhpi.batch.reading import Reading
from ocrhpi.batch.sources import find_source
from ocrhpi.batch.store import open_store
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError
from tests.batch.lines import json_rows, write_lines
from tests.reading.fake_reader import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.batch.sources import Source


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write_lines(tmp_path / "input", range(5))
    return find_source(tmp_path / "input")


def job(source: Source, **changes: Any) -> Job:
    return job_of(source, MODEL, reading_options("x"), "jsonl").model_copy(update=changes)


def test_what_is_written_is_there_the_next_time(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "deep"
    with open_store(folder, job(source)) as store:
        store.extend(source, 2, 1)
        assert [shard.number for shard in store.missing()] == [0, 1, 2]
        task = next(source.tasks(store.missing()[1:]))
        store.write(task, [Reading("one", 0.5), Reading("", 0.0, "damaged")])
    with open_store(folder, job(source)) as store:
        store.extend(source, 2, 1)
        assert [shard.number for shard in store.missing()] == [0, 2]
    ids = task.columns["rec_id"]
    assert json_rows(folder) == [
        {"rec_id": ids[0], "path": ids[0], "rec_text": "one", "rec_score": 0.5, "error": None},
        {"rec_id": ids[1], "path": ids[1], "rec_text": "", "rec_score": 0.0, "error": "damaged"},
    ]
    assert {path.name for path in folder.iterdir()} == {".lock", "_plan.jsonl", "part-00001.jsonl"}


def test_the_plan_grows_with_the_input_and_keeps_what_it_had(source: Source, tmp_path: Path) -> None:
    with open_store(tmp_path / "out", job(source)) as store:
        store.extend(source, 2, 1)
        before = list(store.shards)
    write_lines(tmp_path / "input", [7])
    with open_store(tmp_path / "out", job(source)) as store:
        assert store.shards == before
        store.extend(source, 50, 9)
        assert store.shards[:3] == before
        assert [shard.rows for shard in store.shards[3:]] == [1]


def test_a_file_that_was_not_finished_never_has_its_name(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    with open_store(folder, job(source)) as store:
        store.extend(source, 5, 1)
        (task,) = source.tasks(store.missing())
        monkeypatch.setattr(module, "write_results", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.write(task, [])
    assert {path.name for path in folder.iterdir()} == {".lock", "_plan.jsonl"}


def test_leftovers_of_a_process_that_was_killed_are_removed(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".part-00000.jsonl.0123.tmp").write_text('{"rec_id"')
    with open_store(folder, job(source)) as store:
        store.extend(source, 5, 1)
        assert len(store.missing()) == 1
    assert {path.name for path in folder.iterdir()} == {".lock", "_plan.jsonl"}


def test_one_writer_at_a_time(source: Source, tmp_path: Path) -> None:
    with (
        open_store(tmp_path / "out", job(source)),
        pytest.raises(OptionError, match="another process writes into"),
        open_store(tmp_path / "out", job(source)),
    ):
        pass
    with open_store(tmp_path / "out", job(source)):
        pass


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "other"}, "model: 'fake', now 'other'"),
        ({"fingerprint": "0" * 64}, "fingerprint"),
        ({"format": "parquet"}, "format: 'jsonl', now 'parquet'"),
        ({"input": "/elsewhere"}, "input"),
        ({"text": "as configured (01234567)"}, "text: 'as normal mode'"),
    ],
)
def test_results_of_another_job_are_not_mixed_in(
    source: Source, tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    with open_store(tmp_path / "out", job(source)) as store:
        store.extend(source, 5, 1)
    with (
        pytest.raises(OptionError, match="holds results of another batch") as error,
        open_store(tmp_path / "out", job(source, **changes)),
    ):
        pass
    assert named in str(error.value)


def test_what_may_change_text_is_part_of_the_job(source: Source) -> None:
    def text(use_hpip: bool = True, **config: object) -> str:  # noqa: FBT002
        return job_of(source, MODEL, reading_options("x", use_hpip=use_hpip, hpi_config=config), "jsonl").text

    assert text() == text(use_hpip=False) == text(budget_s=5, cpu_threads=2) == "as normal mode"
    others = [text(accuracy="no-loss"), text(auto_config=False, backend="openvino"), text(tuned="t.yml")]
    assert len({text(), *others}) == 4
    assert others[0] == text(accuracy="no-loss", cpu_threads=3)


def test_folders_of_something_else_are_left_alone(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "part-00000.jsonl").touch()
    with (
        pytest.raises(OptionError, match=r"part-00000\.jsonl is there, but not the plan"),
        open_store(folder, job(source)),
    ):
        pass
    for content in ("", "{}\n", "no JSON\n", json.dumps(job(source).model_dump()) + '\n{"number": 0}\n'):
        (folder / "_plan.jsonl").write_text(content)
        with pytest.raises(OptionError, match="is no plan of a batch"), open_store(folder, job(source)):
            pass
