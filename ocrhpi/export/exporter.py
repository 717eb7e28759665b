"""Tuning, step 1: a model -> ONNX in the form that an engine is to run, verified before it is kept."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from ocrhpi.backends.guest import as_it_was
from ocrhpi.backends.registry import create_backend
from ocrhpi.cache import keep, kept
from ocrhpi.errors import ExportError, ModelNotFound, OcrhpiError, OutputError
from ocrhpi.export.convert import CONVERTER_MODULES, EXPORT_MODULES, convert_paddle, missing_modules, require_modules
from ocrhpi.export.fp16 import emulate_half, to_half
from ocrhpi.export.heads import add_head, take_pixels
from ocrhpi.export.isolated import telling_line
from ocrhpi.export.masking import mask_widths
from ocrhpi.export.passes import mend_scalar_concats, name_interface, set_metadata, simplify
from ocrhpi.export.verification import read_reference, verify_equal, verify_half
from ocrhpi.files import replacing, scratch_file, told_as_output
from ocrhpi.model import CONFIG_NAME, ONNX_NAME, Model, ModelFiles, load_model
from ocrhpi.values import GraphPrecision, Head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from onnx import ModelProto

    from ocrhpi.values import Emissions

EXPORTER_VERSION = 4
"""Part of the key of cached exports; to be raised with every change of the graphs that the exporter makes."""

PRECISIONS: tuple[GraphPrecision, ...] = get_args(GraphPrecision)


# What graph libraries raise on graphs that they cannot take.
_GRAPH_FAULTS = (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError, AssertionError, OSError)


@dataclass(frozen=True)
class GraphForm:
    """How the exported graph ends and begins.

    Attributes:
        head: Where the reduction to top-1 happens, see `ocrhpi.values.Head`.
        masked: Whether it takes the exact width of each line, so that any lines share a batch.
        precision: Of its arithmetic; inputs and outputs are the same in each.
        pixels: Whether it takes uint8 pixels and normalises them itself, see `ocrhpi.export.heads`.
    """

    head: Head = "full"
    masked: bool = False
    precision: GraphPrecision = "fp32"
    pixels: bool = False

    @property
    def file_name(self) -> str:
        """Name of the file in the directory of a model's exports."""
        half = self.precision == "fp16"
        parts = [self.head, *["masked"] * self.masked, *["fp16"] * half, *["pixels"] * self.pixels]
        return f"{'-'.join(parts)}.onnx"


_SOURCE_FORM = GraphForm()


def export_model(model: Model, form: GraphForm = _SOURCE_FORM, *, cache_dir: Path | str | None = None) -> Model:
    """Return ``model`` with ``files.onnx`` in the form ``form``, exported and verified if it is not cached.

    The cache key is the fingerprint of the model and `EXPORTER_VERSION`; the model directory is never written to.

    Args:
        model: A Paddle or ONNX model.
        form: The graph wanted.
        cache_dir: As in `ocrhpi.cache.cache_root`.

    Raises:
        BackendUnavailable: A package that exporting needs is not installed.
        ExportError: A step failed, or the exported graph does not read what its source reads.
        OutputError: It can be kept neither in the cache nor in a temporary folder.
    """
    folder = f"exports/{model.file_name}-{model.fingerprint[:16]}-v{EXPORTER_VERSION}"
    target = kept(f"{folder}/{form.file_name}", cache_dir)
    if target is None:
        model = _with_usable_source(model)
        require_modules(EXPORT_MODULES, "exporting")
        find_plain = partial(kept, f"{folder}/{_SOURCE_FORM.file_name}", cache_dir)
        target = keep(f"{folder}/{form.file_name}", partial(_export, model, form, find_plain), cache_dir)
    return _with_onnx(model, target)


def write_export(model: Model, form: GraphForm, directory: Path, *, cache_dir: Path | str | None = None) -> Model:
    """Export into ``directory`` as ``inference.onnx`` with the configuration, a model directory that needs no Paddle.

    Raises:
        BackendUnavailable: A package that exporting needs is not installed.
        ExportError: A step failed, or the exported graph does not read what its source reads.
        OutputError: The directory cannot be written to.
    """
    exported = export_model(model, form, cache_dir=cache_dir)
    new, config = not directory.exists(), model.path / CONFIG_NAME
    try:
        with told_as_output(directory):
            directory.mkdir(parents=True, exist_ok=True)
            if config.is_file():
                _place(config, directory / CONFIG_NAME)
            _place(_onnx_of(exported), directory / ONNX_NAME)  # last: without it, it is no model
    except OutputError:
        if new:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return load_model(directory)


def _with_onnx(model: Model, onnx: Path) -> Model:
    return replace(model, files=replace(model.files, onnx=onnx))


def _onnx_of(model: Model) -> Path:
    if model.files.onnx is None:
        raise ModelNotFound(model.path, "an ONNX file")
    return model.files.onnx


def can_export() -> bool:
    """Whether the packages that exporting from ONNX needs are installed."""
    return not missing_modules(EXPORT_MODULES)


def _with_usable_source(model: Model) -> Model:
    """Of a model with Paddle and ONNX files, take ONNX where Paddle cannot be converted here."""
    if model.files.onnx and model.files.paddle_graph and missing_modules(CONVERTER_MODULES):
        return _onnx_alone(model, model.files.onnx)[1]
    return model


