from __future__ import annotations

import copy
import io
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocrhpi.errors import OptionError, OutputError, UnreadableInput
from ocrhpi.results import TextRecResult
from ocrhpi.results.save_names import SaveNames
from ocrhpi.values import LineImage, TextLine, UnreadableLine, WordBoxes

PIXELS = np.full((32, 200, 3), 255, np.uint8)


def result(
    input_path: str | None = "in/a.png",
    page_index: int | None = None,
    names: SaveNames | None = None,
    text: str = "你好",
) -> TextRecResult:
    return TextRecResult.of_line(
        LineImage(PIXELS, input_path, page_index), TextLine(text, 0.9876), names or SaveNames()
    )


def failed(input_path: str = "in/bad.png") -> TextRecResult:
    return TextRecResult.of_error(UnreadableLine(UnreadableInput(input_path, "is empty"), input_path), SaveNames())


def save(names: SaveNames, directory: Path, base: str, input_path: str) -> Path:
    content = json.dumps({"input_path": input_path, "page_index": None}).encode()
    return names.save(directory, base, (input_path, None, ""), "_res.json", lambda file: file.write(content))


def test_keys_and_json() -> None:
    one = result()
    assert set(one) == {"input_path", "page_index", "input_img", "rec_text", "rec_score", "error"}
    assert one.json == {"res": {"input_path": "in/a.png", "page_index": None, "rec_text": "你好", "rec_score": 0.9876}}
    assert one.str == one.json
    assert json.loads(json.dumps(one.json)) == one.json


def test_an_error_is_in_the_json_and_has_no_picture(tmp_path: Path) -> None:
    bad = failed()
    assert bad.json["res"]["error"] == bad.str["res"]["error"] == "in/bad.png: is empty."
    with pytest.raises(UnreadableInput, match="no picture"):
        _ = bad.img
    assert [path.name for path in bad.save_all(tmp_path)] == ["bad_res.json"]


def test_word_boxes_are_the_tuple_of_the_peer() -> None:
    boxes = WordBoxes(40.0, [["a", "b"]], [[3, 5]], ["en&num"])
    one = TextRecResult.of_line(LineImage(PIXELS), TextLine("ab", 0.5, boxes), SaveNames())
    assert one["rec_text"] == ("ab", [40.0, [["a", "b"]], [[3, 5]], ["en&num"]])
    assert one.json["res"]["rec_text"] == ["ab", [40.0, [["a", "b"]], [[3, 5]], ["en&num"]]]
    assert one.img["res"].width >= 200


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        ({}, '{\n    "res"'),
        ({"indent": 1}, '{\n "res"'),
        ({"format_json": False}, "{'res'"),
        ({"json_format": False}, "{'res'"),
    ],
)
def test_print_writes_to_stdout(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], begins: str) -> None:
    result().print(**arguments)
    out, err = capsys.readouterr()
    assert out.startswith(begins)
    assert "你好" in out
    assert err == ""


def test_print_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    result().print(ensure_ascii=True)
    assert "\\u4f60" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("input_path", "page_index", "saved"),
    [
        ("in/a.png", None, {"a_res.json", "a_res.png"}),
        ("in/b.JPG", None, {"b_res.json", "b_res.JPG"}),
        ("in/doc.pdf", 3, {"doc_3_res.json", "doc_3_res.png"}),
        ("in/scan.tiff", 0, {"scan_0_res.json", "scan_0_res.tiff"}),
        ("in/raw.pgm", None, {"raw_res.json", "raw_res.png"}),
        ("in/no_suffix", None, {"no_suffix_res.json", "no_suffix_res.png"}),
        ("https://host/dir/c%20d.webp?size=big/x.png", None, {"c d_res.json", "c d_res.webp"}),
        ("https://host", None, {"input_res.json", "input_res.png"}),
        ("in/a:b*c.png", None, {"a_b_c_res.json", "a_b_c_res.png"}),
    ],
)
def test_names_in_a_directory(tmp_path: Path, input_path: str, page_index: int | None, saved: set[str]) -> None:
    target = tmp_path / "new" / "folder"
    written = result(input_path, page_index).save_all(str(target))
    assert {path.name for path in target.iterdir()} == saved == {path.name for path in written}
    for path in written:
        if path.suffix != ".json":
            Image.open(path).load()


