from __future__ import annotations

import json
import os
import subprocess
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


X86 = """processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu avx2 avx512f avx512_bf16 unheard_of

processor\t: 1
model name\t: another
flags\t\t: amx_int8
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n"
DRIVER = "NVRM version: NVIDIA UNIX {} 550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12.2.0\n"


@pytest.fixture
def empty_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host that says nothing; what it should say goes into the returned folder."""
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path / "nvidia")
    monkeypatch.setattr(machine, "_DEVICES", tmp_path / "dev")
    folders = ("lib", "wsl", "System32")
    monkeypatch.setattr(machine, "_DRIVER_FOLDERS", tuple(tmp_path / name for name in folders))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "_CGROUP_MEMORY", (tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4_000_000}.__getitem__, raising=False)
    return tmp_path


def test_cpu_of_x86(empty_host: Path) -> None:
    (empty_host / "cpuinfo").write_text(X86)
    found = machine.describe_machine()
    assert found["cpu"] == "AMD EPYC (family 25, model 17, stepping 1)"
    assert found["cpu_flags"] == ["avx2", "avx512f", "avx512_bf16"]


def test_cpu_of_arm(empty_host: Path) -> None:
    (empty_host / "cpuinfo").write_text(ARM)
    found = machine.describe_machine()
    assert found["cpu"] == "ARM implementer 0x41 part 0xd0c"
    assert found["cpu_flags"] == ["asimd", "sve"]


@pytest.mark.parametrize(
    ("file", "content", "gib"),
    [
        ("memory.max", "max\n", 15),
        ("memory.max", f"{2 << 30}\n", 2),
        ("memory.max", "", 15),
        ("memory.limit_in_bytes", "9223372036854771712\n", 15),
        ("memory.limit_in_bytes", f"{3 << 30}\n", 3),
    ],
)
def test_memory_is_that_of_the_machine_or_its_cgroup(empty_host: Path, file: str, content: str, gib: int) -> None:
    (empty_host / file).write_text(content)
    assert machine.describe_machine()["memory_gib"] == gib


@pytest.mark.parametrize("kernel_module", ["x86_64 Kernel Module ", "Open Kernel Module for x86_64 "])
def test_gpus(empty_host: Path, kernel_module: str) -> None:
    for number, model in enumerate(["NVIDIA H200", "NVIDIA L4"]):
        folder = empty_host / "nvidia" / "gpus" / f"0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 78\nGPU UUID: \t GPU-{number}\n")
    (empty_host / "nvidia" / "version").write_text(DRIVER.format(kernel_module))
    found = machine.describe_machine()
    assert found["gpus"] == ["NVIDIA H200", "NVIDIA L4"]
    assert found["gpu_driver"] == "550.54.15"


def test_gpus_of_a_container_that_has_their_devices_alone(empty_host: Path) -> None:
    (empty_host / "dev").mkdir()
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "nvidia0x"):
        (empty_host / "dev" / name).touch()
    (empty_host / "lib").mkdir()
    for name in ("libcuda.so", "libcuda.so.1", "libcuda.so.580.65.06"):
        (empty_host / "lib" / name).touch()
    found = machine.describe_machine()
    assert found["gpus"] == ["NVIDIA GPU", "NVIDIA GPU"]
    assert found["gpu_driver"] == "580.65.06"


@pytest.mark.parametrize(("folder", "name"), [("wsl", "libcuda.so.1"), ("System32", "nvcuda.dll")])
def test_a_gpu_that_the_drivers_library_alone_tells_of(empty_host: Path, folder: str, name: str) -> None:
    (empty_host / folder).mkdir()
    (empty_host / folder / name).touch()
    found = machine.describe_machine()
    assert found["gpus"] == ["NVIDIA GPU"]
    assert found["gpu_driver"] is None


def test_a_drivers_library_without_a_gpu_is_no_gpu(empty_host: Path) -> None:
    (empty_host / "lib").mkdir()
    (empty_host / "lib" / "libcuda.so.1").touch()
    (empty_host / "lib" / "libcuda.so.580.65.06").touch()
    found = machine.describe_machine()
    assert (found["gpus"], found["gpu_driver"]) == ([], None)


@pytest.mark.parametrize("visible", ["", "1", "GPU-8932f937"])
def test_which_gpus_cuda_shows_is_told_as_it_stands(
    empty_host: Path, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    assert not list(empty_host.iterdir())
    assert machine.describe_machine()["gpu_visible"] is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.describe_machine()["gpu_visible"] == visible


def test_a_host_that_says_nothing_or_nonsense(empty_host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setenv("PROCESSOR_IDENTIFIER", "Some CPU")
    expected: dict[str, object] = {
        "cpu": "Some CPU",
        "cpu_flags": [],
        "memory_gib": None,
        "gpus": [],
        "gpu_driver": None,
        "gpu_visible": None,
    }
    assert machine.describe_machine().items() >= expected.items()
    (empty_host / "cpuinfo").write_bytes(b"\xff\xfe" * 9999)
    (empty_host / "nvidia" / "version").mkdir(parents=True)
    (empty_host / "memory.max").write_bytes(b"\xff")
    assert machine.describe_machine().items() >= expected.items()


def test_the_description_is_plain_and_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refused)
    monkeypatch.setattr(os, "system", refused)
    found = machine.describe_machine()
    assert json.loads(json.dumps(found)) == found
    assert found["usable_cores"] == machine.usable_cores()
    assert found["cpu"]
