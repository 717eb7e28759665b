from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from ocrhpi.errors import MissingExtra
from ocrhpi.integrations.paddlex.installation import TESTED, check_versions, has_paddleocr

ROOT = Path(__file__).parents[3]


def pretend(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize("minor", TESTED)
def test_tested_versions_are_taken(monkeypatch: pytest.MonkeyPatch, minor: str) -> None:
    pretend(monkeypatch, paddlex=f"{minor}.2", paddleocr=f"{minor}.0")
    check_versions()
    assert has_paddleocr()


def test_paddlex_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, paddlex="3.7.2")
    check_versions()
    assert not has_paddleocr()


@pytest.mark.parametrize(
    ("versions", "sentence"),
    [
        ({}, "PaddleX, on which PaddleOCR runs its models, is not installed"),
        ({"paddlex": "3.4.3", "paddleocr": "3.4.1"}, r"paddlex 3\.4\.3 is installed, .* inside 3\.5\.\*, .* only"),
        ({"paddlex": "3.70.0", "paddleocr": "3.7.0"}, r"paddlex 3\.70\.0 is installed"),
        ({"paddlex": "3.7.2", "paddleocr": "4.0"}, r"paddleocr 4\.0 is installed"),
    ],
)
def test_others_are_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], sentence: str
) -> None:
    pretend(monkeypatch, **versions)
    with pytest.raises(MissingExtra, match=sentence + r".*pip install 'ocrhpi\[paddleocr\]'"):
        check_versions()


def test_what_is_taken_is_what_is_tested_and_documented() -> None:
    assert f"set -- ray {' '.join(TESTED)}\n" in (ROOT / "scripts" / "test_applications").read_text("utf-8")
    table = (ROOT / "docs" / "paddleocr.md").read_text("utf-8")
    for minor in TESTED:
        assert f"\n| {minor}." in table