def test_explicit_files_are_the_users_word(tmp_path: Path) -> None:
    for one in (result("x/1.png"), result("y/1.png")):
        assert one.save_to_json(tmp_path / "mine.json") == tmp_path / "mine.json"
        assert one.save_to_img(tmp_path / "mine.jpg") == tmp_path / "mine.jpg"
    assert json.loads((tmp_path / "mine.json").read_text("utf-8"))["input_path"] == "y/1.png"
    assert len(list(tmp_path.iterdir())) == 2


def test_arrays_get_names_of_their_own(tmp_path: Path) -> None:
    names = SaveNames()
    for _ in range(20):
        result(None, names=names).save_all(tmp_path)
    assert len(list(tmp_path.glob("*_res.json"))) == len(list(tmp_path.glob("*_res.png"))) == 20
    assert {path.stem for path in tmp_path.glob("*.json")} == {path.stem for path in tmp_path.glob("*.png")}


def test_equal_stems_never_overwrite_each_other_and_an_input_overwrites_itself(tmp_path: Path) -> None:
    inputs = ["x/a.png", "y/a.png", "x/a.jpg", "x/a-2.png", "y/a.png"]
    for _ in range(2):  # the second run has a recognizer of its own, and finds the files of the first
        names = SaveNames()
        for input_path in inputs:
            result(input_path, names=names).save_all(tmp_path)
    saved = {path.name: json.loads(path.read_text("utf-8"))["input_path"] for path in tmp_path.glob("*.json")}
    assert saved["a_res.json"] == "x/a.png"
    assert saved["a-2_res.json"] == "y/a.png"
    assert sorted(saved.values()) == ["x/a-2.png", "x/a.jpg", "x/a.png", "y/a.png"]


def test_runs_one_after_the_other_respect_each_other(tmp_path: Path) -> None:
    result("x/a.png").save_all(tmp_path)
    result("y/a.png").save_all(tmp_path)
    assert json.loads((tmp_path / "a_res.json").read_text("utf-8"))["input_path"] == "x/a.png"
    assert json.loads((tmp_path / "a-2_res.json").read_text("utf-8"))["input_path"] == "y/a.png"


