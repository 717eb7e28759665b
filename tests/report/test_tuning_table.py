"""The table of a finished tuning, as text in several widths, and as plain values."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from ocrhpi.config.candidate import Verified
from ocrhpi.report.formatting import decimal, plain, times, wrapped
from ocrhpi.report.tuning_figures import figures_of
from ocrhpi.report.tuning_table import tuning_evidence, tuning_json, tuning_table
from ocrhpi.tuning.cache import read_tuning, save
from ocrhpi.tuning.rows import Row
from tests.report.tuning_samples import BF16, CHANGED, KEY, NATURAL, ONNX, OPENVINO, PADDLE, SAME, rows, timed, tuning

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from ocrhpi.tuning.cache import Tuning

FILE = "/home/someone/.cache/ocrhpi/hpi/PP-OCRv4_mobile_rec-abababababababab-0123abcd.yml"


def drawn(view: RenderableType, width: int = 160, **facts: Any) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False, **facts)
    console.print(view, crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def in_one_line(text: str) -> str:
    return " ".join(text.split())


class TestTable:
    def test_wide(self) -> None:
        text = drawn(tuning_table(tuning(), FILE))
        lines = text.splitlines()
        assert lines[0].rstrip() == "PP-OCRv4_mobile_rec on cpu, throughput, accuracy identical"
        assert " ".join(lines[1].split()) == (
            "candidate vs normal mode, 95 % ms/line lines/s changed CER MiB load s first ms ran"
        )
        winner, split, onnx, normal, slow, natural = lines[2:8]
        assert winner.startswith("▶  openvino, masked 64, batch 8  ")
        assert "2.27x (2.25 to 2.29)" in winner
        assert winner.rstrip().endswith("0 of 200  1.21 %  512    0.51      31.4  fp32, 2 threads")
        assert split.startswith("   openvino, split 64, batch 8  ")
        assert onnx.startswith("   onnxruntime, exact, batch 8 ")
        assert normal.startswith("   paddle, exact, batch 1 (normal mode) ")
        assert " 1.00x " in normal
        assert " ~0.32x " in slow
        assert "~32.5" in slow
        assert natural.startswith("x  openvino, natural 32, batch 8 ")
        assert "5 of 200" in natural

    @pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
    def test_it_fits(self, width: int) -> None:
        text = drawn(tuning_evidence(tuning(), FILE), width)
        assert max(cell_len(line) for line in text.splitlines() if not line.startswith("file: ")) <= width
        assert "…" not in text
        for one in tuning().rows:
            assert one.candidate.name in in_one_line(text)

    def test_narrow_terminals_see_what_matters_most(self) -> None:
        heads = [drawn(tuning_table(tuning()), width).splitlines()[1] for width in (80, 100, 160)]
        assert heads[0].split()[-2:] == ["ms/line", "changed"]
        assert heads[1].split()[-4:] == ["ms/line", "lines/s", "changed", "MiB"]
        assert "first ms" in heads[2]

    def test_very_narrow_ones_do_not_fail(self) -> None:
        for width in (1, 10, 40):
            assert drawn(tuning_evidence(tuning(), FILE), width)

    def test_bars_are_in_proportion(self) -> None:
        bars = [line.count("█") for line in drawn(tuning_table(tuning()), 250).splitlines()[2:8]]
        assert bars[5] == 30
        assert bars[:5] == [19, 19, 15, 8, 2]

    def test_bars_where_there_is_ascii_alone(self) -> None:
        pipe = io.BytesIO()
        file = io.TextIOWrapper(pipe, encoding="cp1252")
        Console(file=file, width=250).print(
            tuning_table(tuning((timed(PADDLE, 10, baseline=True), timed(OPENVINO, 5))))
        )
        file.flush()
        text = pipe.getvalue().decode("cp1252")
        assert text.isascii()
        assert [line.count("#") for line in text.splitlines()[2:4]] == [30, 15]
        assert text.splitlines()[2].startswith(">")

    def test_colour_is_for_terminals(self) -> None:
        assert "\x1b" not in drawn(tuning_evidence(tuning(), FILE))
        assert "\x1b[" in drawn(tuning_table(tuning()), force_terminal=True, color_system="standard")

    def test_what_may_pass_is_told(self) -> None:
        lost = Row(candidate=BF16, outcome="rejected", reason="exporting: No space left on device", passing="disk")
        provisional = tuning((timed(PADDLE, 10.0, baseline=True), lost))
        text = in_one_line(drawn(tuning_table(provisional), 80))
        assert "rejected, which may pass: 'openvino, precision=bf16, exact, batch 8' exporting: No space" in text
        assert "provisional: measured again the next time" in text
        assert tuning_json(provisional)["provisional"] is True
        assert "provisional" not in drawn(tuning_table(tuning()))

    def test_reasons_in_full(self) -> None:
        text = in_one_line(drawn(tuning_table(tuning()), 80))
        assert "may not run: 'openvino, natural 32, batch 8' 5 of 200 texts changed, for example '极速发货'" in text
        assert (
            "rejected: 'openvino, precision=bf16, exact, batch 8' load: the process ended by signal 11 (SIGSEGV); it "
            "printed: \\x1b[2J[bold]engine[/bold] broken"
        ) in text
        assert (
            "skipped: 'onnxruntime, exact, batch 2', 'onnxruntime, exact, batch 4' the budget of 60 s was spent before "
            "its turn"
        ) in text
        assert "skipped: 'tensorrt, exact, batch 1' tensorrt is not installed: pip install tensorrt" in text

    def test_conclusion(self) -> None:
        text = in_one_line(drawn(tuning_table(tuning(), FILE), 80))
        assert "why: 'openvino, masked 64, batch 8' is 2.27x (95 % 2.25 to 2.29) as fast as normal mode" in text
        assert "with accuracy no-loss: 'openvino, natural 32, batch 8' would win, 1.51x as fast as the winner" in text
        assert "measured in 58 s on 200 lines; load of the machine 0.8 before, 2.1 at the end" in text
        assert text.endswith(f"file: {FILE}")
        assert "not decided" not in text

    def test_a_quick_look_says_so(self) -> None:
        text = in_one_line(drawn(tuning_table(tuning().model_copy(update={"quick": True}))))
        assert text.endswith("2.1 at the end; a quick look: 'ocrhpi tune' measures thoroughly")
        assert "quick look" not in drawn(tuning_table(tuning()))

    def test_lines_that_decide_nothing_were_read_too(self) -> None:
        apart = SAME.model_copy(update={"lines": 150, "apart": 50, "apart_changed": 3})
        made = tuning((timed(PADDLE, 10.0, baseline=True), timed(OPENVINO, 5.0, gate=apart)))
        text = drawn(tuning_table(made))
        assert "measured in 58 s on 200 lines" in text
        assert "0 of 150" in text
        assert tuning_json(made)["lines"] == 200

    def test_long_paths_can_be_copied(self) -> None:
        assert f"file: {FILE * 3}\n" in drawn(tuning_table(tuning(), FILE * 3), 80)

    def test_undecided(self) -> None:
        close = tuning((timed(PADDLE, 10.0, baseline=True), timed(ONNX, 9.0, rounds=2)))
        assert not close.choice.decided
        text = in_one_line(drawn(tuning_table(close)))
        assert "not decided: the noise of the machine, or too few rounds, leave open which is best" in text
        assert "▶ paddle, exact, batch 1 (normal mode)" in text

    def test_marks_are_explained_where_there_are_any(self) -> None:
        text = drawn(tuning_table(tuning()))
        assert "~ from screening alone" in text
        assert "x measured, but may not run" in text
        plain_one = drawn(tuning_table(tuning((timed(PADDLE, 10, baseline=True), timed(OPENVINO, 5)))))
        assert "~" not in plain_one
        assert "may not run" not in plain_one

    def test_normal_mode_alone(self) -> None:
        text = drawn(tuning_table(tuning((timed(PADDLE, 10, baseline=True),))), 80)
        assert "▶  paddle, exact, batch 1" in text
        assert "no other candidate may run" in in_one_line(text)

    def test_rows_of_which_little_is_known(self) -> None:
        bare = tuning(
            (Row(candidate=PADDLE, outcome="measured", baseline=True), Row(candidate=BF16, outcome="rejected"))
        )
        text = in_one_line(drawn(tuning_evidence(bare.model_copy(update={"key": {"machine": 3}, "load": None}))))
        assert "it was rejected" in text
        assert "unknown CPU" in text
        assert "on any device" in text

    def test_latency(self) -> None:
        asked = tuning(goal="latency", max_memory_mib=900.0, threads=2)
        text = drawn(tuning_table(asked))
        assert "latency, accuracy identical, at most 900 MiB, 2 threads" in text
        assert "lines/s" not in text
        assert "ms alone" not in text

    def test_throughput_under_a_bound_of_latency(self) -> None:
        slow_alone = timed(OPENVINO, 4.0).model_copy(update={"latency": (50.0,) * 3})
        quick = timed(ONNX, 5.0).model_copy(update={"latency": (8.0,) * 3})
        normal = timed(PADDLE, 9.0, baseline=True).model_copy(update={"latency": (9.0,) * 3})
        text = drawn(tuning_table(tuning((normal, slow_alone, quick), max_latency_ms=20.0)))
        assert "ms alone" in text.splitlines()[1]
        assert text.splitlines()[2].startswith("▶  onnxruntime, exact, batch 8")
        assert (
            "may not run: 'openvino, masked 64, batch 8'\n  it takes 50 ms a line, where at most 20 are allowed" in text
        )


class TestEvidence:
    def test_where_it_was_made_and_what_changed(self) -> None:
        text = in_one_line(drawn(tuning_evidence(tuning(), FILE)))
        assert "model PP-OCRv4_mobile_rec, /models/v4 (fingerprint abababababababab)" in text
        assert "machine AMD EPYC 9J14, 2 cores, 8 GiB, Linux x86_64" in text
        assert "engines paddle 3.3.0, openvino 2026.4.1 versions ocrhpi 0.1.0, exporter 1, tuning 2" in text
        assert "5 of 200 texts changed: 'openvino, natural 32, batch 8' cn_001.png '极速发货' became '极速发贷'" in text
        assert "'a\\x1b[31mb' became 'ab'" in text
        assert "runs: backend openvino; engine_version 1.2; device cpu; precision fp32; threads 2" in text
        assert "if that fails: 'openvino, split 64, batch 8', then " in text

    def test_what_verification_read_twice(self) -> None:
        pair = Verified(
            low=BF16, full=OPENVINO, threshold=0.284, break_even=0.45, read_again=0.13, largest_change=0.227
        )
        by_hand = Verified(low=BF16, full=ONNX, threshold=0.2)
        text = in_one_line(
            drawn(tuning_evidence(tuning((timed(PADDLE, 10, baseline=True), timed(pair, 4), timed(by_hand, 5)))))
        )
        assert (
            "13.00 % read again: 'openvino, precision=bf16, exact, batch 8; again within a margin of 0.284: openvino, "
            "masked 64, batch 8' changed texts had margins up to 0.227, lines within 0.284 are read again; it pays for "
            "up to 45.00 %" in text
        )
        assert text.count("read again: ") == 1

    def test_remarks_that_decide_nothing(self) -> None:
        remark = "3 of 32 texts depend on the lines beside them: it read 'a' and, beside other lines, '\x1b[2J'"
        apart = CHANGED.model_copy(update={"lines": 150, "apart": 50, "apart_changed": 3})
        made = tuning(
            (
                timed(PADDLE, 10, baseline=True),
                timed(OPENVINO, 5),
                timed(NATURAL, 3, gate=apart, remarks=(remark, "another")),
            )
        )
        text = in_one_line(drawn(tuning_evidence(made)))
        name = "'openvino, natural 32, batch 8'"
        assert f"remark: {name} {plain(remark)} remark: {name} another 50 lines whose text the model's" in text
        assert "vocabulary cannot spell were read, and decide nothing" in text
        assert "\x1b" not in text
        for view in (tuning_table(made), tuning_evidence(tuning())):
            assert "remark" not in drawn(view)
            assert "cannot spell" not in drawn(view)
        of_row = {row["name"]: row["remarks"] for row in tuning_json(made)["rows"]}
        assert of_row[name.strip("'")] == [remark, "another"]
        assert of_row["openvino, masked 64, batch 8"] == []

    def test_a_looser_policy_that_gives_nothing(self) -> None:
        text = drawn(tuning_evidence(tuning((timed(PADDLE, 10, baseline=True), timed(OPENVINO, 5)))))
        assert "with accuracy no-loss: nothing is proved to be faster than the winner" in text
        loose = tuning(accuracy="no-loss")
        assert "with accuracy" not in drawn(tuning_evidence(loose)).replace("accuracy no-loss,", "")

    def test_gpus_and_notes_of_the_engine(self) -> None:
        machine = {"cpu": "x", "gpus": ["NVIDIA H200"], "gpu_driver": "570.1"}
        noted = timed(PADDLE, 10, baseline=True, effective={"device": "gpu:0", "notes": ["oneDNN was\nrefused"]})
        text = drawn(tuning_evidence(tuning((noted,)).model_copy(update={"key": {**KEY, "machine": machine}})))
        assert "x, NVIDIA H200, driver 570.1" in text
        assert "oneDNN was refused" in text
        assert "gpu:0" in text.splitlines()[8]


class TestJson:
    def test_keys(self) -> None:
        values = tuning_json(tuning(), FILE)
        assert json.loads(json.dumps(values)) == values
        assert " ".join(values) == (
            "path created model device machine engines versions question seconds load lines quick provisional winner "
            "decided reason next_policy rows"
        )
        for row in values["rows"]:
            assert " ".join(row) == (
                "name candidate outcome reason passing remarks baseline effective gate load_s first_call_ms peak_mib "
                "winner place refusal speed interval rounds ms_per_line lines_per_s alone_ms"
            )

    def test_times_are_with_the_cost_of_first_sight(self) -> None:
        rows = timed(PADDLE, 10.0, baseline=True), timed(OPENVINO, 4.0, first_sight_ms=1.0)
        values = tuning_json(tuning(rows))
        assert values["rows"][0]["ms_per_line"] == pytest.approx(5.0, rel=0.02)
        assert values["rows"][0]["speed"] == pytest.approx(2.0, rel=0.02)

    def test_values(self) -> None:
        values = tuning_json(tuning())
        winner, *others = values["rows"]
        assert values["path"] is None
        assert values["winner"] == winner["name"] == "openvino, masked 64, batch 8"
        assert values["next_policy"]["accuracy"] == "no-loss"
        assert (values["lines"], values["decided"], values["device"], values["quick"]) == (200, True, "cpu", False)
        assert tuning_json(tuning().model_copy(update={"quick": True}))["quick"] is True
        assert winner["winner"]
        assert winner["place"] == 1
        assert winner["interval"][0] <= winner["speed"] <= winner["interval"][1]
        assert winner["rounds"] == 12
        assert winner["lines_per_s"] == pytest.approx(1e3 / winner["ms_per_line"])
        assert winner["ms_per_line"] == pytest.approx(4.4, rel=0.02)
        slow = next(row for row in others if "onednn=false" in row["name"])
        assert (slow["interval"], slow["rounds"], slow["refusal"]) == (None, 0, "")
        assert slow["speed"] == pytest.approx(10 / 31)
        rejected = next(row for row in others if row["outcome"] == "rejected")
        assert (rejected["speed"], rejected["ms_per_line"], rejected["place"]) == (None, None, None)
        assert rejected["refusal"] == rejected["reason"]

    def test_the_file_says_the_same(self, tmp_path: Path) -> None:
        made = tuning()
        assert save(made, tmp_path / "hpi.yml")
        assert drawn(tuning_table(read_tuning(tmp_path / "hpi.yml"))) == drawn(tuning_table(made))


def test_order_of_the_rows() -> None:
    names = [one.name.split(",")[0] + "/" + one.row.outcome for one in figures_of(tuning())]
    assert names == [
        "openvino/measured",
        "openvino/measured",
        "onnxruntime/measured",
        "paddle/measured",
        "paddle/measured",
        "openvino/measured",
        "openvino/rejected",
        *["onnxruntime/skipped"] * 2,
        "tensorrt/skipped",
    ]


def test_the_order_of_the_file_does_not_matter() -> None:
    def table(made: Tuning) -> str:
        return drawn(tuning_table(made)).split("why:")[0].split("rejected")[0]

    assert table(tuning(rows())) == table(tuning(rows()[::-1]))


def test_a_row_that_never_read_all_lines_may_not_run() -> None:
    unread = timed(NATURAL, 3.0, gate=None)
    figures = figures_of(tuning((timed(PADDLE, 10.0, baseline=True), unread, timed(ONNX, 4.0, gate=CHANGED))))
    assert {one.name: one.refusal for one in figures}["openvino, natural 32, batch 8"] == "it did not read all lines"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.0, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_decimal(value: float | None, text: str) -> None:
    assert decimal(value) == text


def test_words() -> None:
    assert plain("a\tb\n\x1b[31mc\u2028d\u202e极") == "a b \\x1b[31mc d\\u202e极"
    assert (times(2.345), times(12.34)) == ("2.35x", "12.3x")
    assert wrapped("a, batch 8; again within: b (normal mode)", 12) == "a, batch 8;\nagain within:\nb\n(normal mode)"
    assert wrapped("onnxruntime", 4) == "onnxruntime"
