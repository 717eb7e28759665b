from __future__ import annotations

import builtins
import inspect
import pickle
import re

import pytest

from ocrhpi import errors

EXAMPLES = [
    errors.ModelNotFound("models/x", "a model directory"),
    errors.ModelFormatError("x/inference.yml", "PostProcess.name", "missing"),
    errors.UnknownModel("PP-OCRv4_mobil_rec", ["PP-OCRv4_mobile_rec"]),
    errors.DownloadError("x", {"bos": "404"}, "Try again."),
    errors.BundleError("rec.zip", "model.onnx", "is missing"),
    errors.ExportError("models/x", "conversion", "paddle2onnx failed"),
    errors.UnsupportedInput(3),
    errors.UnreadableInput("a.png", "zero bytes", 2),
    errors.OptionError("batch_size", "received 0; expected at least 1"),
    errors.TuningError("PP-OCRv4_mobile_rec", "normal mode does not run"),
    errors.RequestRefused(429, "the queue is full; try again later", 2),
    errors.WorkerFailed("batch_0", "3 times in a row, died of SIGKILL"),
    errors.OutputError("out/a.json", "No space left on device", 28),
    errors.MissingExtra("serve", "module 'fastapi' is not installed"),
    errors.UnknownBackend("padle", ["paddle"]),
    errors.BackendUnavailable("paddle", "module 'paddle' is not installed", "pip install"),
    errors.BackendMismatch("paddle", "device gpu", "built without CUDA"),
    errors.BackendClosed("paddle", "new"),
    errors.BatchError("paddle", "float64", "float32"),
    errors.BackendError("paddle", "failed"),
]


def classes() -> list[type[errors.OcrhpiError]]:
    members = inspect.getmembers(errors, inspect.isclass)
    return [member for _, member in members if issubclass(member, errors.OcrhpiError)]


def test_every_error_has_an_example() -> None:
    abstract = {errors.OcrhpiError, errors.ModelError, errors.InputError}
    assert {type(example) for example in EXAMPLES} == set(classes()) - abstract


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_are_sentences_and_cross_process_borders(error: errors.OcrhpiError) -> None:
    assert re.fullmatch(r".*\S[.?]", str(error))
    assert not re.search(r"\.\.|\?\.", str(error))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict(re.findall(r"── (\w+)(?: +\((\w+)\))?", errors.__doc__ or ""))
    assert set(drawn) == {cls.__name__ for cls in classes()} - {"OcrhpiError"}
    for name, builtin in drawn.items():
        if builtin:
            assert issubclass(getattr(errors, name), getattr(builtins, builtin))


def test_nearest_names() -> None:
    assert errors.nearest("cpu_thread", ["cpu_threads", "device"]) == " Did you mean 'cpu_threads'?"
    assert errors.nearest("zzz", ["cpu_threads"]) == ""


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (["a.png"], "backend 'paddle': out of memory. It was reading a.png."),
        (list("abcd"), "backend 'paddle': out of memory. It was reading a, b, c, d."),
        (list("abcdefg"), "backend 'paddle': out of memory. It was reading a, b, c, d and 3 more."),
    ],
)
def test_an_engine_error_names_the_inputs_once(inputs: list[str], said: str) -> None:
    error = errors.BackendError("paddle", "out of memory")
    assert error.inputs == ()
    for _ in range(2):
        error.tell_inputs(inputs)
        assert (str(error), error.inputs) == (said, tuple(inputs))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.inputs) == (said, tuple(inputs))
