from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from ocrhpi.errors import OptionError
from ocrhpi.options import DeviceName, Options, PathText, parse_options, plain


class Sample(Options):
    threads: int = 1
    mode: str | None = None


def test_good_options() -> None:
    assert parse_options(Sample, {"threads": 2}) == Sample(threads=2)


def test_unknown_name_lists_the_known_and_suggests_the_nearest() -> None:
    with pytest.raises(
        OptionError, match=r"'thread': unknown; known options are mode, threads\. Did you mean 'threads'"
    ):
        parse_options(Sample, {"thread": 2})


@pytest.mark.parametrize("value", ["2", 2.0, None, [2]])
def test_values_are_not_coerced(value: object) -> None:
    with pytest.raises(OptionError, match="option 'threads': received"):
        parse_options(Sample, {"threads": value})


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample().threads = 3


class Whole(Options):
    count: int = 1
    share: float = 0.5
    on: bool = False
    name: str = "a"
    sizes: tuple[int, ...] = ()
    nested: dict[str, Any] = Field(default_factory=dict)
    inner: Sample = Sample()


def test_values_of_numpy_are_those_of_python() -> None:
    given = {
        "count": np.int64(4),
        "share": np.float32(0.25),
        "on": np.bool_(1),
        "name": np.str_("b"),
        "sizes": (np.int32(3), np.uint8(48)),
        "nested": {"list": [np.int16(1), {"deep": np.array([1, 2])}]},
        "inner": {"threads": np.uint32(2)},
    }
    options = parse_options(Whole, given)
    assert options == Whole(
        count=4,
        share=0.25,
        on=True,
        name="b",
        sizes=(3, 48),
        nested={"list": [1, {"deep": [1, 2]}]},
        inner=Sample(threads=2),
    )
    assert [type(value) for value in (options.count, options.on, options.sizes[0], options.name)] == [
        int,
        bool,
        int,
        str,
    ]
    assert options.model_fields_set == set(given)


@pytest.mark.parametrize("value", [np.bool_(1), np.float64(4.0), np.float32(4.5), np.array(4.5), np.array([4]), True])
def test_kinds_of_values_are_not_mixed(value: object) -> None:
    with pytest.raises(OptionError, match="option 'count': received"):
        parse_options(Whole, {"count": value})


def test_what_is_not_numpys_stays_as_it_is() -> None:
    class Named(tuple[int, ...]):
        __slots__ = ()

    values = [Named((1,)), Path("x"), None, {1}, b"x"]
    assert all(one is two for one, two in zip(plain(values), values, strict=True))


def test_numpy_is_not_loaded_to_look_for_its_values() -> None:
    program = "import sys; from ocrhpi.options import plain; plain([1, {}]); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


class Somewhere(os.PathLike[str]):
    def __fspath__(self) -> str:
        return "some/where"


def test_paths_and_devices_as_people_give_them() -> None:
    class Places(Options):
        place: PathText | None = None
        device: DeviceName | None = None

    assert [parse_options(Places, {"place": one}).place for one in ("a", Path("a/b"), Somewhere(), None)] == [
        "a",
        str(Path("a/b")),
        "some/where",
        None,
    ]
    assert [parse_options(Places, {"device": one}).device for one in ("CPU", " GPU:0 ", "gpu:1")] == [
        "cpu",
        "gpu:0",
        "gpu:1",
    ]
    for wrong in ({"place": ""}, {"place": 3}, {"device": 0}):
        with pytest.raises(OptionError, match=f"option '{next(iter(wrong))}': received"):
            parse_options(Places, wrong)
