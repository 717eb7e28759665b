from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocrhpi import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of eight cores whose cgroup files are in the returned folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_CGROUP_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(machine, "_CGROUP_V1", (tmp_path / "quota", tmp_path / "period"))
    return tmp_path


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("9900000 100000", 8),
        ("", 8),
    ],
)
def test_quota_of_cgroup_v2(eight_cores: Path, content: str, cores: int) -> None:
    (eight_cores / "cpu.max").write_text(content)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("300000", 3)])
def test_quota_of_cgroup_v1(eight_cores: Path, quota: str, cores: int) -> None:
    (eight_cores / "quota").write_text(quota + "\n")
    (eight_cores / "period").write_text("100000\n")
    assert machine.usable_cores() == cores


def test_affinity_of_the_process(eight_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(eight_cores.iterdir())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert machine.usable_cores() == 2


def test_systems_without_affinity(eight_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(eight_cores.iterdir())
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert machine.usable_cores() == 4


def test_this_machine() -> None:
    assert 1 <= machine.usable_cores() <= (os.cpu_count() or 1)
