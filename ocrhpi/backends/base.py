"""The contract of a backend: one engine that turns a batch of lines into emissions.

Authors write ``_open``, ``_run`` and ``_close``. The public methods check state, dtype and shape, keep the
promise about threads, and turn the engine's own exceptions into ours, once and for all backends.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from ocrhpi.backends.device import Device, parse_device
from ocrhpi.backends.guest import as_it_was
from ocrhpi.closing import Closing
from ocrhpi.errors import BackendClosed, BackendError, BatchError, ModelFormatError, OcrhpiError
from ocrhpi.forks import end_without_destructors, never_free, notice_fork, renew_in_children, without_forks
from ocrhpi.options import Options, parse_options
from ocrhpi.values import Emissions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from ocrhpi.model import Model
    from ocrhpi.values import Contents, NetworkInput, Probabilities, Widths

# How lines begin that engines put before the one that tells.
_NOISE = ("---", "C++ Traceback", "Error Message Summary", "Exception from", "In user code:")


@dataclass(frozen=True)
class Effective:
    """What really runs, asked of the engine after loading, not copied from the request.

    Attributes:
        backend: Name of the backend.
        engine_version: Version of the engine's library.
        device: The device in use, ``cpu`` or ``gpu:INDEX``.
        precision: Precision of the arithmetic, ``fp32``, ``fp16``, ``bf16`` or ``int8``.
        threads: CPU threads the engine computes with; 0 where it computes on another device.
        settings: Engine settings in force.
        notes: Deviations from what was asked for, and why, as sentences.
    """

    backend: str
    engine_version: str
    device: str
    precision: str
    threads: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Backend(Closing):
    """One engine holding one model.

    A backend goes from new to open to closed, once. ``run`` may be called from many threads; calls beyond
    ``parallel_requests`` wait. It is a context manager: entering opens, leaving closes.

    In a process that was forked from the one that opened it, it opens an engine of its own at the first ``run``; there,
    the parent's is neither run nor closed.

    Args:
        model: The model to run.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the backend choose.
        options: Engine options by name; checked against the backend's ``Options``.

    Raises:
        OptionError: An option is unknown or does not fit.
    """

    name: ClassVar[str]
    """Name in the registry."""
    options_type: ClassVar[type[Options]] = Options
    """The options this backend takes."""
    foreign_errors: ClassVar[tuple[type[Exception], ...]] = (
        RuntimeError,
        ValueError,
        TypeError,
        OSError,
        MemoryError,
    )
    """Exceptions of the engine that become `BackendError`."""

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        self.model = model
        self.device: Device | None = None if device is None else parse_device(device)
        self.options = parse_options(self.options_type, options or {})
        self._asked = device, options
        self._state = "new"
        self._effective: Effective | None = None
        self._slots = threading.BoundedSemaphore(self.parallel_requests)
        self._inherited = False  # whether the engine is that of the process that this one was forked from
        self._opening = threading.Lock()
        renew_in_children(self)

    @property
    def parallel_requests(self) -> int:
        """How many ``run`` calls the engine works on at the same time; the others wait."""
        return 1

    @property
    def masked(self) -> bool:
        """Whether the loaded graph is width-masked: `run` then needs the exact width of every line."""
        return False

    @property
    def takes_pixels(self) -> bool:
        """Whether the loaded graph normalises: `run` then takes pixels and how many columns of each line hold them."""
        return False

    @property
    def effective(self) -> Effective:
        """What really runs.

        Raises:
            BackendClosed: The backend was never opened.
        """
        if self._effective is None:
            raise BackendClosed(self.name, self._state)
        return self._effective

    def open(self) -> Self:
        """Load the model into the engine.

        Raises:
            BackendUnavailable: The engine's library is not installed.
            BackendMismatch: The engine did not take the device or a setting asked for.
            ModelError: The model lacks the files this engine reads.
            BackendError: The engine failed, or the backend was opened before.
        """
        if self._state != "new":
            raise BackendError(self.name, f"open() was called on a backend that is {self._state}")
        end_without_destructors()
        try:
            with without_forks(), as_it_was():
                self._effective = self._open()
        except OcrhpiError:
            raise
        except self.foreign_errors as error:
            raise BackendError(self.name, f"could not load {self.model.path}: {_first_line(error)}") from error
        self._state = "open"
        return self

    def run(
        self,
        batch: NetworkInput,
        widths: Widths | None = None,
        contents: Contents | None = None,
        *,
        margin: float = 0.0,
    ) -> Emissions:
        """Read one batch.

        Args:
            batch: (N, C, H, W), float32, N >= 1, C and H of the model's input spec, W >= 1; for a graph that
                normalises (N, H, W, C), uint8.
            widths: (N,), int32, for a width-masked graph only: the exact width of each line in pixels, from 1
                to W. Columns beyond it have no effect, and time steps beyond it are blank.
            contents: (N,), int32, for a graph that normalises only: how many columns of each line hold its pixels,
                from 1 to W; the others become 0.
            margin: Also find the near-ties within this margin of probability, where the graph leaves the reduction to
                the host; 0 looks for none.

        Returns:
            Emissions of (N, T), owned by the caller: the engine never writes to them again.

        Raises:
            BackendClosed: The backend is not open, or is open on a GPU in the process that this one was forked from.
            BatchError: Wrong dtype or shape.
            ModelFormatError: The network has another number of classes than the vocabulary.
            BackendError: The engine failed, or its probabilities are no numbers.
        """
        notice_fork()
        self._check(batch)
        self._check_columns(batch, "widths", widths, wanted=self.masked)
        self._check_columns(batch, "contents", contents, wanted=self.takes_pixels)
        with self._slots, without_forks():
            if self._state != "open":
                raise BackendClosed(self.name, self._state)
            if self._inherited:
                self._open_here()
            try:
                whole = cast("NetworkInput", np.ascontiguousarray(batch))
                emissions = self._run(whole, widths, contents, margin)
            except OcrhpiError:
                raise
            except self.foreign_errors as error:
                problem = f"could not run a batch of shape {batch.shape}: {_first_line(error)}"
                raise BackendError(self.name, problem) from error
        if len(emissions.indices) != len(batch):  # of another batch, and so the text of other lines
            raise BackendError(self.name, f"received {len(batch)} lines and gave {len(emissions.indices)}")
        if emissions.indices.size and emissions.indices.max() >= len(self.model.labels):
            raise self._classes_error(f"class {emissions.indices.max()} and above")
        if not emissions.finite:
            raise self._not_finite()
        return emissions

    def close(self) -> None:
        """Release the engine once all running calls have ended. Closing twice is fine."""
        notice_fork()
        for _ in range(self.parallel_requests):
            self._slots.acquire()
        try:
            if self._state == "open" and not self._inherited:
                with without_forks():
                    self._close()
            self._state = "closed"
        finally:
            for _ in range(self.parallel_requests):
                self._slots.release()

    def renew_after_fork(self) -> None:
        """Leave the engine alone in a forked child: its threads are the parent's, and freeing it waits for them."""
        self._slots = threading.BoundedSemaphore(self.parallel_requests)
        self._opening = threading.Lock()
        if self._state == "open":
            self._inherited = True
            never_free(dict(self.__dict__))

    def _open_here(self) -> None:
        """Open an engine of this process in the place of the one that it inherited."""
        with self._opening:
            if not self._inherited:  # another thread was first
                return
            ran_on, (device, options) = self.effective.device, self._asked
            if ran_on != "cpu":  # no driver of a GPU works in a child of a process that has used it
                raise BackendClosed(self.name, f"open on {ran_on} in the process that this one was forked from")
            # As a whole: only the backend itself knows which of its attributes belong to the engine.
            own = type(self)(self.model, device or ran_on, options).open()
            ours = ("_slots", "_opening", "_inherited")
            self.__dict__.update({name: value for name, value in own.__dict__.items() if name not in ours})
            self._inherited = False

    def __enter__(self) -> Self:
        return self.open()

    @abstractmethod
    def _open(self) -> Effective:
        """Load the model and say what really runs."""

    @abstractmethod
    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        """Run a checked, C-contiguous batch; return arrays that the engine will not write to again.

        ``widths`` is given if, and only if, the graph is `masked`; ``contents`` if, and only if, it `takes_pixels`.
        ``margin`` is for `_reduce`.
        """

    @abstractmethod
    def _close(self) -> None:
        """Drop everything that holds memory."""

    def _reduce(self, probabilities: Probabilities, margin: float) -> Emissions:
        """Reduce full network output, (N, T, classes), to emissions; for backends whose graph does not."""
        if probabilities.ndim != 3 or probabilities.shape[-1] != len(self.model.labels):  # noqa: PLR2004
            raise self._classes_error(f"output of shape {probabilities.shape}")
        return Emissions.from_probabilities(probabilities, margin=margin)

    def _classes_error(self, received: str) -> ModelFormatError:
        expected = len(self.model.labels)
        return ModelFormatError(
            self.model.path,
            "vocabulary",
            f"the network gives {received}, but the vocabulary of {len(self.model.vocabulary)} entries with blank"
            f"{' and space' * self.model.space} makes {expected} classes; the model and its character_dict do not "
            "belong together",
        )

    def _not_finite(self) -> BackendError:
        precision = self.effective.precision
        reason = "its weights are damaged; copy or fetch the model again"
        if precision != "fp32":
            reason = f"some are too large for {precision}, or its weights are damaged; run it in fp32"
        problem = f"the network of {self.model.path} gives probabilities that are no numbers (NaN)"
        return BackendError(self.name, f"{problem}: {reason}")

    def _check(self, batch: NetworkInput) -> None:
        spec = self.model.spec
        channels, height, rows = spec.channels, spec.height, spec.rows or "N"
        if self.takes_pixels:
            dtype, fixed, shape = "uint8", {1: height, 3: channels}, f"({rows}, {height}, W, {channels})"
        else:
            dtype, fixed, shape = "float32", {1: channels, 2: height}, f"({rows}, {channels}, {height}, W)"
        if spec.rows is not None:
            fixed[0] = spec.rows
        expected = f"{dtype} of shape {shape} with N and W at least 1"
        if not isinstance(batch, np.ndarray):
            raise BatchError(self.name, f"a {type(batch).__name__}", expected)
        fits = batch.dtype == dtype and batch.ndim == 4  # noqa: PLR2004 - as `expected` says
        if not fits or 0 in batch.shape or any(batch.shape[axis] != size for axis, size in fixed.items()):
            raise BatchError(self.name, f"{batch.dtype} of shape {batch.shape}", expected)

    def _check_columns(
        self, batch: NetworkInput, what: str, columns: Widths | Contents | None, *, wanted: bool
    ) -> None:
        """Check ``widths`` or ``contents``."""
        if self._state == "open" and (columns is not None) != wanted:
            received, expected = (f"no {what}", "one") if columns is None else (what, "none")
            graph = f"masked={self.masked}, takes_pixels={self.takes_pixels}"
            raise BatchError(self.name, received, f"{expected} for each line: the graph is {graph}")
        if columns is None:
            return
        lines, largest = batch.shape[0], batch.shape[2 if self.takes_pixels else 3]
        fits = isinstance(columns, np.ndarray) and columns.dtype == np.int32 and columns.shape == (lines,)
        if not fits or columns.min() < 1 or columns.max() > largest:
            raise BatchError(self.name, f"{what} {columns!r}", f"int32 of shape ({lines},), from 1 to {largest}")


def _first_line(error: Exception) -> str:
    """Engines put a C++ trace around the one line that tells; keep that line."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_NOISE)] or ["no message"]
    told = " ".join(telling[:2]) if telling[0].endswith(":") else telling[0]
    return f"{type(error).__name__}: {told[:300]}"
