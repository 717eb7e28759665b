"""Backends for batches: one that takes its time, one whose process is killed once, and one that ends its own."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.backends.registry import ENTRY_POINT_GROUP, BackendSpec
from ocrhpi.options import Options
from ocrhpi.testing import StripeBackend

if TYPE_CHECKING:
    from ocrhpi.backends.base import Effective
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths

MARKER = "OCRHPI_TEST_MARKER"
"""Environment variable with the path of a file that the first process to die makes."""


class Threaded(Options):
    threads: int | None = None


class Stripes(StripeBackend):
    name = "stripes"
    options_type = Threaded


class Slow(Stripes):
    name = "slow"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        time.sleep(0.01 * len(batch))
        return super()._run(batch, widths, contents, margin)


class DiesOnce(Stripes):
    """The first process that comes to its third batch is killed there."""

    name = "dies-once"
    batches = 0

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        self.batches += 1
        if self.batches < 3:
            return super()._run(batch, widths, contents, margin)
        try:
            Path(os.environ[MARKER]).touch(exist_ok=False)
        except FileExistsError:
            return super()._run(batch, widths, contents, margin)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Deadly(Stripes):
    name = "deadly"

    def _open(self) -> Effective:
        os._exit(7)


class Warns(Stripes):
    name = "warns"

    def _open(self) -> Effective:
        logging.getLogger("ocrhpi").warning("the engine is %s", "old")
        return super()._open()


def _spec(backend: type[StripeBackend]) -> BackendSpec:
    target = f"{backend.__module__}:{backend.__name__}"
    return BackendSpec(backend.name, target, ("numpy",), ("numpy",), f"pip install {backend.name}")


def install_plugins(site: Path) -> None:
    """Make a folder that, in the module search path, brings the backends of this module along."""
    info = site / "plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1.0\n")
    specs = ("STRIPES", "SLOW", "DIES_ONCE", "DEADLY", "WARNS")
    entries = [f"{name.lower().replace('_', '-')} = {__name__}:{name}" for name in specs]
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *entries]))


STRIPES, SLOW, DIES_ONCE, DEADLY, WARNS = map(_spec, (Stripes, Slow, DiesOnce, Deadly, Warns))