@pytest.mark.parametrize("content", [b"{not json", b"[]", b'{"other": 1}'])
def test_files_that_are_not_ours_stay(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a_res.json").write_bytes(content)
    result("x/a.png").save_to_json(tmp_path)
    assert (tmp_path / "a_res.json").read_bytes() == content
    assert (tmp_path / "a-2_res.json").is_file()


def test_many_threads_never_share_a_name(tmp_path: Path) -> None:
    names = SaveNames()
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda n: result(f"{n}/a.png", names=names).save_to_json(tmp_path), range(64)))
    assert len(set(saved)) == 64


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = result()
    one.save_to_json(tmp_path)
    before = (tmp_path / "a_res.json").read_bytes()

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        one.save_to_json(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a_res.json"]
    assert (tmp_path / "a_res.json").read_bytes() == before


def test_copies_save_under_the_same_name(tmp_path: Path) -> None:
    for original in (result(), result(None)):
        original.save_to_json(tmp_path)
        count = len(list(tmp_path.iterdir()))
        for other in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
            assert other.json == original.json
            other.save_to_json(tmp_path)
        assert len(list(tmp_path.iterdir())) == count if original["input_path"] else True


def test_lone_surrogates_do_not_break_saving(tmp_path: Path) -> None:
    saved = result("in/\udcff.png").save_to_json(tmp_path)
    assert json.loads(saved.read_text("utf-8"))["input_path"] == "in/\udcff.png"


@pytest.mark.parametrize("as_json", [True, False])
def test_print_to_a_stdout_that_cannot_say_it(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    content = io.BytesIO()
    with io.TextIOWrapper(content, encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        result().print(format_json=as_json)
        stdout.flush()
        printed = content.getvalue()
    assert b"\\u4f60\\u597d" in printed
    assert not as_json or json.loads(printed) == result().json


@pytest.mark.parametrize(
    ("given", "saved"),
    [("mine.json", {"mine.json", "mine.jpg"}), ("mine.png", {"mine.json", "mine.png"})],
)
def test_save_all_to_a_file_puts_the_other_beside_it(tmp_path: Path, given: str, saved: set[str]) -> None:
    written = result("in/a.jpg").save_all(tmp_path / given)
    assert {path.name for path in tmp_path.iterdir()} == saved == {path.name for path in written}


def test_an_error_saved_to_an_image_file_leaves_its_json(tmp_path: Path) -> None:
    assert failed().save_all(tmp_path / "x.png") == [tmp_path / "x.json"]


def test_a_picture_format_that_is_not_written_is_refused(tmp_path: Path) -> None:
    for save in (result().save_to_img, result().save_all):
        with pytest.raises(OptionError, match=r"x\.gif.*\.png"):
            save(tmp_path / "x.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_may_look_like_a_file(tmp_path: Path) -> None:
    for name in ("x.json", "x.png"):
        (tmp_path / name).mkdir()
        assert {path.parent.name for path in result().save_all(tmp_path / name)} == {name}


def test_a_file_is_no_directory_to_save_into(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    for save in (result().save_to_json, result().save_to_img):
        with pytest.raises(OutputError, match="taken could not be written: a file is in the way"):
            save(tmp_path / "taken")


def test_long_names_are_cut_and_stay_apart(tmp_path: Path) -> None:
    names = SaveNames()
    for end in "ab":
        result(f"in/{'长' * 90}{end}.png", names=names).save_all(tmp_path)
    assert len(list(tmp_path.glob("*_res.json"))) == len(list(tmp_path.glob("*_res.png"))) == 2


def test_a_result_without_its_image(tmp_path: Path) -> None:
    one = result()
    one["input_img"] = None
    with pytest.raises(UnreadableInput, match="input_img is None"):
        _ = one.img
    assert [path.name for path in one.save_all(tmp_path)] == ["a_res.json"]


def test_json_shares_nothing_with_the_result() -> None:
    boxes = WordBoxes(40.0, [["a"]], [[3]], ["en&num"])
    one = TextRecResult.of_line(LineImage(PIXELS), TextLine("a", 0.5, boxes), SaveNames())
    one.json["res"]["rec_text"][1][1].clear()
    assert one["rec_text"][1][1] == [["a"]]


def saved_in(directory: Path) -> dict[str, str]:
    return {path.name: json.loads(path.read_text("utf-8"))["input_path"] for path in directory.glob("*_res.json")}


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_a_later_run_finds_the_names_of_an_earlier_one_in_any_order(tmp_path: Path, order: list[int]) -> None:
    inputs = ["x/a.png", "y/a.png", "x/a-2.png", "z/a.png"]
    for run in (range(4), order):
        names = SaveNames()
        for index in run:
            result(inputs[index], names=names).save_all(tmp_path)
        if run is not order:
            first = saved_in(tmp_path)
    assert saved_in(tmp_path) == first
    assert sorted(first.values()) == sorted(inputs)


def test_names_that_differ_in_case_or_form_only_count_as_equal(tmp_path: Path) -> None:
    names = SaveNames()
    inputs = ["x/a.png", "x/A.png", "x/\u00e9.png", "x/e\u0301.png"]
    saved = [result(one, names=names).save_to_json(tmp_path).name for one in inputs]
    assert saved == ["a_res.json", "A-2_res.json", "\u00e9_res.json", "e\u0301-2_res.json"]


def test_pickled_results_do_not_carry_the_names_of_all_others(tmp_path: Path) -> None:
    names = SaveNames()
    one = result(names=names)
    before = len(pickle.dumps(one))
    for number in range(100):
        save(names, tmp_path, f"s{number}", f"in/s{number}")
    assert len(pickle.dumps(one)) == before


def test_many_inputs_of_one_name_are_named_in_one_look_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        result(f"{number}/a.png").save_to_json(tmp_path)
    looked: list[Path] = []

    def lstat(path: Path) -> os.stat_result:
        looked.append(path)
        return os.lstat(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    names = SaveNames()
    for number in reversed(range(60)):
        save(names, tmp_path, "a", f"{number}/a.png")
    assert len(set(looked)) == 60
    assert len(looked) == 60 + 50, "once more, before one of the first run is replaced"


def test_a_directory_that_cannot_be_searched_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "lstat", refused)
    with pytest.raises(PermissionError):
        save(SaveNames(), tmp_path, "a", "x/a.png")


def test_processes_that_save_equal_stems_at_once_lose_nothing(tmp_path: Path) -> None:
    # Each has names of its own, as each process has.
    def save_one(number: int) -> list[Path]:
        return result(f"{number}/a.png").save_all(tmp_path)

    with ThreadPoolExecutor(16) as pool:
        saved = list(pool.map(save_one, range(48)))
    assert sorted(saved_in(tmp_path).values()) == sorted(f"{number}/a.png" for number in range(48))
    assert len({path for paths in saved for path in paths}) == 96
    for as_json, picture in saved:
        assert as_json.stem == picture.stem, "they belong together"
    assert len(list(tmp_path.iterdir())) == 96, "and nothing is left over"


SAVING = """
import sys
from tests.results.test_results import result
sys.stdin.read(1)
for number in range(40):
    result(f"{sys.argv[1]}/{number % 4}.png").save_all(sys.argv[2])
"""


def test_two_processes_that_save_into_one_folder(tmp_path: Path) -> None:
    programs = [[sys.executable, "-c", SAVING, name, str(tmp_path)] for name in ("x", "y")]
    processes = [subprocess.Popen(program, stdin=subprocess.PIPE) for program in programs]
    for process in processes:
        process.communicate(b"!", 60)
        assert process.returncode == 0
    assert sorted(saved_in(tmp_path).values()) == [f"{name}/{number}.png" for name in "xy" for number in range(4)]
    assert len(list(tmp_path.glob("*_res.png"))) == 8


@pytest.mark.parametrize("picture_first", [True, False])
def test_a_name_that_another_process_took_meanwhile_is_left_to_it(tmp_path: Path, picture_first: bool) -> None:
    one, two = result("x/a.png"), result("y/a.png")
    saves = [TextRecResult.save_to_img, TextRecResult.save_to_json]
    for save_one in saves if picture_first else reversed(saves):
        assert save_one(one, tmp_path).name.startswith("a_res")
        assert save_one(two, tmp_path).name.startswith("a-2_res")
    assert saved_in(tmp_path) == {"a_res.json": "x/a.png", "a-2_res.json": "y/a.png"}
    assert len(list(tmp_path.iterdir())) == 4


def test_a_name_that_was_free_when_it_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = SaveNames._look_at_next

    def and_then_another_saves(names: SaveNames, *arguments: Any) -> None:
        look(names, *arguments)
        monkeypatch.setattr(SaveNames, "_look_at_next", look)
        assert result("x/a.png").save_to_json(tmp_path).name == "a_res.json"

    monkeypatch.setattr(SaveNames, "_look_at_next", and_then_another_saves)
    assert result("y/a.png").save_to_json(tmp_path).name == "a-2_res.json"
    assert sorted(saved_in(tmp_path).values()) == ["x/a.png", "y/a.png"]


def test_pictures_alone(tmp_path: Path) -> None:
    early = [result(f"{name}/a.png") for name in "xyz"]
    assert [one.save_to_img(tmp_path).name for one in early] == ["a_res.png", "a-2_res.png", "a-3_res.png"]
    for file in tmp_path.iterdir():
        os.utime(file, (1e9, 1e9))
    assert result("x/a.png").save_to_img(tmp_path).name == "a_res.png", "that of a run before is replaced"


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    test_processes_that_save_equal_stems_at_once_lose_nothing(tmp_path)
