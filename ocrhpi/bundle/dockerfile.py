"""A recipe for a small image that holds a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.bundle.runner import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Sequence

# What OpenVINO's wheel holds besides its CPU plugin and the reader of ONNX: 73 of 178 MB, 2026.4 on x86-64.
_UNUSED_OF_OPENVINO = (
    "libopenvino_intel_gpu_plugin.so",
    "libopenvino_intel_npu_plugin.so",
    *(
        f"libopenvino_{name}_frontend.so*"
        for name in ("tensorflow", "tensorflow_lite", "pytorch", "paddle", "jax", "gguf")
    ),
    "cache.json",
)


def dockerfile(bundle: str, wheels: str, extras: Sequence[str], python: str, *, offline: bool) -> str:
    """Return a Dockerfile; the folder that holds bundle and wheels is its context.

    Args:
        bundle: Name of the bundle.
        wheels: Name of the folder of wheels, which holds at least the runner's.
        extras: Extras of the runner, such as ``onnxruntime``.
        python: Version of Python.
        offline: Whether the folder holds all wheels, so that the build needs no package index.
    """
    index = "--no-index " if offline else ""
    place = "/bundle.zip" if bundle.endswith(".zip") else "/bundle"
    return f"""# syntax=docker/dockerfile:1
FROM python:{python}-slim
RUN --mount=type=bind,source={wheels},target=/wheels \\
    pip install --no-cache-dir {index}--find-links /wheels '{DISTRIBUTION}[{",".join(extras)}]'{_slimming(extras)}
COPY {bundle} {place}
RUN useradd --create-home reader
USER reader
ENTRYPOINT ["python", "-m", "ocrhpi.edge", "{place}"]
"""


def _slimming(extras: Sequence[str]) -> str:
    """Return what the step that installs also does, so that the layer never holds what is not used."""
    if "openvino" not in extras:
        return ""
    patterns = " ".join(_UNUSED_OF_OPENVINO)
    return f""" \\
    && cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/openvino/libs" \\
    && rm -f {patterns}"""
