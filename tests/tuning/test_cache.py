"""The store of tunings: what is kept comes back, what is stale or damaged is named, and no kill leaves half a file."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrhpi.config.candidate import Candidate, Verified
from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.config.objective import Objective
from ocrhpi.errors import OptionError
from ocrhpi.machine import describe_machine
from ocrhpi.measuring.statistic import Ratio
from ocrhpi.model import Model, ModelFiles
from ocrhpi.tuning import cache
from ocrhpi.tuning import key as key_module
from ocrhpi.tuning.cache import (
    FORMAT,
    TunedModel,
    Tuning,
    cache_path,
    find,
    lock,
    read_tuning,
    rounded_rows,
    save,
)
from ocrhpi.tuning.choose import Choice
from ocrhpi.tuning.key import TUNING_VERSION, differences, key_of
from ocrhpi.tuning.rows import Change, GateResult, Row
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
KEY: dict[str, Any] = {
    "model": "ab" * 32,
    "machine": {**describe_machine(), "gpus": []},
    "engines": {"openvino": "2026.4.1", "paddle": None},
    "grid": "1234",
    "objective": Objective(),
    "calibration": "5678",
    "device": None,
    "versions": {"ocrhpi": "0.1.0", "exporter": 1},
}


def sample(
    reason: str = "", key: dict[str, Any] | None = None, model_path: str = "/models/a", *, quick: bool = False
) -> Tuning:
    paddle = Candidate(backend="paddle", options={"onednn": "auto", "threads": None})
    openvino = Candidate(backend="openvino", device="cpu", options={"scale": 0.123456789}, batching="masked")
    gate = GateResult(
        lines=200,
        changed=1,
        examples=(Change(line="a.png", expected="极速: 发货 😀", read="# 'x'\u2028"),),
        cer=0.0123456,
    )
    rows = (
        Row(
            candidate=paddle,
            outcome="measured",
            baseline=True,
            effective={"settings": {"onednn": True}, "notes": ()},
            load_s=1.23456,
            look=9.999999,
            samples=(9.87654321, 1e-05),
        ),
        Row(
            candidate=openvino,
            outcome="measured",
            gate=gate,
            remarks=("3 of 32 texts depend on the lines beside them",),
            first_round=1,
            samples=(1.5,),
            first_sight_ms=0.123456,
            latency=(2.5,),
        ),
        Row(
            candidate=Verified(low=openvino, full=paddle, threshold=0.2),
            outcome="rejected",
            reason=reason or "Signal 11.",
        ),
    )
    ratios = (Ratio(median=1.0, low=1.0, high=1.0, rounds=2), Ratio(median=5.55555, low=5.0, high=6.0, rounds=1), None)
    return Tuning(
        created="2026-11-22T18:00:00+00:00",
        model=TunedModel(name="a", fingerprint=KEY["model"], path=model_path),
        objective=Objective(max_latency_ms=12.345678),
        key=key_of(**(key or KEY)),
        quick=quick,
        choice=Choice(winner=1, decided=True, reason="It is faster.", order=(1, 0), ratios=ratios),
        rows=rows,
        seconds=31.4159265,
        load=(0.123456, 1.0),
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "hpi" / f"a-{KEY['model'][:16]}-0123abcd.yml"


@pytest.fixture
def made(place: Path) -> Path:
    assert save(sample(), place)
    return place


# what is kept


def test_a_tuning_comes_back_rounded(made: Path) -> None:
    kept, back = sample(), read_tuning(made)
    assert back.rows == rounded_rows(kept.rows)
    assert (back.rows[0].look, back.rows[0].samples) == (10.0, (9.877, 1e-05))
    assert (back.rows[1].first_sight_ms, back.rows[1].latency) == (0.1235, (2.5,))
    assert back.rows[1].times == pytest.approx((1.6235,))
    assert back.rows[1].remarks == kept.rows[1].remarks
    assert [row.candidate for row in back.rows] == [row.candidate for row in kept.rows]
    assert (back.key, back.objective, back.model) == (kept.key, kept.objective, kept.model)
    assert back.choice.ratios[1] == Ratio(median=5.556, low=5.0, high=6.0, rounds=1)
    assert (back.seconds, back.load) == (31.42, (0.1235, 1.0))
    assert rounded_rows(back.rows) == back.rows


def test_setups_are_the_candidates_in_the_order_of_the_choice(made: Path) -> None:
    rows = sample().rows
    assert read_tuning(made).setups == [rows[1].candidate, rows[0].candidate]


def test_saving_again_changes_nothing(made: Path, tmp_path: Path) -> None:
    assert save(read_tuning(made), tmp_path / "again.yml")
    assert (tmp_path / "again.yml").read_bytes() == made.read_bytes()


def test_a_person_can_read_the_file(made: Path) -> None:
    text = made.read_text("utf-8")
    assert text.startswith("# What ocrhpi measured")
    assert "ocrhpi explain FILE" in text
    assert "\n  samples: [9.877, 1.0e-05]\n" in text
    assert "\nquick: false\n" in text
    assert "极速: 发货" in text
    assert list(yaml.safe_load(text))[-1] == "rows"


def test_the_file_is_recognised_as_hpi_config(made: Path) -> None:
    assert read_hpi_config(made) == HpiConfig(tuned=made)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str, tmp_path: Path) -> None:
    tuning = sample(reason=text, key={**KEY, "machine": {"cpu": text, "gpus": [text]}})
    assert save(tuning, tmp_path / "any.yml")
    back = read_tuning(tmp_path / "any.yml")
    assert back.rows[2].reason == tuning.rows[2].reason
    assert back.key == tuning.key


# where it is kept


def model_of(path: Path, name: str = "PP-OCRv4_mobile_rec") -> Model:
    onnx = path / "inference.onnx"
    onnx.parent.mkdir(exist_ok=True)
    onnx.write_bytes(b"weights")
    return Model(name=name, path=path, files=ModelFiles(onnx=onnx), spec=InputSpec(), vocabulary=("a",))


def test_each_question_has_its_place(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m")
    usual = cache_path(model, Objective(), cache_dir=tmp_path)
    assert usual.parent == tmp_path / "hpi"
    assert usual.name.startswith(f"PP-OCRv4_mobile_rec-{model.fingerprint[:16]}-")
    same = [
        cache_path(model, Objective(goal="throughput", accuracy="identical"), cache_dir=tmp_path),
        cache_path(replace(model, path=tmp_path), Objective(), None, None, cache_dir=tmp_path),
    ]
    others = [
        cache_path(model, Objective(goal="latency"), cache_dir=tmp_path),
        cache_path(model, Objective(accuracy="no-loss"), cache_dir=tmp_path),
        cache_path(model, Objective(), "gpu:0", cache_dir=tmp_path),
        cache_path(model, Objective(), None, tmp_path / "lines", cache_dir=tmp_path),
        cache_path(replace(model, vocabulary=("b",)), Objective(), cache_dir=tmp_path),
    ]
    assert set(same) == {usual}
    assert len({usual, *others}) == 6


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "", "名" * 300, "a*[b]?"])
def test_names_of_models_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    place = cache_path(model_of(tmp_path / "m", name), Objective(), cache_dir=tmp_path)
    assert place.parent == tmp_path / "hpi"
    assert not place.name.startswith(".")
    assert save(sample(), place)


# what fits


def test_what_fits_is_found(made: Path) -> None:
    found = find(made, key_of(**KEY), "/models/a")
    assert found.tuning == read_tuning(made)
    assert found.stale == ()


def test_nothing_there(place: Path) -> None:
    assert find(place, key_of(**KEY), "/models/a") == cache.Found(place)
    assert find(Path("mine.yml"), key_of(**KEY), "/models/a").stale == ()


@pytest.mark.parametrize(
    ("part", "changed", "sentence"),
    [
        ("model", "cd" * 32, "model: the weights or the vocabulary changed"),
        ("grid", "9", "grid: the options that are tried changed"),
        ("calibration", "9", "calibration: the lines that are read changed"),
        ("device", "gpu:0", "device: none -> gpu:0"),
        ("engines", {"openvino": "2026.5.0", "paddle": None}, "engines.openvino: 2026.4.1 -> 2026.5.0"),
        ("engines", {"openvino": None, "paddle": None}, "engines.openvino: 2026.4.1 -> not installed"),
        ("engines", {**KEY["engines"], "mine": "1.0"}, "engines.mine: not installed -> 1.0"),
        ("machine", {**KEY["machine"], "cpu": "Another"}, f"machine.cpu: {KEY['machine']['cpu']} -> Another"),
        ("machine", {**KEY["machine"], "gpus": ["A", "B"]}, "machine.gpus: none -> A, B"),
        ("objective", Objective(max_latency_ms=20), "question.max_latency_ms: none -> 20.0"),
        ("versions", {"ocrhpi": "0.2.0", "exporter": 1}, "versions.ocrhpi: 0.1.0 -> 0.2.0"),
    ],
)
def test_each_part_that_changes_is_named(made: Path, part: str, changed: Any, sentence: str) -> None:
    found = find(made, key_of(**{**KEY, part: changed}), "/models/a")
    assert found.tuning is None
    assert found.stale == (sentence,)


def test_every_change_is_named() -> None:
    changed = {**KEY, "model": "cd" * 32, "grid": "9", "engines": {"openvino": "1", "paddle": "3.1"}}
    named = differences(key_of(**KEY), key_of(**changed))
    assert [sentence.split(":")[0] for sentence in named] == ["model", "engines.openvino", "engines.paddle", "grid"]
    assert differences(key_of(**KEY), key_of(**KEY)) == []


def test_a_new_version_of_tuning_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_module, "TUNING_VERSION", 99)
    assert find(made, key_of(**KEY), "/models/a").stale == (f"versions.tuning: {TUNING_VERSION} -> 99",)


def test_weights_that_changed_at_the_same_place_are_named(made: Path) -> None:
    changed = key_of(**{**KEY, "model": "cd" * 32})
    new_place = made.with_name(made.name.replace(KEY["model"][:16], "cd" * 8))
    found = find(new_place, changed, "/models/a")
    assert found == cache.Found(new_place, None, ("model: the weights or the vocabulary changed",))
    assert find(new_place, changed, "/models/b").stale == ()
    other_question = new_place.with_name(new_place.name.replace("0123abcd", "ffffffff"))
    assert find(other_question, changed, "/models/a").stale == ()


# damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: "", "not the file of a tuning"),
        (lambda _: "[1, 2]", "not the file of a tuning"),
        (lambda text: text[: len(text) // 2], "no YAML|damaged"),
        (lambda text: text[:-700], "no YAML|damaged"),
        (lambda text: text.replace(FORMAT, "ocrhpi-hpi-config-1"), "its format is 'ocrhpi-hpi-config-1'"),
        (lambda text: text.replace("9.877,", "-9.877,"), r"damaged at rows\.0\.samples\.0"),
        (lambda text: text.replace("9.877,", "[9.877],"), r"damaged at rows\.0\.samples\.0"),
        (lambda text: text.replace("winner: 1", "winner: 9"), "names row 9 of 3"),
        (lambda text: text.replace("order: [1, 0]", "order: [1, -1]"), "names row -1 of 3"),
        (lambda text: text.replace("winner: 1", "winner: '1'"), r"damaged at choice\.winner"),
        (lambda text: text.replace("outcome: rejected", "outcome: lost"), r"damaged at rows\.2\.outcome"),
        (lambda text: text.replace("seconds:", "secands:"), "damaged at seconds: field required"),
        (lambda text: text + "extra: 1\n", "damaged at extra"),
        (lambda text: text + "? [1, 2]\n: 3\n", "no YAML|damaged"),
        (lambda text: text + "? !!python/name:os.system\n", "no YAML"),
        (lambda text: text + "x: 2024-13-45\n", "month"),
        (lambda text: text + f"x: {'[' * 3000}\n", "no YAML"),
        (lambda text: text + "x: &x [*x]\n", "damaged"),
        (lambda text: "\0" + text, "no YAML"),
    ],
)
def test_damaged_files(made: Path, damage: Callable[[str], str], reason: str) -> None:
    text = made.read_text("utf-8")
    assert damage(text) != text
    made.write_text(damage(text), "utf-8")
    found = find(made, key_of(**KEY), "/models/a")
    assert found.tuning is None
    (stale,) = found.stale
    assert str(made) in stale
    with pytest.raises(OptionError, match=f"(?i){reason}") as caught:
        read_tuning(made)
    assert str(made) in str(caught.value)
    assert save(sample(), made), "it is replaced"
    assert find(made, key_of(**KEY), "/models/a").tuning


def test_damaged_neighbours_do_no_harm(made: Path) -> None:
    made.write_bytes(b"\xff\xff")
    new_place = made.with_name(made.name.replace(KEY["model"][:16], "cd" * 8))
    assert find(new_place, key_of(**KEY), "/models/a").stale == ()


def test_files_that_are_not_there_or_no_files(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nowhere\.yml: No such file"):
        read_tuning(tmp_path / "nowhere.yml")
    with pytest.raises(OptionError, match="directory"):
        read_tuning(tmp_path)
    assert "directory" in find(tmp_path, {}, "/models/a").stale[0]


# quick and thorough


@pytest.mark.parametrize("kept", [None, True], ids=["nothing", "a quick one"])
def test_a_quick_one_is_kept_where_no_thorough_one_is(place: Path, kept: bool | None) -> None:
    if kept is not None:
        assert save(sample("first", quick=True), place)
    assert save(sample("second", quick=True), place)
    back = read_tuning(place)
    assert back.quick
    assert back.rows[2].reason == "second"


def test_a_quick_one_does_not_replace_a_thorough_one_that_holds(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = made.read_bytes()
    with caplog.at_level(logging.INFO, "ocrhpi"):
        assert not save(sample("another", quick=True), made)
    assert made.read_bytes() == before
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == f"what was measured thoroughly is kept in {made}"


@pytest.mark.parametrize("spoilt", ["stale", "damaged"])
def test_a_quick_one_replaces_a_thorough_one_that_does_not_hold(made: Path, spoilt: str) -> None:
    key = None
    if spoilt == "stale":
        key = {**KEY, "grid": "9"}
    else:
        made.write_bytes(made.read_bytes()[:-100])
    assert save(sample("another", key=key, quick=True), made)
    assert read_tuning(made).quick


def test_a_thorough_one_replaces_both(made: Path) -> None:
    assert save(sample("again"), made)
    assert read_tuning(made).rows[2].reason == "again"
    made.unlink()
    assert save(sample(quick=True), made)
    assert save(sample("thorough"), made)
    back = read_tuning(made)
    assert (back.quick, back.rows[2].reason) == (False, "thorough")


# writing


def test_a_folder_that_cannot_be_written_to_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "hpi" / "a.yml"
    with lock(place):
        assert not save(sample(), place)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "could not be kept" in record.getMessage()
    assert str(place) in record.getMessage()


def test_a_full_disk_leaves_what_was_there(
    made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = made.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert not save(sample("another"), made)
    assert made.read_bytes() == before
    assert list(made.parent.iterdir()) == [made]
    assert "No space left" in caplog.text


@contextmanager
def python(program: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process that knows this module, killed at the end at the latest."""
    head = "import sys, time\nfrom pathlib import Path\nfrom tests.tuning.test_cache import *\n"
    command = [sys.executable, "-c", head + program, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


WRITER = """
big = ["A" * 500_000, "B" * 500_000]
print("ready", flush=True)
while True:
    for reason in big:
        save(sample(reason), Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_a_file_is_whole_whenever_it_is_read_and_after_kill_9(place: Path) -> None:
    whole = []
    for letter in "AB":
        save(sample(letter * 500_000), place)
        whole.append(place.read_bytes())
    place.unlink()
    seen: set[bytes] = set()
    with python(WRITER, place) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 10
        reads = 0
        while (len(seen) < 2 or reads < 100) and time.monotonic() < deadline:
            if place.exists():
                seen.add(place.read_bytes())
                reads += 1
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
    assert seen == set(whole)
    assert place.read_bytes() in whole
    assert read_tuning(place).rows[2].reason[0] in "AB"


# the lock

HOLDER = """
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_a_waiting_process_says_so_once_and_goes_on_when_the_holder_is_killed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SAY_WAITING_AFTER_S", 0.1)
    said: list[str] = []
    with python(HOLDER, place) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        killer = threading.Timer(0.5, process.send_signal, [signal.SIGKILL])
        killer.start()
        start = time.monotonic()
        with lock(place, waiting=lambda: said.append("waiting")):
            waited = time.monotonic() - start
        killer.join()
    assert said == ["waiting"]
    assert waited > 0.3


def test_without_a_callback_waiting_is_logged(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "_SAY_WAITING_AFTER_S", 0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock(place):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    threading.Timer(0.3, done.set).start()
    with lock(place):
        assert done.is_set()
    thread.join()
    assert caplog.text.count("waiting for it") == 1


def test_a_free_lock_is_silent_and_errors_pass(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), lock(place):
            raise KeyError
    assert not caplog.records


TUNER = """
place, key = Path(sys.argv[1]), key_of(**KEY)
print("ready", flush=True)
sys.stdin.readline()
with lock(place):
    found = find(place, key, "/models/a")
    if found.tuning is None:
        time.sleep(0.2)
        save(sample(), place)
        print("tuned", flush=True)
    else:
        print("found", flush=True)
"""


def test_processes_that_start_at_once_tune_once(place: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(python(TUNER, place)) for _ in range(3)]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:  # all before the first is waited for
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert sorted(answers) == ["found", "found", "tuned"]
