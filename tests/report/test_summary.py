"""What follows from the rows, and what it proves."""

from __future__ import annotations

import pytest

from ocrhpi.measuring.statistic import Ratio, verdict
from ocrhpi.report.bench_figures import figures_of, speed
from ocrhpi.report.conditions import conditions_of
from tests.report.samples import MACHINE, gpu_row, result, row, run_of_a_machine, unmeasured


def test_official_models_stand_in_the_order_of_the_published_table() -> None:
    assert [model.name for model in figures_of(run_of_a_machine())] == [
        *("PP-OCRv4_mobile_rec", "PP-OCRv4_server_rec", "ch_SVTRv2_rec", "te_PP-OCRv3_mobile_rec"),
        *("ka_PP-OCRv3_mobile_rec", "my_model"),
    ]


def test_speeds_are_paired_by_round() -> None:
    modes = (
        result("plain", 1.0, engine_ms=(10.0, 20.0, 40.0)),
        result("high-performance", 1.0, engine_ms=(5.0, 10.0, 20.0)),
    )
    (model,) = figures_of([row("m", modes=modes)])
    assert model.engine_speeds == {"plain": Ratio(median=2, low=2, high=2, rounds=3)}
    assert model.engine_ms("plain") == 20
    assert model.engine_ms("onednn") is None


def test_end_to_end_is_the_median_of_the_rounds_and_paired_by_round() -> None:
    modes = (
        result("plain", 1.0, samples=(2.0, 2.5, 8.0)),
        result("high-performance", 1.0, samples=(1.0, 1.25, 4.0, 99.0)),
    )
    (model,) = figures_of([row("m", modes=modes)])
    assert model.lines_per_s("plain") == pytest.approx(400)
    assert model.line_speeds == {"plain": Ratio(median=2, low=2, high=2, rounds=3)}


@pytest.mark.parametrize(
    ("low", "high", "rounds", "word", "shown"),
    [
        (1.9, 2.1, 7, "faster", "2.00x (1.90 to 2.10)"),
        (0.9, 2.1, 7, "none", "2.00x (0.90 to 2.10): no difference beyond noise"),
        (1.0, 2.1, 7, "none", "2.00x (1.00 to 2.10): no difference beyond noise"),
        (1.9, 2.1, 2, "open", "2.00x (2 rounds, too few to tell)"),
        (2.0, 2.0, 1, "open", "2.00x (1 round, too few to tell)"),
    ],
)
def test_no_more_is_said_than_the_interval_proves(low: float, high: float, rounds: int, word: str, shown: str) -> None:
    ratio = Ratio(median=2.0, low=low, high=high, rounds=rounds)
    assert verdict(ratio) == word
    assert speed(ratio) == shown


def test_slower() -> None:
    assert verdict(Ratio(median=0.5, low=0.4, high=0.6, rounds=7)) == "slower"


def test_published_figures_are_those_of_the_device() -> None:
    on_cpu, on_gpu = figures_of([row("PP-OCRv4_mobile_rec"), gpu_row("PP-OCRv4_server_rec")])
    assert on_cpu.published_speed == pytest.approx(16.74 / 4.64)
    assert on_gpu.published_speed == pytest.approx(6.58 / 2.43)
    assert (on_cpu.normal, on_gpu.normal) == ("plain", "gpu")


def test_why_there_are_no_times() -> None:
    modes = (result("plain", 1.0, engine_ms=(), samples=(), reason="it crashed"),)
    rows = [unmeasured("a", "no weights"), row("b", modes=modes), row("c", modes=()), row("d")]
    assert [model.reason for model in figures_of(rows)] == ["no weights", "it crashed", "its file holds no times", ""]


def test_random_weights_have_no_accuracy() -> None:
    by_name = {model.name: model for model in figures_of(run_of_a_machine())}
    assert by_name["ch_SVTRv2_rec"].row.accuracy is not None
    assert by_name["ch_SVTRv2_rec"].accuracy is None
    assert by_name["PP-OCRv4_mobile_rec"].accuracy == 0.8125


class TestConditions:
    def test_one_machine_with_what_failed_measured_again(self) -> None:
        (group,) = conditions_of(figures_of(run_of_a_machine()))
        assert "ka_PP-OCRv3_mobile_rec" not in group.models
        assert group.facts["machine"] == "AMD EPYC 9J14, avx2 avx512f, 2 cores, 8 GiB, Linux x86_64"
        assert group.facts["versions"] == "ocrhpi 0.1.0, paddle 3.3.0, openvino 2026.4.1"
        assert group.facts["CPU threads"] == "2 in the engines (2 asked for)"
        assert group.facts["rounds"] == "2 to 7"
        first, bench, last = group.commands
        assert first == "python -m benchmarks.reference_models ch_SVTRv2_rec -o models/ch_SVTRv2_rec"
        assert "ka_PP-OCRv3_mobile_rec" in bench
        assert bench.endswith("--models models --device cpu --threads 2 --rounds 7 -o results")
        assert last == "ocrhpi report results"

    def test_two_machines(self) -> None:
        other = row("b", machine={**MACHINE, "cpu": "Xeon"})
        assert [group.models for group in conditions_of(figures_of([row("a"), other]))] == [("a",), ("b",)]

    def test_nothing_measured(self) -> None:
        assert conditions_of(figures_of([unmeasured("a", "no weights")])) == []

    def test_names_are_quoted(self) -> None:
        (group,) = conditions_of(figures_of([row("a; rm -rf")]))
        assert "ocrhpi bench 'a; rm -rf'" in group.commands[0]
