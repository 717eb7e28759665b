"""Every error that ocrhpi raises on purpose.

```
OcrhpiError
├── ModelError
│   ├── ModelNotFound          (FileNotFoundError)  a model directory or one of its files is missing
│   ├── ModelFormatError       (ValueError)         a model file says something we cannot use
│   ├── UnknownModel           (ValueError)         not the name of an official model
│   ├── DownloadError          (OSError)            no source gave the model
│   ├── BundleError            (ValueError)         an edge bundle is damaged, incomplete or not one
│   └── ExportError            (RuntimeError)       a model could not be exported to ONNX, or reads differently there
├── InputError
│   ├── UnsupportedInput       (TypeError)          an object that is no image, path, URL or list of these
│   └── UnreadableInput        (ValueError)         a file, URL or array that cannot be read as text lines
├── TuningError                (RuntimeError)       nothing could be measured, since normal mode does not run
├── RequestRefused             (RuntimeError)       a request that a server does not answer with a result
├── WorkerFailed               (RuntimeError)       a process that reads a part of a batch failed or died
├── OutputError                (OSError)            a file or folder cannot be written
├── MissingExtra               (ImportError)        the packages of an extra of ocrhpi are not installed
├── OptionError                (ValueError)         an unknown or unfitting option
└── BackendError               (RuntimeError)
    ├── UnknownBackend         (ValueError)         no backend of that name is registered
    ├── BackendUnavailable     (ImportError)        its library is not installed
    ├── BackendMismatch                             the engine did not take the device or precision asked for
    ├── BackendClosed                               run before open, after close, or where a fork has closed it
    └── BatchError             (ValueError)         a batch of the wrong dtype or shape
```

Each leaf also inherits the builtin a caller would expect, takes data, and writes its own sentence:
what was received, what was expected, and how to fix it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


_MAX_INPUTS = 4  # that a message names


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else sentence + "."


def _rebuild(cls: type[OcrhpiError], args: tuple[Any, ...], state: dict[str, Any]) -> OcrhpiError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class OcrhpiError(Exception):
    """The root of everything that ocrhpi raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Leaves take data, not a message, so the default (class, args) would call them wrongly;
        # errors must cross process borders (tuning, Ray) intact.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class ModelError(OcrhpiError):
    """A model cannot be found, read or fetched."""


class ModelNotFound(ModelError, FileNotFoundError):
    """A model directory, or a file it needs, does not exist.

    Args:
        path: The directory or file that was looked for.
        expected: What should have been there, as a phrase.
    """

    def __init__(self, path: Path | str, expected: str) -> None:
        super().__init__(f"{path}: not found; expected {expected}.")
        self.path = str(path)


class ModelFormatError(ModelError, ValueError):
    """A model file holds something that ocrhpi cannot use.

    Args:
        path: The file.
        key: The key in it, dotted (``PostProcess.name``), or the part of the file.
        problem: What was received and what was expected, as a phrase.
    """

    def __init__(self, path: Path | str, key: str, problem: str) -> None:
        super().__init__(f"{path}: {key}: {problem}.")
        self.path = str(path)
        self.key = key


class UnknownModel(ModelError, ValueError):
    """A name that is not in the catalogue of official models.

    Args:
        name: The name received.
        known: All names of the catalogue.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"{name!r} is not the name of an official text recognition model.{nearest(name, known)} "
            "'ocrhpi models list' shows all names; for a model of your own pass model_dir."
        )
        self.name = name


class DownloadError(ModelError, OSError):
    """No source gave the model.

    Args:
        what: The model or file that was to be fetched.
        reasons: Source name -> why it failed, in the order in which the sources were tried.
        hint: What the user can do about it, as a sentence.
    """

    def __init__(self, what: str, reasons: Mapping[str, str], hint: str = "") -> None:
        tried = "; ".join(f"{source}: {reason}" for source, reason in reasons.items())
        super().__init__(f"{what} could not be downloaded ({tried}).{' ' + hint if hint else ''}")
        self.what = what
        self.reasons = dict(reasons)


class BundleError(ModelError, ValueError):
    """An edge bundle that is damaged, incomplete, of another version, or no bundle at all.

    Args:
        path: The bundle.
        part: The file in it, or what else of it is at fault.
        problem: What was received and what was expected; a sentence without the final full stop.
    """

    def __init__(self, path: Path | str, part: str, problem: str) -> None:
        super().__init__(_ended(f"{path}: {part}: {problem}"))
        self.path = str(path)
        self.part = part


class ExportError(ModelError, RuntimeError):
    """A model could not be exported to ONNX, or the exported graph does not read what its source reads.

    Args:
        path: The model.
        step: The step that failed.
        problem: What happened and, where there is one, the cure; a sentence without the final full stop.
    """

    def __init__(self, path: Path | str, step: str, problem: str) -> None:
        super().__init__(_ended(f"{path}: {step}: {problem}"))
        self.path = str(path)
        self.step = step


class InputError(OcrhpiError):
    """An input cannot be read as text lines."""


class UnsupportedInput(InputError, TypeError):
    """An object of a kind that is not accepted as input.

    Args:
        received: The object.
    """

    def __init__(self, received: object) -> None:
        kind = type(received)
        super().__init__(
            f"input of type {kind.__module__}.{kind.__qualname__} is not accepted; expected a path, a URL, "
            "encoded image bytes, a numpy array, a PIL image, or a list, tuple or iterator of these."
        )
        self.received_type = f"{kind.__module__}.{kind.__qualname__}"


class UnreadableInput(InputError, ValueError):
    """One input that should be an image or a document, but cannot be read as one.

    Args:
        where: The path or URL, or a phrase such as ``"array number 3"``.
        reason: What is wrong with it and, where there is one, the cure; a phrase without a full stop.
        page_index: 0-based page of a document or multi-page image, where the fault is in one page.
    """

    def __init__(self, where: str, reason: str, page_index: int | None = None) -> None:
        page = "" if page_index is None else f", page {page_index}"
        super().__init__(f"{where}{page}: {reason}.")
        self.where = where
        self.reason = reason
        self.page_index = page_index


class OptionError(OcrhpiError, ValueError):
    """An option that is unknown, or whose value does not fit.

    Args:
        name: The option.
        problem: What was received and what was expected; a sentence without the final full stop.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(_ended(f"option {name!r}: {problem}"))
        self.name = name


