"""Bundles that the whole of ocrhpi reads; tried with an engine that every machine has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ocrhpi.bundle.full_runtime import open_with_full_runtime
from ocrhpi.edge import open_bundle
from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.images import read_image
from ocrhpi.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("name", ["rec.zip", "rec"])
def test_the_expected_texts_are_read(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    with Bundle(make_bundle(name, target="tensorrt")) as bundle:
        assert bundle.config.engine == "tensorrt"
        bundle.config = replace(bundle.config, engine="onnxruntime")
        entries = bundle.calibration()
        whole = open_with_full_runtime(bundle)
        lines = whole.read([read_image(bundle.image(entry)) for entry in entries], 4)
        assert whole.engine.startswith("onnxruntime ")
        whole.close()
    assert [line.text for line in lines] == [entry.expected for entry in entries]
    assert (tmp_path / "cache" / "bundles").is_dir() == (name == "rec.zip")


def test_the_small_runner_says_what_it_lacks(make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(target="tensorrt")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with pytest.raises(BackendUnavailable, match=r"whole of ocrhpi.*pip install 'ocrhpi\[tensorrt\]'"):
        open_bundle(bundle)
