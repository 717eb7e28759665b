from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.config.objective import Objective
from ocrhpi.tuning.gate import (
    MIN_DECIDING,
    POLICIES_BY_STRICTNESS,
    KnownLine,
    ReadLine,
    can_write,
    compare,
    failure,
    known_lines,
    next_policy_of,
    passes,
)
from ocrhpi.tuning.rows import Change, GateResult

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = ("", *"abcdefgh", "नि", " ")


def compared(known: Sequence[str | None], reference: list[str], read: list[str]) -> GateResult:
    return compare(
        [KnownLine(f"line {number}", text) for number, text in enumerate(known)],
        [ReadLine(text, 0.75) for text in reference],
        [ReadLine(text, 0.5) for text in read],
        LABELS,
    )


def lines(wrong: int, total: int = 100) -> list[str]:
    """So many lines read wrongly, then the others read as they are."""
    return ["abcdefgx"] * wrong + ["abcdefgh"] * (total - wrong)


class TestCompare:
    def test_every_field(self) -> None:
        result = compared(
            ["abcd", "ab", None, "xyz", ""],
            reference=["abcd", "aa", "q", "xy", ""],
            read=["abce", "ab", "q", "xyz", "a"],
        )
        assert result.lines == 5
        assert result.changed == 4
        assert result.examples[:2] == (
            Change(line="line 0", expected="abcd", read="abce"),
            Change(line="line 1", expected="aa", read="ab"),
        )
        assert result.score_difference == 0.25
        assert result.labelled == 2  # neither the unknown, nor the one the model cannot write, nor the empty one
        assert (result.cer, result.reference_cer) == (1 / 6, 1 / 6)
        assert (result.exact, result.reference_exact) == (1, 1)
        assert result.cer_interval is not None
        assert result.cer_interval == pytest.approx((-0.5, 0.25))
        assert result.exact_interval == (-1, 1)

    def test_without_labelled_lines_there_is_no_accuracy(self) -> None:
        result = compared([None, "xyz"], ["a", "b"], ["a", "b"])
        assert result == GateResult(lines=2, changed=0, score_difference=0.25)

    def test_scores_of_changed_lines_do_not_count(self) -> None:
        known = [KnownLine("a"), KnownLine("b")]
        result = compare(known, [ReadLine("a", 0.9), ReadLine("b", 0.9)], [ReadLine("c", 0.1), ReadLine("b", 0.8)], "")
        assert result.score_difference == pytest.approx(0.1)
        nothing_equal = compare(known[:1], [ReadLine("a", 0.9)], [ReadLine("c", 0.1)], "")
        assert nothing_equal.score_difference == 0

    def test_there_are_no_more_than_five_examples(self) -> None:
        result = compared([None] * 9, ["a"] * 9, ["a", *"bbbbbbbb"])
        assert result.changed == 8
        assert [example.line for example in result.examples] == [f"line {number}" for number in range(1, 6)]

    def test_nothing_is_normalised(self) -> None:
        assert compared([None], ["é"], ["e\N{COMBINING ACUTE ACCENT}"]).changed == 1
        assert compared(["ab"], ["ab"], ["ab "]).exact == 0
        assert compared(["ab"], ["ab"], ["Ab"]).cer == 0.5

    def test_lists_must_match(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            compared(["a"], ["a"], ["a", "b"])

    def test_it_fits_into_a_file(self) -> None:
        result = compared(["abcd", "ab"], ["abcd", "aa"], ["abce", "ab"])
        assert GateResult.model_validate_json(result.model_dump_json()) == result

    def test_lines_that_do_not_decide_are_counted_apart(self) -> None:
        known = [KnownLine("a", "a"), KnownLine("x", "x", decides=False), KnownLine("y", "b", decides=False)]
        reference = [ReadLine("a", 0.75), ReadLine("q", 0.75), ReadLine("b", 0.9)]
        read = [ReadLine("a", 0.5), ReadLine("p", 0.1), ReadLine("b", 0.1)]
        result = compare(known, reference, read, LABELS)
        assert (result.lines, result.changed, result.examples) == (1, 0, ())
        assert (result.apart, result.apart_changed) == (2, 1)
        assert result.score_difference == 0.25
        assert (result.labelled, result.exact, result.cer) == (1, 1, 0.0)
        assert failure("identical", result) == ""
        assert compare(known[1:], reference[1:], read[1:], LABELS).lines == 0


class TestKnownLines:
    def test_those_that_the_labels_cannot_write_do_not_decide(self) -> None:
        texts = ["abc", "xyz", None, "", "नि", "न", *["a"] * MIN_DECIDING]
        lines = known_lines(((f"line {number}", text) for number, text in enumerate(texts)), LABELS)
        assert [(line.name, line.text) for line in lines] == [(f"line {n}", text) for n, text in enumerate(texts)]
        assert [line.decides for line in lines[:6]] == [True, False, True, True, True, False]
        assert all(line.decides for line in lines[6:])

    @pytest.mark.parametrize(("deciding", "apart"), [(MIN_DECIDING - 1, 0), (MIN_DECIDING, 9), (0, 0)])
    def test_if_too_few_would_be_left_all_decide(self, deciding: int, apart: int) -> None:
        texts = ["x"] * 9 + ["ab"] * deciding
        lines = known_lines([(str(number), text) for number, text in enumerate(texts)], LABELS)
        assert sum(not line.decides for line in lines) == apart

    def test_without_labels_or_lines(self) -> None:
        assert known_lines([], LABELS) == []
        assert all(line.decides for line in known_lines([("a", "a")] * 50, ()))

    def test_what_they_change_is_no_failure_but_what_others_change_is(self) -> None:
        texts = ["ab"] * MIN_DECIDING + ["xyz"] * 5
        lines = known_lines([(str(number), text) for number, text in enumerate(texts)], LABELS)
        reference = [ReadLine("ab", 0.9)] * len(texts)
        read = [*reference[:-1], ReadLine("q", 0.9)]
        assert passes("identical", compare(lines, reference, read, LABELS))
        assert passes("no-loss", compare(lines, reference, read, LABELS))
        other = [ReadLine("q", 0.9), *reference[1:]]
        assert failure("identical", compare(lines, reference, other, LABELS)).startswith("1 of 20 texts changed")


@pytest.mark.parametrize(
    ("text", "labels", "writable"),
    [
        ("", (), True),
        ("ab a", LABELS, True),
        ("abx", LABELS, False),
        ("xab", LABELS, False),
        ("aनि", LABELS, True),
        ("न", LABELS, False),
        ("निa", LABELS, True),
        ("abc", ("ab", "bc", "a"), True),  # not by the longest label first
        ("abcb", ("ab", "bc", "a"), False),
        ("a", ("",), False),
    ],
)
def test_a_text_is_put_together_from_labels(text: str, labels: tuple[str, ...], *, writable: bool) -> None:
    assert can_write(text, labels) is writable


class TestIdentical:
    def test_every_text_must_be_equal(self) -> None:
        result = compared([None] * 3, ["a", "b", "c"], ["a", "b", "d"])
        assert not passes("identical", result)
        assert failure("identical", result) == "1 of 3 texts changed, for example 'c' became 'd'"

    def test_wrong_texts_pass_if_the_reference_reads_them_so(self) -> None:
        assert passes("identical", compared(["abc"], ["abd"], ["abd"]))

    def test_nothing_read_proves_nothing(self) -> None:
        assert [failure(policy, compared([], [], [])) for policy in ("identical", "no-loss", "cer<=1")] == [
            "it read no line"
        ] * 3


class TestNoLoss:
    def test_changed_texts_pass_if_they_are_as_good(self) -> None:
        known = ["abcdefgh"] * 100
        result = compared(known, lines(5), lines(5)[::-1])
        assert result.changed == 10
        assert failure("no-loss", result) == ""

    def test_better_texts_pass(self) -> None:
        assert passes("no-loss", compared(["abcdefgh"] * 100, lines(30), lines(2)))

    def test_a_single_loss_may_be_chance(self) -> None:
        assert passes("no-loss", compared(["abcdefgh"] * 100, lines(0), lines(1)))

    def test_a_clear_loss_fails_and_is_told_in_numbers(self) -> None:
        result = compared(["abcdefgh"] * 100, lines(2), lines(20))
        assert not passes("no-loss", result)
        sentence = failure("no-loss", result)
        assert sentence.startswith("character error rate 2.50 % against the reference's 0.25 % (difference 1.")
        assert "; 80 of 100 lines without error against 98 (difference -2" in sentence

    def test_either_loss_is_enough(self) -> None:
        result = compared(["abcdefgh"] * 100, lines(0), lines(0))
        more_errors = result.model_copy(update={"cer": 0.02, "cer_interval": (0.001, 0.03)})
        assert failure("no-loss", more_errors) == (
            "character error rate 2.00 % against the reference's 0.00 % (difference 0.10 % to 3.00 %)"
        )
        fewer_exact = result.model_copy(update={"exact": 90, "exact_interval": (-0.2, -0.01)})
        assert failure("no-loss", fewer_exact) == (
            "90 of 100 lines without error against 100 (difference -20.00 % to -1.00 %)"
        )
        touching_zero = result.model_copy(update={"cer_interval": (0.0, 0.1), "exact_interval": (-0.1, 0.0)})
        assert passes("no-loss", touching_zero)

    def test_more_errors_in_lines_that_were_wrong_before_are_a_loss(self) -> None:
        result = compared(["abcdefgh"] * 50, ["abcdefg"] * 50, ["abcd"] * 50)
        assert result.exact == result.reference_exact == 0
        assert not passes("no-loss", result)

    @pytest.mark.parametrize("policy", ["no-loss", "cer<=50%"])
    def test_it_needs_lines_of_known_text(self, policy: str) -> None:
        result = compared([None], ["a"], ["a"])
        assert "lines of known text" in failure(policy, result)


class TestErrorRateLimit:
    @pytest.mark.parametrize(("policy", "passing"), [("cer<=2%", False), ("cer<=2.5%", True), ("cer<=0.03", True)])
    def test_the_rate_must_not_be_above(self, policy: str, *, passing: bool) -> None:
        assert passes(policy, compared(["abcdefgh"] * 100, lines(0), lines(20))) is passing

    def test_the_sentence(self) -> None:
        result = compared(["abcdefgh"] * 100, lines(0), lines(20))
        assert failure("cer<=2%", result) == "character error rate 2.50 %, more than the 2.00 % allowed"


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(ValueError, match="'exact' is no policy of accuracy"):
        passes("exact", compared(["a"], ["a"], ["a"]))


def test_policies_are_in_order_of_strictness() -> None:
    assert [next_policy_of(policy) for policy in ("identical", "no-loss", "cer<=2%")] == ["no-loss", None, None]
    assert [Objective(accuracy=policy).accuracy for policy in POLICIES_BY_STRICTNESS] == list(POLICIES_BY_STRICTNESS)
