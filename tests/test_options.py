from __future__ import annotations

import pytest

from ocrhpi.errors import OptionError
from ocrhpi.options import Options, parse_options


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
