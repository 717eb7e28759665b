"""The side-by-side benchmark: choices, statistics and reports, of canned samples."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.peers.comparison import LATENCY, THROUGHPUT, best, compare
from benchmarks.peers.records import Record, count_stream_texts, first_fp32, keep_best
from benchmarks.peers.report import Results, as_json, markdown, write_report
from benchmarks.peers.systems import Setting, System
from ocrhpi.measuring.statistic import paired_ratio
from tests.benchmarks.fake_reader import TEXTS

if TYPE_CHECKING:
    from pathlib import Path


def record_of(
    name: str, seconds: float, *, batch: int = 1, ours: bool = False, precision: str = "fp32", equal: bool = True
) -> Record:
    setting = Setting(System(name, "fakes:Fake", "model", ours=ours), batch)
    record = Record(setting, effective={"precision": precision, "threads": 2, "notes": ["a note"]})
    record.probe_s = [seconds, seconds]
    record.throughput_s = [seconds, seconds * 1.1, seconds * 0.9]
    record.latency_ms = [[seconds * 100, seconds * 300, seconds * 200]] * 3 if batch == 1 else []
    record.add_reading(TEXTS if equal else ["ab", "cd", "xx"])
    record.peak_mib = 100.0
    return record


def every_text(record: Record) -> bool:
    return record.reads_every_text(TEXTS)


class TestKeepBest:
    def test_the_fastest_the_fastest_with_every_text_and_batch_1(self) -> None:
        records = [
            record_of("a", 4, batch=1),
            record_of("a", 3, batch=6),
            record_of("a", 2, batch=8),
            record_of("a", 1, batch=16, equal=False),
        ]
        assert [record.setting.batch for record in keep_best(records, every_text)] == [1, 8, 16]

    def test_one_setting_may_be_all_of_them(self) -> None:
        records = [record_of("a", 1, batch=1), record_of("a", 3, batch=6)]
        assert [record.setting.batch for record in keep_best(records, every_text)] == [1]

    def test_failed_ones_count_only_where_all_failed(self) -> None:
        failed = replace(record_of("a", 1), failure="it crashed")
        assert keep_best([failed, replace(failed)], every_text) == [failed]
        good = record_of("a", 2, batch=6)
        assert keep_best([failed, good], every_text) == [good]


class TestReference:
    def test_the_reference_is_the_first_fp32_system_at_batch_1(self) -> None:
        bf16 = record_of("bf16", 0.1, precision="bf16", equal=False)
        failed = replace(record_of("failed", 0.1), failure="it crashed")
        right = record_of("right", 0.2)
        others = [bf16, failed, record_of("six", 0.1, batch=6)]
        assert first_fp32([*others, right], lambda record: record.readings) is right
        assert first_fp32(others, lambda record: record.readings) is None
        assert first_fp32([right], lambda record: record.stream_readings) is None


class TestStatistic:
    def test_the_interval_holds_the_median_and_narrows_with_rounds(self) -> None:
        rng = np.random.default_rng(1)
        machine = rng.uniform(1, 3, 41)  # drifts, but alike for both in a round
        peer = (machine * 2 * rng.normal(1, 0.02, 41)).tolist()
        ours = (machine * rng.normal(1, 0.02, 41)).tolist()
        many, few = paired_ratio(peer, ours), paired_ratio(peer[:5], ours[:5])
        assert many.low <= many.median <= many.high
        assert 1.97 < many.median < 2.03
        assert many.high - many.low < few.high - few.low

    def test_one_round_has_no_interval(self) -> None:
        assert str(paired_ratio([3.0], [2.0])) == "1.50x (one round)"

    def test_equal_samples_have_no_width(self) -> None:
        assert str(paired_ratio([2.0, 4.0], [1.0, 2.0])) == "2.00x (95 % 2.00 to 2.00)"


def canned() -> Results:
    records = [
        record_of("peer exact", 4.0),
        record_of("peer batched", 2.5, batch=6, equal=False),
        record_of("peer bf16", 1.5, precision="bf16", equal=False),
        record_of("ours", 2.0, batch=8, ours=True),
        record_of("ours single", 2.2, ours=True),
        record_of("ours bf16", 1.0, ours=True, precision="bf16", equal=False),
        replace(record_of("peer broken", 0.1), failure="load: ValueError: no such engine"),
    ]
    machine = {"cpu": "A CPU", "cpu_flags": ["avx2"], "cores": 2, "usable_cores": 2, "system": "Linux"}
    facts = {
        "model": {"name": "fake_rec"},
        "lines": {"title": "three lines", "padded_widths": 3},
        "threads": 2,
        "plan": {"measures": ["throughput", "latency"]},
        "machine": machine,
        "load": [0.5, 1.5],
    }
    return Results(facts, records, records, TEXTS, "the label file")


def canned_stream(*, measures: tuple[str, ...] = ("stream",)) -> Results:
    """Three rounds of three lines; the first is slower, and one text of the second is wrong where it may be."""
    results = canned()
    for record in results.records:
        seconds = record.probe_s[0]
        record.throughput_s, record.latency_ms, record.readings = [], [], []
        record.stream_s = [seconds * 2, seconds, seconds * 0.5] if not record.failure else []
        second = (
            ["ab", "xx", "ef"] if record.setting.system.name in {"peer batched", "peer bf16", "ours bf16"} else TEXTS
        )
        record.stream_readings = [TEXTS, second, TEXTS][: len(record.stream_s)]
        record.stream_peak_mib = 200.0
    plan = {"measures": measures, "stream_rounds": 3, "stream_lines": 3, "stream_call": 2}
    stream = {"padded_widths": 7, "reference": count_stream_texts(results.records)}
    return replace(results, facts={**results.facts, "plan": plan, "stream": stream}, reference=[])


class TestReportOfAStream:
    def test_the_ratios_that_are_asked_for(self) -> None:
        results = canned_stream()
        asked = compare(results.chosen, results.reference)
        assert [(comparison.question, comparison.ours, comparison.peer) for comparison in asked] == [
            ("stream, best peer that reads every text", "ours, batch 8 (fp32)", "peer exact, batch 1 (fp32)"),
            ("stream, best FP32 peer at any setting", "ours, batch 8 (fp32)", "peer batched, batch 6 (fp32)"),
            (
                "stream where text may change, best peer as it comes",
                "ours bf16, batch 1 (bf16)",
                "peer bf16, batch 1 (bf16)",
            ),
        ]
        ratios = [comparison.ratio for comparison in asked]
        assert [ratio.median for ratio in ratios if ratio] == pytest.approx([2.0, 1.25, 1.5])

    def test_the_table_has_the_first_round_apart(self) -> None:
        text = markdown(canned_stream())
        assert "## Stream: 3 rounds of 3 lines, 7 different widths" in text
        assert "2 lines a call; batch sizes tried on parts that no round reads. Reference: peer exact, batch 1." in text
        assert "| peer exact, batch 1 | 0.4 | 1.0 | 1 | 9 of 9 (100.00 %) | 200 | fp32 |" in text
        ratio = "4.00x (95 % 4.00 to 4.00)"
        assert f"| ours bf16, batch 1 | 1.5 | 4.0 | {ratio} | 8 of 9 (88.88 %) | 200 | bf16 |" in text
        assert "peer broken, batch 1 |" not in text
        assert "## Warm" not in text
        assert "Batch sizes: the fastest in a trial" in text
        assert "batch sizes chosen on warm lines." in markdown(canned_stream(measures=("throughput", "stream")))

    def test_without_a_reference_no_text_counts(self) -> None:
        results = canned_stream()
        for record in results.records:
            record.stream_texts = []
        text = markdown(replace(results, facts={**results.facts, "stream": {"padded_widths": 7, "reference": None}}))
        assert "No FP32 system is the reference." in text
        assert "| peer exact, batch 1 | 0.4 | 1.0 | - | - | 200 | fp32 |" in text

    def test_the_json_has_every_round_and_the_texts_that_changed(self) -> None:
        report = json.loads(json.dumps(as_json(canned_stream())))
        row = report["records"][1]
        assert row["stream_s"] == pytest.approx([5.0, 2.5, 1.25])
        assert row["stream_texts"] == [3, 2, 3]
        assert row["stream_changed"] == {"4": ["cd", "xx"]}
        assert "stream_readings" not in row
        assert report["stream"]["padded_widths"] == 7


class TestReport:
    def test_the_ratios_that_are_asked_for(self) -> None:
        throughput, any_setting, latency = compare(canned().chosen, TEXTS)
        assert (throughput.ours, throughput.peer) == ("ours, batch 8 (fp32)", "peer exact, batch 1 (fp32)")
        assert throughput.ratio
        assert throughput.ratio.median == pytest.approx(2.0)
        assert any_setting.peer == "peer batched, batch 6 (fp32)"
        assert any_setting.ratio
        assert any_setting.ratio.median == pytest.approx(1.25)
        assert (latency.ours, latency.peer) == ("ours single, batch 1 (fp32)", "peer exact, batch 1 (fp32)")

    def test_without_a_peer_there_is_no_ratio(self) -> None:
        ours = [record for record in canned().chosen if record.setting.system.ours]
        assert [str(comparison).partition(": ")[2] for comparison in compare(ours, TEXTS)] == ["not measured"] * 3
        assert best(ours, THROUGHPUT, TEXTS, ours=False) is None
        assert LATENCY.samples(ours[0]) == []

    def test_the_table_has_a_row_for_each_setting_and_reasons_for_the_rest(self) -> None:
        text = markdown(canned())
        assert "| peer exact, batch 1 | 0.8 | 1 | 800.00 (1200.00) | 3 of 3 | 100 | fp32 |" in text
        assert "| peer batched, batch 6 | 1.2 | 1.60x (95 % 1.60 to 1.60) | - | 2 of 3 | 100 | fp32 |" in text
        assert "- peer broken: load: ValueError: no such engine (batch 1)" in text
        assert "decoded once" in text
        assert "First pass" not in text
        assert "A CPU (avx2), 2 of 2 cores usable, Linux, load 0.5 to 1.5." in text

    def test_the_json_has_every_sample_and_the_texts_that_changed(self, tmp_path: Path) -> None:
        write_report(canned(), tmp_path)
        report = json.loads((tmp_path / "report.json").read_text("utf-8"))
        assert report == json.loads(json.dumps(as_json(canned())))
        row = report["records"][1]
        assert row["throughput_s"] == pytest.approx([2.5, 2.75, 2.25])
        assert row["setting"]["name"] == "peer batched, batch 6"
        assert row["texts_changed"] == {"2": ["xx"]}
        assert report["comparisons"][0]["ratio"]["median"] == pytest.approx(2.0)

    def test_the_worst_reading_counts(self) -> None:
        record = record_of("a", 1)
        record.add_reading(["ab", "??", "??"])
        record.add_reading(TEXTS)
        assert record.equal_texts(TEXTS) == 1
        assert len(record.readings) == 2
