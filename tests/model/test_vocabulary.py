"""Dictionaries, and how they fit the classes of a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.model.configuration import fit_classes, is_right_to_left, read_dictionary
from ocrhpi.model.graph_facts import split_vocabulary

MODEL = Path("models/rec")
ABC = ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a\nb\nc", ["a", "b", "c"]),
        ("a\nb\nc\n", ["a", "b", "c"]),
        ("a\r\nb\r\nc\r\n", ["a", "b", "c"]),
        ("a\nb\nc\n\n", ["a", "b", "c", ""]),
        ("a\n\nc", ["a", "", "c"]),
        ("a\n \n\u3000\n\t", ["a", " ", "\u3000", "\t"]),
        ("\u2028\n\x0b\n\x1c\n\x85", ["\u2028", "\x0b", "\x1c", "\x85"]),
        ("ab\ne\u0301\n\U0001f600", ["ab", "e\u0301", "\U0001f600"]),
        ("", [""]),
    ],
)
def test_of_an_entry_only_the_line_end_is_taken_off(text: str, entries: list[str], tmp_path: Path) -> None:
    assert split_vocabulary(text) == entries
    for mark in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "dict.txt").write_bytes(mark + text.encode())
        assert read_dictionary(tmp_path / "dict.txt") == entries


@pytest.mark.parametrize("content", [b"\xff\xfea\x00\n\x00", "\u00e9\n".encode("latin-1"), "\u4f60\n".encode("gbk")])
def test_a_dictionary_that_is_no_utf_8_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"dict\.txt: dictionary: expected UTF-8 text, one entry a line \("):
        read_dictionary(path)


@pytest.mark.parametrize("path", ["none.txt", ".", "a\0b", "x" * 300], ids=ascii)
def test_a_dictionary_that_cannot_be_read_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="not found; expected a dictionary, one entry a line"):
        read_dictionary(tmp_path / path)


@pytest.mark.parametrize(
    ("entries", "classes", "said", "vocabulary", "space"),
    [
        (ABC, 5, None, ABC, True),
        (ABC, 4, None, ABC, False),
        (ABC, None, None, ABC, True),
        (ABC, 5, True, ABC, True),
        (ABC, 4, False, ABC, False),
        (ABC, None, False, ABC, False),
        ((*ABC, ""), 5, None, ABC, True),  # an empty entry at the end more often belongs to nobody
        ((*ABC, ""), 5, False, (*ABC, ""), False),
        ((*ABC, ""), 6, None, (*ABC, ""), True),
        ((*ABC, ""), 4, None, ABC, False),
        ((*ABC, ""), None, None, ABC, True),
        ((*ABC, "", ""), 5, None, ABC, True),
        ((*ABC, "", ""), 6, False, (*ABC, "", ""), False),
        (("a", "", "c"), 5, None, ("a", "", "c"), True),
        ((*ABC, " "), 5, None, (*ABC, " "), False),
        ((*ABC, " "), 6, None, (*ABC, " "), True),
        (("", *ABC), 5, None, ("", *ABC), False),
    ],
)
def test_the_classes_decide_what_the_dictionary_means(
    entries: tuple[str, ...], classes: int | None, said: bool | None, vocabulary: tuple[str, ...], *, space: bool
) -> None:
    assert fit_classes(entries, classes, MODEL, space=said) == (vocabulary, space)


@pytest.mark.parametrize(
    ("entries", "classes", "said", "sentence"),
    [
        (ABC, 6, None, "3 entries, which with the blank makes 4 or 5"),
        (ABC, 3, None, "3 entries, which with the blank makes 4 or 5"),
        (ABC, 4, True, "3 entries with use_space_char true, which with the blank makes 5"),
        (ABC, 5, False, "3 entries with use_space_char false, which with the blank makes 4"),
        ((*ABC, "", ""), 9, None, "3 entries, which with the blank makes 4 or 5"),
        ((), 5, None, "0 entries, which with the blank makes 1 or 2"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    entries: tuple[str, ...], classes: int, said: bool | None, sentence: str
) -> None:
    with pytest.raises(ModelFormatError) as caught:
        fit_classes(entries, classes, MODEL, space=said)
    assert str(caught.value) == (
        f"{MODEL}: vocabulary: the network has {classes} classes, but its dictionary has {sentence}; "
        "the model and its dictionary do not belong together."
    )


@pytest.mark.parametrize(
    ("vocabulary", "right_to_left"),
    [
        ("\u0627\u0628\u062a", True),  # Arabic
        ("\u05d0\u05d1\u05d2", True),  # Hebrew
        ("\u0710\u0712", True),  # Syriac
        ("\u0780\u0781", True),  # Thaana
        ("\u0627\u0628\u062a0123456789.,:;!?-", True),  # digits and marks are of no script
        ("\u0627abcd", True),  # a fifth
        ("\u0627abcde", False),
        ("abc", False),
        ("\u4f60\u597d", False),
        ("\u0430\u0431", False),
        ("0123", False),
        ("\u0660\u0661\u060c", False),  # digits and a comma of Arabic
        ("", False),
    ],
)
def test_the_letters_say_the_direction(vocabulary: str, *, right_to_left: bool) -> None:
    assert is_right_to_left(tuple(vocabulary)) is right_to_left


def test_entries_of_several_letters_or_none_say_it_too() -> None:
    assert is_right_to_left(("", "\u0644\u0627", " "))
    assert not is_right_to_left(("", "ab", " "))
