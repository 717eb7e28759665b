"""The side-by-side benchmark without any peer: the protocol, the phases, and what they are fed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.peers.__main__ import main
from benchmarks.peers.lines import Lines, lines_of_folder, rendered_lines
from benchmarks.peers.model_files import find, prepare_model
from benchmarks.peers.starter import Starter
from benchmarks.peers.systems import SYSTEMS, System, choose_systems
from benchmarks.peers.trials import Plan, Trials
from ocrhpi.model import load_model
from ocrhpi.values import InputSpec
from ocrhpi.workers.process import WorkerProcessFailed
from tests.benchmarks.fake_reader import TEXTS

TIMEOUT_S = 60.0


def system(name: str = "fake", *, ours: bool = True, **options: Any) -> System:
    return System(name, "tests.benchmarks.fake_reader:FakeReader", "model", options, ours=ours)


@pytest.fixture
def starter(tmp_path: Path) -> Starter:
    images = [np.full((8, 16 + number, 3), number, np.uint8) for number in range(len(TEXTS))]
    Lines("three lines", [], images, [], reference=False).save(tmp_path / "lines.npz")
    return Starter(
        interpreters={"ours": Path(sys.executable), "peers": "no peers here"},
        files={"model": tmp_path, "paddle": "no Paddle files"},
        lines=tmp_path / "lines.npz",
        logs=tmp_path / "logs",
        model_name="fake_rec",
        threads=2,
        timeout_s=TIMEOUT_S,
    )


class TestWorker:
    def test_commands(self, starter: Starter) -> None:
        worker, effective = starter.start(system(), "good")
        with worker:
            assert effective["threads"] == 2
            assert worker.ask("texts", TIMEOUT_S, batch=1) == TEXTS
            timed = worker.ask("time", TIMEOUT_S, mode="throughput", batch=6)
            assert timed["texts"] == TEXTS
            assert timed["seconds"] > 0
            assert len(worker.ask("time", TIMEOUT_S, mode="latency", batch=1)["line_ms"]) == len(TEXTS)
            assert 5 < worker.ask("memory", TIMEOUT_S) < 5000

    def test_reported_errors_leave_it_alive(self, starter: Starter) -> None:
        worker, _ = starter.start(system(error=6), "error")
        with worker:
            with pytest.raises(WorkerProcessFailed, match=r"texts: RuntimeError: out of memory in a traceback"):
                worker.ask("texts", TIMEOUT_S, batch=6)
            assert worker.ask("texts", TIMEOUT_S, batch=1) == TEXTS

    def test_a_system_that_does_not_load_says_why(self, starter: Starter) -> None:
        with pytest.raises(WorkerProcessFailed, match="load: ValueError: no such engine"):
            starter.start(system(at_loading=True), "load")

    @pytest.mark.parametrize(
        ("of", "reason"),
        [(system(ours=False), "no peers here"), (replace(system(), files="paddle"), "no Paddle files")],
    )
    def test_what_is_missing_is_a_reason(self, starter: Starter, of: System, reason: str) -> None:
        with pytest.raises(WorkerProcessFailed, match=reason):
            starter.start(of, "missing")


class TestTrials:
    def test_all_phases_and_a_failure_in_each_place(self, starter: Starter) -> None:
        plan = Plan(batches=(1, 6), probes=1, rounds=2, first_rounds=2, pause_s=0.0)
        trials = Trials(starter, plan)
        broken = [system("load", at_loading=True), system("six", crash=6), system("peer", ours=False)]
        records = trials.probe([system("good"), *broken])
        assert [(record.setting.name, record.failure is None) for record in records] == [
            ("good, batch 1", True),
            ("good, batch 6", True),
            ("load, batch 1", False),
            ("load, batch 6", False),
            ("six, batch 1", True),
            ("six, batch 6", False),
            ("peer, batch 1", False),
            ("peer, batch 6", False),
        ]
        trials.rounds(records)
        trials.first_passes(records)
        good, good_6 = records[:2]
        assert (len(good.throughput_s), len(good.latency_ms), len(good.first_s)) == (2, 2, 2)
        assert (len(good_6.throughput_s), len(good_6.latency_ms), len(good_6.first_s)) == (2, 0, 2)
        assert good.readings == [TEXTS]
        assert good.peak_mib
        assert good.first_peak_mib
        assert len(trials.load) == 4
        assert not records[5].throughput_s


class TestLines:
    def test_rendered_lines_are_the_same_for_a_seed_and_all_of_other_widths(self) -> None:
        lines, again = rendered_lines(30, seed=3), rendered_lines(30, seed=3)
        assert lines.labels == again.labels
        assert all(np.array_equal(a, b) for a, b in zip(lines.images, again.images, strict=True))
        assert lines.padded_widths(InputSpec()) == 30
        assert all(lines.labels)

    def test_the_label_file_is_the_reference_for_its_model_only(self, lines_dir: Path) -> None:
        labels = lines_dir / "labels_PP-OCRv4_mobile_rec.tsv"
        lines = lines_of_folder(lines_dir, labels, "PP-OCRv4_mobile_rec")
        assert lines.reference
        assert len(lines.images) == len(lines.labels) == 61
        assert not lines_of_folder(lines_dir, labels, "PP-OCRv6_small_rec").reference


class TestSystems:
    def test_names_are_unique_and_readers_exist(self) -> None:
        assert len({of.name for of in SYSTEMS}) == len(SYSTEMS)
        assert SYSTEMS[0].name.startswith("PaddleOCR")  # the reference where there is no other

    def test_a_part_of_the_name_chooses(self) -> None:
        assert [of.name for of in choose_systems(("OCRHPI paddle",))] == ["ocrhpi paddle"]
        assert choose_systems(()) == list(SYSTEMS)
        with pytest.raises(ValueError, match="'mnn' is none of: PaddleOCR"):
            choose_systems(("mnn",))

    def test_a_model_without_paddle_files_is_a_reason(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "inference.onnx").write_bytes(_ONNX_WITH_VOCABULARY)
        model = find("official_rec", tmp_path / "m")
        assert model.name == "official_rec"
        files = prepare_model(model, {"paddle", "peer_onnx"}, tmp_path / "out")
        assert files["paddle"] == "official_rec came without Paddle files"
        peer = files["peer_onnx"]
        assert isinstance(peer, Path)
        assert load_model(peer).vocabulary == model.vocabulary
        assert (peer / "inference.yml").is_file()


def test_folder_and_labels_or_rendered_lines_are_needed(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "give FOLDER and LABELS, or --rendered N" in result.output


# ModelProto with nothing but metadata_props: character = "a\nb".
_ENTRY = b"\x0a\x09character\x12\x03a\nb"
_ONNX_WITH_VOCABULARY = b"\x72" + bytes([len(_ENTRY)]) + _ENTRY
