"""The fast lane, ``scripts/test --fast``: what needs no engine, for every save. Importing an engine is an error in it.

The other lanes are marks: ``slow``, and what is in no lane of its own.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    import pytest

ENGINES = frozenset({"onnxruntime", "openvino", "paddle", "paddle2onnx", "pycuda", "ray", "tensorrt", "torch"})

TESTS = Path(__file__).parent
NEED_ENGINES = (
    *("backends", "batch", "bench", "benchmarks", "bundle", "cli", "edge", "export", "integrations", "processes"),
    *("quantization", "workers", "catalog/test_concurrency.py", "catalog/test_wheels.py", "model/test_intake.py"),
    *("model/test_graph_facts.py", "model/test_parameters.py", "serving/test_app.py", "serving/test_loading.py"),
    *("reading/test_real_models.py", "tuning/test_measure.py", "tuning/test_passing.py"),
    *("test_high_performance.py", "test_loader.py", "test_model.py", "test_text_recognition.py"),
)
"""What needs engines, many processes or long, below the folder of the tests."""


class NoEngines(MetaPathFinder):
    """Lets engines be found, which costs nothing, and refuses to run them."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return what the other finders find, with a loader that refuses."""
        if fullname not in ENGINES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((one for one in found if one is not None), None)
        if spec is not None:
            spec.loader = self  # type: ignore[assignment]  # all that import asks of it
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Refuse.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{spec.name} is imported in the fast lane; add the test to NEED_ENGINES in tests/lanes.py")

    def exec_module(self, module: ModuleType) -> None:
        """Nothing comes to this."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--fast``."""
    parser.addoption("--fast", action="store_true", help="only what needs no engine; importing one is an error")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse engines, where asked."""
    if config.getoption("--fast"):
        sys.meta_path.insert(0, NoEngines())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Say of a file or folder that it is not of the lane; None leaves it to others."""
    left_out = config.getoption("--fast") and any(collection_path.is_relative_to(TESTS / one) for one in NEED_ENGINES)
    return True if left_out else None