class TuningError(OcrhpiError, RuntimeError):
    """Tuning found nothing to compare with.

    Args:
        model: Name of the model.
        problem: What happened; a sentence without the final full stop.
    """

    def __init__(self, model: str, problem: str) -> None:
        super().__init__(_ended(f"{model}: tuning: {problem}"))
        self.model = model


class RequestRefused(OcrhpiError, RuntimeError):
    """A request that a server answers with an error and not with a result.

    Args:
        status: HTTP status of the answer.
        problem: What was received and what was expected; a sentence without the final full stop.
        retry_after_s: After how many seconds the same request may succeed; None: it is to be changed first.
    """

    def __init__(self, status: int, problem: str, retry_after_s: int | None = None) -> None:
        super().__init__(_ended(problem))
        self.status = status
        self.retry_after_s = retry_after_s


class WorkerFailed(OcrhpiError, RuntimeError):
    """A process that reads a part of a batch reported an error, or died again and again.

    Args:
        worker: Name of the process.
        problem: What happened; a sentence without the final full stop.
    """

    def __init__(self, worker: str, problem: str) -> None:
        super().__init__(_ended(f"worker {worker}: {problem}"))
        self.worker = worker


class OutputError(OcrhpiError, OSError):
    """A file or folder that cannot be written.

    Args:
        path: The file or folder.
        reason: Why and, where there is one, the cure; a sentence without the final full stop.
        code: The system's number of the error, as in ``OSError.errno``.
    """

    def __init__(self, path: Path | str, reason: str, code: int | None = None) -> None:
        super().__init__(_ended(f"{path} could not be written: {reason}"))
        self.path = str(path)
        self.reason = reason
        self.errno = code


class MissingExtra(OcrhpiError, ImportError):
    """Packages that only an extra of ocrhpi installs cannot be imported.

    Args:
        extra: Name of the extra.
        reason: Why they cannot be imported; a phrase.
    """

    def __init__(self, extra: str, reason: str) -> None:
        super().__init__(f"{reason}; install what is needed with: pip install 'ocrhpi[{extra}]'.")
        self.extra = extra


class BackendError(OcrhpiError, RuntimeError):
    """An engine failed.

    Args:
        backend: Name of the backend.
        problem: What happened; a sentence without the final full stop.

    Attributes:
        inputs: Names of the lines that it failed at; empty where it failed at none.
    """

    def __init__(self, backend: str, problem: str) -> None:
        super().__init__(_ended(f"backend {backend!r}: {problem}"))
        self.backend = backend
        self.inputs: tuple[str, ...] = ()

    def tell_inputs(self, inputs: Iterable[str]) -> None:
        """Name the lines that the engine failed at, if they are not named yet."""
        if self.inputs:
            return
        self.inputs = tuple(inputs)
        left = len(self.inputs) - _MAX_INPUTS
        more = f" and {left} more" if left > 0 else ""
        self.args = (f"{self.args[0]} It was reading {', '.join(self.inputs[:_MAX_INPUTS])}{more}.",)


class UnknownBackend(BackendError, ValueError):
    """No backend of that name is registered.

    Args:
        backend: The name received.
        known: All registered names.
    """

    def __init__(self, backend: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(backend, f"no such backend; registered are {', '.join(names)}.{nearest(backend, names)}")


class BackendUnavailable(BackendError, ImportError):
    """The library of a backend is not installed, or cannot be imported.

    Args:
        backend: Name of the backend.
        reason: Why it cannot be used.
        install: The command that installs what is missing.
    """

    def __init__(self, backend: str, reason: str, install: str) -> None:
        super().__init__(backend, f"{reason}; install it with: {install}")
        self.reason = reason
        self.install = install


class BackendMismatch(BackendError):
    """The engine did not take the device, precision or setting that was asked for.

    Args:
        backend: Name of the backend.
        asked: What was asked for.
        got: What the engine would have done instead.
    """

    def __init__(self, backend: str, asked: str, got: str) -> None:
        super().__init__(backend, f"asked for {asked}, but {got}")
        self.asked = asked
        self.got = got


class BackendClosed(BackendError):
    """``run`` was called on a backend that is not open.

    Args:
        backend: Name of the backend.
        state: ``"new"`` or ``"closed"``; or where it is open, as a phrase, which is not in this process.
    """

    def __init__(self, backend: str, state: str) -> None:
        cures = {"new": "call open() first", "closed": "make a new one; a closed backend stays closed"}
        hint = cures.get(state, "load the model after the fork, or start processes with 'spawn' or 'forkserver'")
        super().__init__(backend, f"run() needs an open backend, this one is {state}: {hint}")


class BatchError(BackendError, ValueError):
    """A batch whose dtype or shape the model does not take.

    Args:
        backend: Name of the backend.
        received: What was received.
        expected: What was expected.
    """

    def __init__(self, backend: str, received: str, expected: str) -> None:
        super().__init__(backend, f"received {received}, expected {expected}")
