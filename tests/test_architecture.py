"""The arrows of the design: which room may import which, and how light the import is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ocrhpi

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

PACKAGE = Path(ocrhpi.__file__).parent
ENGINES = {"paddle", "paddle2onnx", "onnx", "onnxruntime", "openvino", "tensorrt", "pycuda", "torch", "ray"}

# room -> rooms it may import; every room may also import values, errors, options, what reads data files and writes
# files, and what puts things right after a fork
ARROWS = {
    "_version": set(),
    "closing": set(),
    "values": set(),
    "errors": set(),
    "options": set(),
    "data_files": set(),
    "yaml_files": set(),
    "files": set(),
    "forks": set(),
    "machine": set(),
    "cache": set(),
    "workers": {"cache"},
    "measuring": set(),
    "model": set(),
    "catalog": {"cache", "model"},
    "recognition": set(),
    "engines": set(),
    "backends": {"cache", "engines", "machine", "model"},
    "testing": {"backends", "model"},
    "config": {"backends", "model"},
    "output": set(),
    "results": {"output"},
    "reading": {"backends", "model", "recognition"},
    "predictor": {"backends", "model", "reading", "recognition", "results"},
    "export": {"backends", "cache", "model", "recognition", "workers"},
    "quantization": {"backends", "cache", "export", "model", "recognition"},
    "assembly": {"backends", "config", "export", "model", "quantization", "reading", "recognition"},
    "tuning": {
        *("assembly", "backends", "cache", "config", "machine", "measuring", "model", "quantization", "reading"),
        *("recognition", "workers"),
    },
    "tuner": {"backends", "config", "export", "machine", "model", "tuning"},
    "loader": {"assembly", "backends", "catalog", "config", "model", "predictor", "reading", "tuner", "tuning"},
    "bench": {"catalog", "config", "machine", "model", "tuner", "tuning"},
    "evaluation": {"bench", "predictor", "reading", "recognition", "tuning"},
    "report": {"bench", "catalog", "config", "evaluation", "measuring", "tuning"},
    "text_recognition": {"backends", "config", "loader", "predictor", "recognition", "report", "results"},
    "edge": {"backends", "engines", "machine", "output", "recognition"},
    "bundle": {"assembly", "cache", "catalog", "config", "edge", "export", "model", "reading", "tuning"},
    "batch": {
        *("config", "loader", "machine", "model", "predictor", "reading", "recognition", "tuner", "tuning", "workers"),
    },
    "serving": {"backends", "config", "loader", "predictor", "reading", "recognition", "tuning"},
    "integrations": {
        *("backends", "batch", "cache", "config", "engines", "export", "loader", "machine", "measuring", "model"),
        *("reading", "recognition", "report", "serving", "tuning"),
    },
    "cli": {
        *("backends", "batch", "bench", "bundle", "catalog", "config", "edge", "evaluation", "export", "integrations"),
        *("loader", "machine", "model", "output", "predictor", "quantization", "report", "results", "serving"),
        *("text_recognition", "tuner", "tuning"),
    },
    "__main__": {"cli"},
    "__init__": {"_version", "backends", "loader", "predictor", "results", "text_recognition"},
}
COMMON = {"_version", "closing", "values", "errors", "options", "data_files", "yaml_files", "files", "forks"}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> list[str]:
    """All modules that a file imports, anywhere in it: for type checking, and by string, too."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.append(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += _IN_STRINGS.findall(node.value)
            whole = _MODULE.fullmatch(node.value)
            found += [whole[1]] if whole and exists(whole[1]) else []
    return found


_IN_STRINGS = re.compile(r"^\s*(?:from|import) (ocrhpi[\w.]*)", re.MULTILINE)
_MODULE = re.compile(r"(ocrhpi(?:\.\w+)+)(?::\w+)?")


def exists(module: str) -> bool:
    place = PACKAGE.parent.joinpath(*module.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def name(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    return ".".join(("ocrhpi", *relative.parts))


def test_imports_follow_the_arrows() -> None:
    faults = []
    for path in modules():
        room = room_of(name(path))
        assert room in ARROWS, f"{room} is a new room: give it its arrows here"
        allowed = ARROWS[room] | {room} | (COMMON if room not in COMMON - {"options"} else {"errors", "values"})
        own = [module for module in imports(path) if module.split(".")[0] == "ocrhpi"]
        faults += [f"{name(path)} may not import {module}" for module in own if room_of(module) not in allowed]
    assert not faults


def test_no_module_is_reached_from_what_it_imports() -> None:
    """For type checking, too: what is described together belongs together."""
    paths = {name(path).removesuffix(".__init__"): path for path in modules()}
    graph = {module: {one for one in imported(path) if one in paths} - {module} for module, path in paths.items()}
    assert not [module for module in graph if module in _reached(graph, module)]


def imported(path: Path) -> set[str]:
    """Modules that a file imports by statement, those of ``from package import module`` included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names if exists(f"{node.module}.{alias.name}")}
            found |= members or {node.module}
    return found


def _reached(graph: Mapping[str, AbstractSet[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        more = graph[waiting.pop()] - reached
        reached |= more
        waiting += more
    return reached


def own_engines(path: Path) -> set[str]:
    """The engines that a file may import."""
    own = {path.stem.removesuffix("_")} if path.parent.name in {"backends", "engines"} else set()
    if path.parent.name == "integrations":
        own = {"ray"}
    if own == {"tensorrt"}:
        own.add("pycuda")  # TensorRT leaves memory and streams to others
    if path.parent.name in {"export", "quantization"}:
        own = {"onnx", "onnxruntime"}  # to edit graphs and to probe their shapes; engines are run through backends
    return own


def test_engines_are_imported_by_their_backend_alone_and_inside_functions() -> None:
    faults = []
    for path in modules():
        foreign = ({module.split(".")[0] for module in imports(path)} & ENGINES) - own_engines(path)
        body = ast.parse(path.read_text("utf-8")).body
        top_level = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        early = {getattr(node, "module", "") or node.names[0].name for node in top_level} & ENGINES
        faults += [f"{name(path)} imports {sorted(foreign | early)}"] if foreign | early else []
    assert not faults


LIGHT = """
import sys
{statement}
heavy = {heavy} & {{module.split(".")[0] for module in sys.modules}}
sys.exit(f"loaded {{sorted(heavy)}}" if heavy else 0)
"""


@pytest.mark.parametrize(
    "statement",
    ["import ocrhpi", "from ocrhpi.cli import main; main(['--help'], standalone_mode=False)"],
    ids=["import ocrhpi", "ocrhpi --help"],
)
def test_importing_it_loads_no_engine_and_no_cv2(statement: str) -> None:
    program = LIGHT.format(statement=statement, heavy=ENGINES | {"cv2", "PIL", "requests", "pydantic"})
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
