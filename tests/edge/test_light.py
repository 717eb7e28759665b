"""The runner alone: what it imports, and that it needs no more than numpy, Pillow and one engine."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from ocrhpi.bundle.runner import write_runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What a device does not have is refused, whoever asks for it; {allowed} is the engine.
PROGRAM = """
import sys

ALLOWED = {{"numpy", "PIL", "ocrhpi", *sys.stdlib_module_names, *{allowed}}}

class OnADevice:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and not top.startswith("_"):
            raise ImportError(f"{{name}} is not on this device")

sys.path.insert(0, {wheel!r})
sys.meta_path.insert(0, OnADevice())
from ocrhpi.edge.__main__ import main
import ocrhpi
assert ocrhpi.__file__.startswith({wheel!r}), ocrhpi.__file__
status = main([{bundle!r}, {image!r}])
loaded = {{module.partition(".")[0] for module in sys.modules}}
assert not loaded & {{"cv2", "pydantic", "yaml", "click", "onnx", "paddle", "bidi", "requests"}}, loaded
sys.exit(status)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's wheel, unpacked as pip would."""
    wheel = write_runner(tmp_path_factory.mktemp("wheel"))
    target = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("onnxruntime-cpu", ["onnxruntime", "flatbuffers", "google", "packaging", "coloredlogs", "humanfriendly"]),
        ("openvino-cpu", ["openvino", "openvino_telemetry"]),
    ],
)
def test_a_bundle_is_read_by_the_wheel_alone(
    make_bundle: Callable[..., Path], installed: Path, lines_dir: Path, tmp_path: Path, target: str, allowed: list[str]
) -> None:
    image = min(lines_dir.glob("*.png"))
    program = PROGRAM.format(
        allowed=allowed, wheel=str(installed), bundle=str(make_bundle(target=target)), image=str(image)
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_importing_the_runner_loads_no_engine_and_no_pillow(installed: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import ocrhpi.edge; "
        "heavy = {'onnxruntime', 'openvino', 'PIL', 'cv2', 'pydantic', 'zipfile', 'argparse', 'concurrent'}; "
        "found = heavy & {name.partition('.')[0] for name in sys.modules}; sys.exit(f'{found}' if found else 0)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
