"""What a bundle can be made for."""

from __future__ import annotations

from dataclasses import dataclass

from ocrhpi.errors import OptionError, nearest

# pip takes a wheel for any of the tags it is given; glibc 2.28 is that of Debian 10, RHEL 8 and all that came later.
_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
_BUCKETS = (320, 480, 640, 960, 1280, 1920, 3200)


@dataclass(frozen=True)
class Target:
    """One kind of device.

    Attributes:
        name: As the command line calls it.
        engine: The backend of ocrhpi that reads there.
        architecture: Machine, as the tags of wheels spell it.
        small: Whether the small runner reads it; if not, the whole of ocrhpi is needed there.
        stand_in: The backend that makes the graph and reads the expected texts here, where it is not the engine's.
        buckets: Widths in pixels that lines are padded up to, for an engine that wants a few fixed shapes.
        pixels: Whether the graph normalises, see `ocrhpi.candidate.Candidate`.
        batch_size: Lines of base width that make one batch, where nobody says.
    """

    name: str
    engine: str
    architecture: str = "x86_64"
    small: bool = True
    stand_in: str | None = None
    buckets: tuple[int, ...] = ()
    pixels: bool = False
    batch_size: int = 1

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of the wheels that run there, best first."""
        return tuple(f"{tag}_{self.architecture}" for tag in _MANYLINUX)


TARGETS = {
    target.name: target
    for target in (
        Target("openvino-cpu", "openvino"),
        Target("onnxruntime-cpu", "onnxruntime"),
        Target("onnxruntime-arm64", "onnxruntime", "aarch64"),
        # Its engine is built on the device at the first start, for the GPU that is there. As backend_configs has it.
        Target(
            "tensorrt",
            "tensorrt",
            small=False,
            stand_in="onnxruntime",
            buckets=_BUCKETS,
            pixels=True,
            batch_size=16,
        ),
    )
}
"""All targets, by name."""


def target_of(name: str) -> Target:
    """Return the target ``name``.

    Raises:
        OptionError: There is none.
    """
    if name not in TARGETS:
        problem = f"received {name!r}; known are {', '.join(TARGETS)}.{nearest(name, TARGETS)}"
        raise OptionError("target", problem)
    return TARGETS[name]
