"""Files of weights that a copy cut off, or that belong to another graph."""

from __future__ import annotations

import random
import shutil
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from ocrhpi.backends.registry import create_backend
from ocrhpi.errors import ModelFormatError
from ocrhpi.export.convert import convert_paddle
from ocrhpi.model import load_model
from ocrhpi.model.graph_facts import read_graph_facts
from ocrhpi.model.parameters import check_parameters, check_part
from tests.conftest import needs_paddle2onnx
from tests.oracle import LETTERS, write_paddle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FLOAT32, INT64, UNKNOWN = 5, 3, 99
TINY = (4, 8 + 28 + 8 * 3 * 48 * 8 + 28 * 8)


def tensor(
    sizes: Sequence[int], data_type: int = FLOAT32, *, packed: bool = False, levels: Sequence[int] = ()
) -> bytes:
    """Return a tensor of zeros as Paddle writes it; sizes below 128."""
    description = bytes([0x08, data_type])
    description += bytes([0x12, len(sizes), *sizes]) if packed else b"".join(bytes([0x10, size]) for size in sizes)
    count = 1
    for size in sizes:
        count *= size
    told = b"".join(struct.pack("<Q", length) + bytes(length) for length in levels)
    head = struct.pack("<IQ", 0, len(levels)) + told + struct.pack("<Ii", 0, len(description))
    return head + description + bytes(count * {FLOAT32: 4, INT64: 8}.get(data_type, 1))


def check(tmp_path: Path, content: bytes, wanted: tuple[int, int] | None = None) -> None:
    file = tmp_path / "inference.pdiparams"
    file.write_bytes(content)
    check_parameters(file, tmp_path / "inference.json", wanted)


@pytest.fixture
def damaged_dir(tiny_dir: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(tiny_dir, tmp_path / "tiny")


def test_what_belongs_together_passes(v4_mobile_dir: Path, tiny_dir: Path) -> None:
    for graph, parameters in (
        (v4_mobile_dir / "inference.pdmodel", (234, 2_690_221)),
        (tiny_dir / "inference.json", TINY),
    ):
        assert read_graph_facts(graph).parameters == parameters
        check_parameters(graph.with_suffix(".pdiparams"), graph, parameters)


def test_both_formats_ask_for_the_same(tmp_path: Path) -> None:
    new = write_paddle(tmp_path / "new", LETTERS) / "inference.json"
    old = write_paddle(tmp_path / "old", LETTERS, old=True) / "inference.pdmodel"
    if not old.is_file():
        pytest.skip("this Paddle does not write the old format")
    assert read_graph_facts(new).parameters == read_graph_facts(old).parameters is not None


@pytest.mark.parametrize("missing", [1, 2, 800])
def test_a_file_that_was_cut_off_says_by_how_much(damaged_dir: Path, missing: int) -> None:
    file = damaged_dir / "inference.pdiparams"
    file.write_bytes(file.read_bytes()[:-missing])
    problem = rf"inference\.pdiparams: parameters: is {missing} bytes? shorter than its headers say; copy or fetch it"
    with pytest.raises(ModelFormatError, match=problem):
        create_backend("paddle", load_model(damaged_dir), "cpu").open()


@needs_paddle2onnx
def test_nor_is_it_converted(damaged_dir: Path, tmp_path: Path) -> None:
    file = damaged_dir / "inference.pdiparams"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelFormatError, match="1 byte shorter than its headers say"):
        convert_paddle(load_model(damaged_dir), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_that_ends_between_two_tensors(tmp_path: Path) -> None:
    one, two = tensor([3, 4]), tensor([5], INT64)
    check(tmp_path, one + two, (2, 17))
    check(tmp_path, one + two)
    with pytest.raises(
        ModelFormatError,
        match=r"holds 1 tensors of 12 numbers together, but inference\.json asks for 2 of 17; copy or fetch it again",
    ):
        check(tmp_path, one, (2, 17))
    for content in (one + one, one + two + one):
        with pytest.raises(ModelFormatError, match=r"but inference\.json asks for 2 of 17"):
            check(tmp_path, content, (2, 17))
    with pytest.raises(ModelFormatError, match="holds 0 tensors"):
        check(tmp_path, b"", (2, 17))
    check(tmp_path, b"")


def test_forms_that_paddle_writes_seldom(tmp_path: Path) -> None:
    check(tmp_path, tensor([]) + tensor([2, 3], packed=True) + tensor([4], levels=[16, 8]) + tensor([0, 7]), (4, 11))
    check(tmp_path, tensor([2]) + tensor([3], UNKNOWN), (2, 5))  # how long that is nobody knows


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        b"<html><body>not found</body></html>",
        b"\xff" * 64,
        tensor([2, 2])[:14],
        tensor([2, 2]) + b"\n",
        tensor([2, 2]).replace(b"\x08\x05", b"\x09\x05"),
        tensor([2, 2]).replace(b"\x10\x02", b"\x10\xff"),
        struct.pack("<IQ", 0, 1 << 60),
        struct.pack("<IQQ", 0, 1, 1 << 62),
        struct.pack("<IQIi", 0, 0, 0, -5) + bytes(9),
    ],
)
def test_what_is_no_file_of_parameters(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"inference\.pdiparams: parameters: .*; copy or fetch it again\.$"):
        check(tmp_path, content)


def test_flipped_bits_are_found_or_do_no_harm(tmp_path: Path) -> None:
    content = tensor([3, 4]) + tensor([5], INT64) + tensor([2, 2], levels=[8])
    rng = random.Random(0)
    for _ in range(500):
        flipped = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        with suppress(ModelFormatError):
            check(tmp_path, bytes(flipped), (3, 21))


def test_states_of_layers_are_not_in_the_file(tiny_dir: Path, tmp_path: Path) -> None:
    """Paddle keeps those of an LSTM in the graph alone."""
    program = (tiny_dir / "inference.json").read_text("utf-8")
    assert program.count('"#":"p"') + program.count('"#": "p"') == TINY[0]
    (tmp_path / "inference.json").write_text(program.replace('"OA":[1,0,1]', '"OA":[0,1,0]', 1), "utf-8")
    found = read_graph_facts(tmp_path / "inference.json").parameters
    assert found is not None
    assert found[0] == TINY[0] - 1


def test_a_part_of_a_file(tmp_path: Path) -> None:
    file, graph = tmp_path / "weights.bin", tmp_path / "m.onnx"
    file.write_bytes(bytes(100))
    for offset, length in ((0, 100), (60, 40), (0, 0), (100, 0)):
        check_part(file, graph, offset, length)
    with pytest.raises(ModelFormatError, match=r"weights\.bin: weights: is 1 byte shorter than m\.onnx asks for; copy"):
        check_part(file, graph, 61, 40)
    for offset, length in ((-1, 5), (5, -1)):
        with pytest.raises(ModelFormatError, match=r"m\.onnx: external_data: .*weights\.bin"):
            check_part(file, graph, offset, length)
