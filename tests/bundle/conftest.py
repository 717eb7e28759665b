"""The bundles that the tests of the runner use."""

from tests.edge.conftest import make_bundle, tiny_onnx

__all__ = ["make_bundle", "tiny_onnx"]
