"""The side-by-side benchmark's stream: what is read, which batch sizes go on, which texts count, and the whole run."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.peers import __main__ as cli
from benchmarks.peers.records import Record, count_stream_texts, first_fp32, keep_best
from benchmarks.peers.starter import Starter
from benchmarks.peers.stream import Stream
from benchmarks.peers.systems import System
from benchmarks.peers.trials import Plan, Trials
from ocrhpi.measuring.stream import LineStream
from ocrhpi.values import InputSpec
from ocrhpi.workers.process import WorkerProcessFailed
from tests.benchmarks.fake_reader import TEXTS
from tests.tiny_model import write_config

TIMEOUT_S = 60.0
IMAGES = [np.full((8, 80 + number, 3), number, np.uint8) for number in range(len(TEXTS))]


def system(name: str = "fake", *, ours: bool = True, own_batch: bool = False, **options: Any) -> System:
    reader = "tests.benchmarks.fake_reader:FakeReader"
    return System(name, reader, "model", options, ours=ours, own_batch=own_batch)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(LineStream(IMAGES, seed=5), tmp_path / "parts")


@pytest.fixture
def starter(tmp_path: Path) -> Starter:
    np.savez(tmp_path / "lines.npz", *IMAGES)
    return Starter(
        interpreters={"ours": Path(sys.executable), "peers": "no peers here"},
        files={"model": tmp_path},
        lines=tmp_path / "lines.npz",
        logs=tmp_path / "logs",
        model_name="fake_rec",
        threads=2,
        timeout_s=TIMEOUT_S,
    )


def texts_of(start: int, stop: int) -> list[str]:
    return [TEXTS[int(image.max())] for image in LineStream(IMAGES, seed=5).part(start, stop)]


class TestStream:
    def test_a_part_is_there_for_the_workers_while_it_is_read(self, stream: Stream) -> None:
        with stream.saved(4, 17) as path, np.load(path) as arrays:
            saved = [arrays[name] for name in sorted(arrays.files)]
        assert all(np.array_equal(*pair) for pair in zip(saved, stream.source.part(4, 17), strict=True))
        assert not path.exists()

    def test_rounds_follow_each_other_and_probes_come_after_them(self) -> None:
        plan = Plan(stream_lines=10, stream_rounds=2, stream_probe_lines=4, probes=2)
        assert plan.stream_parts == [(0, 10), (10, 20)]
        assert plan.stream_probe_parts == [(20, 24), (24, 28)]

    def test_nearly_all_widths_of_a_later_round_are_new(self, tmp_path: Path) -> None:
        wide = [np.zeros((48, 2000 + number, 3), np.uint8) for number in range(5)]
        stream = Stream(LineStream(wide), tmp_path)
        first, second = (stream.padded_widths([part], InputSpec()) for part in ((0, 20), (20, 40)))
        assert stream.padded_widths([(0, 20), (20, 40)], InputSpec()) > 0.9 * (first + second)


class TestWorker:
    def test_lines_are_read_so_many_a_call(self, starter: Starter, stream: Stream) -> None:
        worker, _ = starter.start(system(wrong=6), "calls")
        with worker, stream.saved(2, 9) as part:
            right = worker.ask("stream", TIMEOUT_S, lines=str(part), call=3, batch=1)
            wrong = worker.ask("stream", TIMEOUT_S, lines=str(part), call=3, batch=6)
        assert right["texts"] == texts_of(2, 9)
        assert right["seconds"] > 0
        assert [place for place, text in enumerate(wrong["texts"]) if text == "??"] == [2, 5, 6]

    def test_a_line_without_a_text_is_a_failure(self, starter: Starter, stream: Stream) -> None:
        worker, _ = starter.start(system(short=1), "short")
        with worker, stream.saved(0, 4) as part, pytest.raises(WorkerProcessFailed, match="4 lines gave 3 texts"):
            worker.ask("stream", TIMEOUT_S, lines=str(part), call=4, batch=1)


class TestTrials:
    def test_the_batch_sizes_are_chosen_on_parts_that_no_round_reads(self, starter: Starter, stream: Stream) -> None:
        plan = Plan(batches=(1, 6, 8, 16), probes=2, stream_lines=5, stream_rounds=2, stream_probe_lines=4, pause_s=0.0)
        systems = [
            system("some wrong", slow={"1": 0.05, "6": 0.02}, wrong=8, crash=16),
            system("alone", own_batch=True),
        ]
        records = Trials(starter, plan).probe_stream(systems, stream)
        assert [record.setting.name for record in records] == [
            *(f"some wrong, batch {batch}" for batch in plan.batches),
            "alone, own batch size",
        ]
        reference = first_fp32(records, lambda record: record.probe_readings)
        assert reference is records[0]
        assert reference.probe_readings == [texts_of(10, 14), texts_of(14, 18)]
        assert len(reference.probe_s) == 2
        assert "died of SIGSEGV" in str(records[3].failure)
        kept = keep_best(records[:4], lambda record: record.probe_readings == reference.probe_readings)
        assert [record.setting.batch for record in kept] == [1, 6, 8]
        assert not any(record.readings for record in records)

    def test_rounds_read_on_in_processes_that_live_on(self, starter: Starter, stream: Stream) -> None:
        plan = Plan(batches=(1,), stream_lines=6, stream_rounds=3, stream_call=4, pause_s=0.0)
        systems = [
            system("bf16", precision="bf16", wrong=1),
            system("right"),
            system("dies in the second round", calls=3),
            system("both", precision="bf16+fp32"),
        ]
        records = [record for of in systems for record in _records(plan, of)]
        trials = Trials(starter, plan)
        trials.stream(records, stream)
        bf16, right, dies, both = records
        assert right.stream_readings == [texts_of(0, 6), texts_of(6, 12), texts_of(12, 18)]
        assert [len(record.stream_s) for record in records] == [3, 3, 1, 3]
        assert dies.failure == "stream: RuntimeError: too many calls"
        assert len(trials.load) == 3
        assert right.stream_peak_mib
        assert right.peak_mib is None
        assert count_stream_texts(records) == "right, batch 1"
        # Of each round's two calls the last text is wrong.
        assert (bf16.stream_texts, right.stream_texts, dies.stream_texts) == ([4, 4, 4], [6, 6, 6], [6])
        assert sorted(bf16.stream_changed) == [3, 5, 9, 11, 15, 17]
        assert bf16.stream_changed[9] == (texts_of(9, 10)[0], "??")
        assert [record.reads_every_stream_text for record in (bf16, right, both)] == [False, True, True]

    def test_without_an_fp32_system_there_is_no_reference(self, starter: Starter, stream: Stream) -> None:
        plan = Plan(batches=(1,), stream_lines=2, stream_rounds=1, pause_s=0.0)
        records = _records(plan, system(precision="bf16+fp32"))
        Trials(starter, plan).stream(records, stream)
        assert count_stream_texts(records) is None
        assert records[0].stream_texts == []
        assert not records[0].reads_every_stream_text


class TestRun:
    @pytest.fixture
    def arguments(self, tmp_path: Path, tiny_onnx_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        systems = [
            system("peer", ours=False, slow={"1": 0.02}),
            system("ours", slow={"1": 0.02}, wrong=6),
            system("ours bf16", precision="bf16", own_batch=True, wrong=1),
        ]
        monkeypatch.setattr(cli, "choose_systems", lambda _: systems)
        monkeypatch.setattr(cli, "Plan", partial(Plan, stream_probe_lines=12, pause_s=0.0))
        monkeypatch.setattr(cli, "ensure_peer_venv", lambda *_: Path(sys.executable))
        rows = ["file\ttext"]
        for number, image in enumerate(IMAGES):
            assert cv2.imwrite(str(tmp_path / f"{number}.png"), image)
            rows.append(f"{number}.png\tlabels are not the reference of the stream")
        (tmp_path / "labels_fake_rec.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        given = [tmp_path, tmp_path / "labels_fake_rec.tsv", "-o", tmp_path / "out", "--model_dir", tiny_onnx_dir]
        size = ["--stream_lines", 6, "--stream_rounds", 2, "--stream_call", 3, "--rounds", 1]
        return [str(argument) for argument in (*given, *size, "--batch_sizes", 6, "--measures", "stream")]

    @pytest.fixture
    def tiny_onnx_dir(self, tmp_path: Path) -> Path:
        directory = tmp_path / "fake_rec"
        directory.mkdir()
        (directory / "inference.onnx").write_bytes(b"never read")
        write_config(directory)
        return directory

    def test_the_stream_alone(self, arguments: list[str], tmp_path: Path) -> None:
        report, text = _run(arguments, tmp_path)
        rows = {record["setting"]["name"]: record for record in report["records"]}
        assert [name for name, row in rows.items() if row["has_row"]] == list(rows)
        assert all(len(row["stream_s"]) == 2 and row["stream_peak_mib"] > 5 for row in rows.values())
        assert rows["peer, batch 6"]["stream_texts"] == [6, 6]
        assert rows["ours, batch 6"]["stream_texts"] == [4, 4]
        assert sorted(map(int, rows["ours, batch 6"]["stream_changed"])) == [2, 5, 8, 11]
        assert report["stream"] == {"padded_widths": 11, "reference": "peer, batch 1"}
        questions = {comparison["question"]: comparison for comparison in report["comparisons"]}
        assert [question.partition(",")[0] for question in questions] == ["stream"] * 2 + [
            "stream where text may change"
        ]
        strict, _, free = questions.values()
        assert (strict["ours"], strict["peer"]) == ("ours, batch 1 (fp32)", "peer, batch 6 (fp32)")
        assert strict["ratio"]["rounds"] == 2
        assert free["ours"] in {"ours, batch 6 (fp32)", "ours bf16, own batch size (bf16)"}
        assert "## Stream: 2 rounds of 6 lines, 11 different widths" in text
        assert "3 lines a call; batch sizes tried on parts that no round reads. Reference: peer, batch 1." in text
        assert "## Warm" not in text
        assert not list((tmp_path / "out").glob("stream-*"))

    def test_with_throughput_its_batch_sizes_go_on(self, arguments: list[str], tmp_path: Path) -> None:
        report, text = _run([*arguments, "--measures", "throughput"], tmp_path)
        assert all(len(record["throughput_s"]) == 1 and len(record["stream_s"]) == 2 for record in report["records"])
        assert "## Warm" in text
        assert "batch sizes chosen on warm lines." in text


def _records(plan: Plan, of: System) -> list[Record]:
    return [Record(setting) for setting in plan.settings_of(of)]


def _run(arguments: list[str], tmp_path: Path) -> tuple[dict[str, Any], str]:
    result = CliRunner().invoke(cli.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    return json.loads((out / "report.json").read_text("utf-8")), (out / "report.md").read_text("utf-8")