def _export(model: Model, form: GraphForm, find_plain: Callable[[], Path | None], target: Path) -> None:
    """Make the graph of ``form``, by way of the plain one that all others are made from."""
    make: Callable[[], ModelProto]
    if form == _SOURCE_FORM:
        source, make = _reference(model), partial(_plain_graph, model, target)
    else:
        plain = find_plain()
        if plain is None:
            plain = target.with_name(_SOURCE_FORM.file_name)
            _export(model, _SOURCE_FORM, find_plain, plain)
        source, make = _onnx_alone(model, plain), lambda: _formed(_load(plain), model, form)
    if form.precision == "fp16":
        _keep_if_equal(make(), model, target, lambda file, graph: _verify_half(graph, file, source[1]))
        return
    # The graph is made while the source is loaded and reads: seconds, with Paddle. Not the other way round: a thread
    # that imports Paddle leaves the others in another mode of it.
    with ThreadPoolExecutor(1) as meanwhile:
        making = meanwhile.submit(make)
        try:
            reference = _read_source(source)
        except OcrhpiError:
            making.result()  # if that failed, too, its error tells more
            raise
        graph = making.result()
    _keep_if_equal(graph, model, target, lambda file, _: _verify(model, file, reference))


def _formed(graph: ModelProto, model: Model, form: GraphForm) -> ModelProto:
    """Apply the passes that make the form of the plain graph."""
    passes: list[tuple[bool, str, Callable[[ModelProto], ModelProto]]] = [
        (form.masked, "width mask", mask_widths),
        (form.head != "full", f"head {form.head!r}", partial(add_head, head=form.head)),
        (form.precision == "fp16", "precision 'fp16'", to_half),
        (form.pixels, "pixel input", take_pixels),
    ]
    step = ""
    try:
        for wanted, step, apply in passes:  # noqa: B007 - the one that fails is told
            graph = apply(graph) if wanted else graph
    except _GRAPH_FAULTS as error:
        # The passes say in a ValueError what they do not take; all others need their names.
        problem = telling_line(str(error) if isinstance(error, ValueError) else error)
        raise ExportError(model.path, step, f"{problem}; use another form of the graph") from error
    return graph


def _plain_graph(model: Model, target: Path) -> ModelProto:
    """Return the graph from ``x`` to ``probabilities``, mended, simplified and with its metadata."""
    try:
        with scratch_file(target) as converted:
            if model.files.paddle_graph:
                convert_paddle(model, converted)
            graph = _load(converted if model.files.paddle_graph else _onnx_of(model))
        graph = name_interface(simplify(mend_scalar_concats(graph)))
    except OcrhpiError:
        raise
    except _GRAPH_FAULTS as error:
        raise ExportError(model.path, "simplification", telling_line(error)) from error
    return set_metadata(graph, model, f"ocrhpi exporter {EXPORTER_VERSION}")


def _load(path: Path) -> ModelProto:
    with as_it_was():
        import onnx  # noqa: PLC0415 - only the exporter needs it
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with onnx

    try:
        return onnx.load(path)
    except DecodeError as error:
        problem = f"not an ONNX file, or damaged ({telling_line(str(error))})"
        raise ExportError(path, "reading", problem) from error
    except (onnx.checker.ValidationError, *_GRAPH_FAULTS) as error:  # of weights in other files, above all
        raise ExportError(path, "reading", telling_line(error)) from error


def _reference(model: Model) -> tuple[str, Model]:
    """Backend and model that an export of ``model`` must agree with."""
    if model.files.paddle_graph:
        return "paddle", model
    return _onnx_alone(model, _onnx_of(model))


def _onnx_alone(model: Model, onnx: Path) -> tuple[str, Model]:
    return "onnxruntime", replace(model, files=ModelFiles(onnx=onnx))


def _read_source(source: tuple[str, Model]) -> list[Emissions]:
    with create_backend(*source, "cpu") as backend:
        return read_reference(backend)


def _verify(model: Model, candidate: Path, reference: Sequence[Emissions]) -> None:
    # In this process, other than FP16 graphs: a child costs 0.35 to 0.6 s, most of it for imports, which the first use
    # of every model would wait for, and FP32 graphs are not known to crash ONNX Runtime.
    with create_backend(*_onnx_alone(model, candidate), "cpu") as exported:
        verify_equal(reference, exported)


def _keep_if_equal(
    graph: ModelProto,
    model: Model,
    target: Path,
    verify: Callable[[Path, ModelProto], None],
) -> None:
    import onnx  # noqa: PLC0415 - only the exporter needs it

    try:
        onnx.checker.check_model(graph, full_check=True)
        with replacing(target) as candidate:
            onnx.save(graph, candidate)
            verify(candidate, graph)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problem = f"the exported graph is not valid ONNX: {telling_line(error)}"
        raise ExportError(model.path, "check", problem) from error


def _verify_half(graph: ModelProto, candidate: Path, source: Model) -> None:
    """Verify the file as ONNX Runtime runs it on a CPU, and once more with every FP16 result rounded."""
    import onnx  # noqa: PLC0415 - only the exporter needs it

    with scratch_file(candidate) as emulated:
        onnx.save(emulate_half(graph), emulated)
        verify_half(source, candidate, emulated)


def _place(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
