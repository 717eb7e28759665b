"""The wheel ``ocrhpi-edge``."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ocrhpi
from ocrhpi.bundle.runner import EXTRAS, REQUIRES, runner_name, runner_wheel, write_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(ocrhpi.__file__).parent
ROOT = PACKAGE.parent


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of ocrhpi that a file imports when it runs, not for types alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ocrhpi"):
            yield node.module or ""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("ocrhpi"))
        waiting += ast.iter_child_nodes(node)


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_it_holds_what_the_runner_imports_and_no_more() -> None:
    waiting = set((PACKAGE / "edge").glob("*.py"))
    needed: set[Path] = set()
    while waiting:
        path = waiting.pop()
        needed.add(path)
        found = {file_of(module) for module in imported(path)}
        found |= {parent / "__init__.py" for file in found for parent in (file.parent, PACKAGE)}
        waiting |= found - needed
    with zipfile.ZipFile(io.BytesIO(runner_wheel())) as archive:
        held = {ROOT / name for name in archive.namelist() if name.endswith(".py")}
    assert held == needed


def test_the_same_package_makes_the_same_bytes() -> None:
    assert runner_wheel() == runner_wheel()


def test_pip_installs_and_uninstalls_it(tmp_path: Path) -> None:
    wheel = write_runner(tmp_path / "made")
    assert wheel.name == runner_name()
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run = subprocess.run(
        [*pip, "install", "--no-index", "--no-deps", "--no-compile", "--target", target, wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (target / "ocrhpi" / "edge" / "reader.py").read_bytes() == (PACKAGE / "edge" / "reader.py").read_bytes()
    assert (target / "bin" / "ocrhpi-edge").is_file() or sys.platform == "win32"
    listed = subprocess.run([*pip, "list", "--path", target], capture_output=True, text=True, check=True)
    assert f"ocrhpi-edge {ocrhpi.__version__}" in " ".join(listed.stdout.split())


def test_what_it_requires_is_what_the_full_package_requires() -> None:
    tomllib = pytest.importorskip("tomllib", reason="it is new in Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(REQUIRES) <= set(project["dependencies"])
    assert EXTRAS["arabic"] in project["dependencies"]
    for engine in ("onnxruntime", "openvino"):
        assert project["optional-dependencies"][engine] == [EXTRAS[engine]]
