"""The table of precisions: its rows, and what verification makes of two readings."""

from __future__ import annotations

from typing import Any

from benchmarks.precision_table.accuracy import Reading, verify
from benchmarks.precision_table.contenders import FULL, NORMAL, VERIFIED, contenders, verified
from benchmarks.precision_table.table import table
from ocrhpi.config.candidate import Verified
from ocrhpi.tuning.gate import ReadLine


def test_contenders_and_pairs() -> None:
    alone = {one.title: one for one in contenders()}
    assert list(alone)[:2] == [NORMAL, FULL]
    assert set(VERIFIED.values()) <= set(alone)
    pair = verified("verified INT8", alone, 0.3).setup
    assert isinstance(pair, Verified)
    assert (pair.low.precision, pair.full.precision, pair.threshold) == ("int8", "fp32", 0.3)


def test_a_pair_takes_doubtful_lines_from_the_full_reading() -> None:
    low = {"set": [ReadLine("a", 0.9, 0.5), ReadLine("b", 0.6, 0.1)]}
    full = {"set": [ReadLine("A", 0.9), ReadLine("B", 0.6)]}
    read, again = verify(Reading(low, 0.2), full)
    assert [line.text for line in read["set"]] == ["a", "B"]
    assert again == {"set": 0.5}


def test_the_table() -> None:
    facts = {"lines": 10, "changed": 1, "labelled": 10, "cer": 0.05, "reference_cer": 0.04, "no_loss": True}
    accuracy: dict[str, dict[str, Any]] = {
        "INT8": {"sets": {name: {**facts, "again": None} for name in ("calibration", "real", "hard")}},
        "verified INT8": {
            "threshold": 0.25,
            "sets": {name: {**facts, "changed": 0, "again": 0.3} for name in ("calibration", "real", "hard")},
        },
        "verified BF16": {"threshold": None},
    }
    one = {"ms": 5.0, "ratio": 2.0}
    lines = table(accuracy, {"INT8": dict.fromkeys(("calibration", "real", "hard", "latency"), one)}).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("| INT8 | 5.00 | 2.00x | 2.00x | 2.00x | 2.00x | 1 of 10 | 1 of 10 | 5.00 % | yes |")
    assert lines[3].startswith("| verified INT8, margin 0.25 |  |")
    assert lines[3].endswith("| 30.0 % | 30.0 % | 30.0 % |")
    assert "no threshold" in lines[4]
    assert len({line.count("|") for line in lines}) == 1
