"""Third-party backends, one for each thing that can go wrong; all but the wrong ones read the same text."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ocrhpi.backends.registry import BackendSpec
from ocrhpi.options import Options
from ocrhpi.testing import StripeBackend

if TYPE_CHECKING:
    from ocrhpi.backends.base import Effective
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths


DARK = 0.0  # mean of a line's tensor, padding included
SHORT = 40  # columns of a line's tensor that are not padding; the narrowest calibration line has 72


class Paced(StripeBackend):
    """Takes so many milliseconds a line."""

    name = "paced"
    ms = 4.0

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        time.sleep(self.ms * len(batch) / 1e3)
        return super()._run(batch, widths, contents, margin)


class Normal(Paced):
    name = "normal"


class Quick(Paced):
    name = "quick"
    ms = 1.0


class Slow(Paced):
    name = "slow"
    ms = 9.0


class Segfault(Paced):
    name = "segfault"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        ctypes.string_at(0)
        return super()._run(batch, widths, contents, margin)


class Hang(Paced):
    name = "hang"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        time.sleep(600)
        return super()._run(batch, widths, contents, margin)


class Exits(Paced):
    name = "exits"

    def _open(self) -> Effective:
        os._exit(7)


class WrongText(Quick):
    name = "wrong"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        emissions = super()._run(batch, widths, contents, margin)
        indices = emissions.indices.copy()
        indices[:, 5:] = np.where(indices[:, 5:] > 1, indices[:, 5:] - 1, indices[:, 5:])
        return replace(emissions, indices=indices)


class SilentlyLow(Quick):
    """Says FP32, and its probabilities say otherwise."""

    name = "silent"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        emissions = super()._run(batch, widths, contents, margin)
        return replace(emissions, probs=emissions.probs + np.float32(0.01))


class HonestlyLow(Quick):
    name = "honest"

    def _open(self) -> Effective:
        return replace(super()._open(), precision="bf16")


class RoughOptions(Options):
    precision: Literal["fp32", "bf16"] = "fp32"


class Moody(Quick):
    """What it reads depends on the lines beside: the first one of several is read otherwise. It never hesitates."""

    name = "moody"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        emissions = super()._run(batch, widths, contents, margin)
        indices = emissions.indices.copy()
        if len(batch) > 1:
            indices[0, 5] = indices[0, 5] % 3 + 4
        return replace(emissions, indices=indices)


class Swaying(Moody):
    """The same in a low precision, of which that may be expected; as sure of it as can be."""

    name = "swaying"
    options_type = RoughOptions
    options: RoughOptions

    def _open(self) -> Effective:
        return replace(super()._open(), precision=self.options.precision)

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        emissions = super()._run(batch, widths, contents, margin)
        return replace(emissions, probs=np.full_like(emissions.probs, 0.99))


class Compiles(Quick):
    """Takes its time for every shape that it has not met yet."""

    name = "compiles"
    seconds = 0.03

    def _open(self) -> Effective:
        self._met: set[tuple[int, ...]] = set()
        return super()._open()

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        if batch.shape not in self._met:
            self._met.add(batch.shape)
            time.sleep(self.seconds)
        return super()._run(batch, widths, contents, margin)


class Rough(Quick):
    """Of low precision and quick; reads dark lines otherwise, and hesitates there."""

    name = "rough"
    options_type = RoughOptions
    options: RoughOptions

    def _open(self) -> Effective:
        return replace(super()._open(), precision=self.options.precision)

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        emissions = super()._run(batch, widths, contents, margin)
        dark = batch.mean(axis=(1, 2, 3)) < DARK
        indices = emissions.indices.copy()
        indices[dark, 5] = indices[dark, 5] % 3 + 4
        probs = np.where(dark[:, None], np.float32(0.55), np.float32(0.99)) * np.ones_like(emissions.probs)
        return replace(emissions, indices=indices, probs=probs)


class Hasty(Rough):
    """The same, but what is narrower than any line of the calibration lines it reads otherwise without hesitating."""

    name = "hasty"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        emissions = super()._run(batch, widths, contents, margin)
        short = (batch != 0).any(axis=(1, 2)).sum(axis=1) < SHORT
        indices = emissions.indices.copy()
        indices[short, 5] = indices[short, 5] % 3 + 4
        return replace(emissions, indices=indices)


BACKENDS = (
    *(Normal, Quick, Slow, Segfault, Hang, Exits, WrongText, SilentlyLow, HonestlyLow),
    *(Moody, Swaying, Compiles, Rough, Hasty),
)


def _spec(backend: type[Paced]) -> BackendSpec:
    target = f"tests.tuning.plugins:{backend.__name__}"
    return BackendSpec(backend.name, target, ("numpy",), ("numpy",), f"pip install {backend.name}")


SPECS = {backend.name: _spec(backend) for backend in BACKENDS}
NORMAL, QUICK, SLOW, SEGFAULT, HANG, EXITS, WRONG, SILENT, HONEST, MOODY, SWAYING, COMPILES, ROUGH, HASTY = (
    SPECS.values()
)
