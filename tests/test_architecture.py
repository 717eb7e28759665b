"""The arrows of the design: which room may import which, and how light the import is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ocrhpi

PACKAGE = Path(ocrhpi.__file__).parent
ENGINES = {"paddle", "paddle2onnx", "onnx", "onnxruntime", "openvino", "tensorrt", "pycuda", "torch", "ray"}

# room -> rooms it may import; every room may also import values, errors, options, what reads data files and writes
# files, and what puts things right after a fork
ARROWS = {
    "values": set(),
    "errors": set(),
    "options": set(),
    "data_files": set(),
    "yaml_files": set(),
    "files": set(),
    "forks": set(),
    "machine": set(),
    "paddlex_options": {"backends"},
    "hpi_config": {"backends", "paddlex_options", "tuning"},
    "tuner": {"backends", "export", "hpi_config", "machine", "model", "tuning", "__init__"},
    "parameters": set(),
    "graph_facts": {"parameters"},
    "model": {"graph_facts"},
    "catalog": {"cache", "graph_facts"},
    "recognition": set(),
    "backends": {"cache", "model", "machine", "graph_facts", "parameters"},
    "output": set(),
    "save_names": set(),
    "visualize": set(),
    "results": {"output", "visualize", "save_names"},
    "reading": {"recognition", "backends", "model"},
    "predictor": {"reading", "recognition", "backends", "model", "results", "save_names"},
    "assembly": {"candidate", "reading", "recognition", "backends", "export", "model", "quantization"},
    "quantization": {"backends", "cache", "export", "graph_facts", "model", "recognition"},
    "cache": set(),
    "export": {"backends", "cache", "graph_facts", "model", "parameters", "recognition"},
    "candidate": set(),
    "normal_mode": {"backends", "candidate", "model"},
    "workers": {"cache"},
    "tuning": {
        *("assembly", "backends", "cache", "candidate", "workers", "machine", "model", "quantization", "reading"),
        *("normal_mode", "recognition"),
    },
    "display": {"candidate", "tuning"},
    "bench": {"candidate", "catalog", "hpi_config", "machine", "model", "tuner", "tuning", "__init__"},
    "report": {"bench", "candidate", "catalog", "display", "tuning"},
    "evaluation": {"bench", "predictor", "reading", "recognition", "tuning"},
    "edge": {"backends", "machine", "output", "recognition"},
    "bundle": {
        *("assembly", "cache", "candidate", "catalog", "edge", "export", "graph_facts", "model", "reading", "tuning"),
        "__init__",
    },
    "reading_options": {"hpi_config", "model"},
    "loader": {
        *("assembly", "backends", "candidate", "catalog", "hpi_config", "model", "normal_mode", "predictor", "reading"),
        *("reading_options", "tuner", "tuning"),
    },
    "text_recognition": {
        *("backends", "display", "hpi_config", "loader", "paddlex_options", "predictor", "reading_options"),
        *("recognition", "results"),
    },
    "batch": {
        *("workers", "hpi_config", "loader", "machine", "model", "predictor", "reading", "reading_options"),
        *("recognition", "tuner", "tuning"),
    },
    "integrations": {
        *("backends", "batch", "cache", "display", "export", "hpi_config", "loader", "machine", "model", "reading"),
        *("reading_options", "recognition", "serving", "tuning"),
    },
    "serving": {
        *("backends", "loader", "predictor", "reading", "reading_options", "recognition", "tuning", "__init__"),
    },
    "cli": {
        *("text_recognition", "catalog", "backends", "loader", "results", "export", "tuning", "__init__"),
        *("bench", "display", "evaluation", "hpi_config", "report", "tuner", "bundle", "edge", "integrations"),
        *(
            "batch",
            "machine",
            "model",
            "normal_mode",
            "output",
            "quantization",
            "predictor",
            "reading_options",
            "serving",
        ),
    },
    "__main__": {"cli"},
    "__init__": {"backends", "loader", "predictor", "results", "text_recognition"},
}
COMMON = {"values", "errors", "options", "data_files", "yaml_files", "files", "forks"}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> list[str]:
    """All modules that a file imports, anywhere in it, type checking included."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.append(node.module or "")
    return found


def name(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    return ".".join(("ocrhpi", *relative.parts))


@pytest.mark.parametrize("path", modules(), ids=name)
def test_imports_follow_the_arrows(path: Path) -> None:
    room = room_of(name(path))
    assert room in ARROWS, f"{room} is a new room: give it its arrows here and in docs/design"
    allowed = ARROWS[room] | {room} | (COMMON if room not in COMMON - {"options"} else {"errors", "values"})
    for module in imports(path):
        if module.split(".")[0] == "ocrhpi":
            assert room_of(module) in allowed, f"{name(path)} may not import {module}"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_engines_are_imported_by_their_backend_alone_and_inside_functions(path: Path) -> None:
    own = {path.stem.removesuffix("_")} if path.parent.name in {"backends", "edge"} else set()
    if path.parent.name == "integrations":
        own = {"ray"}
    if path.parent.name == "paddlex" and path.stem == "graphs":
        own = {"onnxruntime", "openvino"}  # networks that read no text, which no backend takes (docs/decisions/0017)
    if own == {"tensorrt"}:
        own.add("pycuda")  # TensorRT leaves memory and streams to others
    if path.parent.name in {"export", "quantization"}:
        own = {"onnx", "onnxruntime"}  # to edit graphs and to probe their shapes; engines are run through backends
    assert {module.split(".")[0] for module in imports(path)} & ENGINES <= own
    top_level = [
        node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not {getattr(node, "module", "") or node.names[0].name for node in top_level} & ENGINES


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
def test_the_door_loads_no_engine_and_no_cv2(statement: str) -> None:
    program = LIGHT.format(statement=statement, heavy=ENGINES | {"cv2", "PIL", "requests", "pydantic"})
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
