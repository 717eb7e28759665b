"""PaddleX's models that read no text, such as detection: on other engines where their outputs are proven equal."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from paddlex.inference.models.runners import InferenceRunner
from paddlex.inference.models.utils.model_paths import get_model_paths

from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.cache import cache_root
from ocrhpi.errors import ModelNotFound
from ocrhpi.export.convert import convert_any, files_digest
from ocrhpi.integrations.paddlex.graphs import GRAPH_ENGINES, open_graph
from ocrhpi.integrations.paddlex.parity import Evidence, ParityCheck, read_evidence
from ocrhpi.integrations.paddlex.settings import PADDLE_SETTINGS
from ocrhpi.machine import describe_machine, usable_cores
from ocrhpi.model import ModelFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.integrations.paddlex.settings import Settings

    Arrays = Sequence[npt.NDArray[Any]]
    from ocrhpi.integrations.paddlex.parity import Runs

_log = logging.getLogger("ocrhpi")

_PLAIN = "paddle"
_ONEDNN = "mkldnn"


class PaddleHome:
    """PaddleX's engine for static graphs, with the settings that PaddleX was given for it.

    Args:
        model_name: Name of the model.
        model_dir: Its files.
        model_config: Its ``inference.yml``, read.
        settings: Device, and the settings of Paddle.
    """

    name = "paddle"

    def __init__(
        self, model_name: str, model_dir: Path, model_config: Mapping[str, Any] | None, settings: Settings
    ) -> None:
        self._model_name = model_name
        self._model_dir = model_dir
        self._model_config = model_config
        self._settings = settings
        self._runner: Any = None
        self._proven = False

    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run the model; a graph that oneDNN refuses runs without it from then on, with one warning.

        Args:
            arrays: Its inputs in the order of their names.
        """
        if self._runner is None:
            self._runner = self._build(dict(self._settings.paddle))
        try:
            outputs: list[npt.NDArray[Any]] = self._runner(list(arrays))
        except Exception as error:
            if self._proven or not self._on_onednn:
                raise
            outputs = self._run_plain(arrays, error)
        self._proven = True
        return outputs

    @property
    def _on_onednn(self) -> bool:
        on_cpu = (self._settings.device or "cpu") == "cpu"
        return on_cpu and str(self._settings.paddle.get("run_mode", _ONEDNN)).startswith(_ONEDNN)

    def _run_plain(self, arrays: Sequence[npt.NDArray[Any]], error: Exception) -> list[npt.NDArray[Any]]:
        plain = self._build({**self._settings.paddle, "run_mode": _PLAIN})
        try:
            outputs: list[npt.NDArray[Any]] = plain(list(arrays))
        except Exception:  # noqa: BLE001 - it was not oneDNN, then
            raise error from None
        reason = " ".join(str(error).split())[-200:]
        _log.warning("%s: Paddle's oneDNN refuses it (%s); it runs without oneDNN", self._model_name, reason)
        self._runner = plain
        return outputs

    def _build(self, given: dict[str, Any]) -> Any:  # noqa: ANN401 - PaddleX's
        models = importlib.import_module("paddlex.inference.models")
        engine = models._get_inference_engine(PADDLE_SETTINGS)  # noqa: SLF001 - there is no other way in
        config = engine.normalize_config(given, model_name=self._model_name, device=self._settings.device)
        engine.ensure_environment()
        return engine.build_runner(
            model_name=self._model_name,
            model_dir=self._model_dir,
            model_config=self._model_config,
            engine_config=config,
            binding=models.get_binding(self._model_name, PADDLE_SETTINGS),
        )


_EVIDENCE_VERSION = 1
"""Part of the key; to be raised with every change of how engines are compared."""

_REFERENCE = "onnxruntime"
"""Where a model runs that has no Paddle files."""


class OtherModelRunner(InferenceRunner):  # type: ignore[misc] # PaddleX has no types
    """Runs a model as `ParityCheck` does, on the CPU; on another device it stays with Paddle Inference.

    Args:
        model_name: Name of the model.
        model_dir: Its files.
        model_config: Its ``inference.yml``, read.
        settings: How it is to run.

    Raises:
        ModelNotFound: The directory holds neither Paddle files nor ONNX.
        BackendError: It holds ONNX alone, and ONNX Runtime cannot run it.
    """

    def __init__(
        self, model_name: str, model_dir: Path, model_config: Mapping[str, Any] | None, settings: Settings
    ) -> None:
        files = _files(model_dir)
        threads = settings.hpi.cpu_threads or usable_cores()
        home: Runs = PaddleHome(model_name, model_dir, model_config, settings)
        if files.paddle_graph is None:
            assert files.onnx is not None  # noqa: S101 - _files() has checked
            home = open_graph(_REFERENCE, files.onnx, threads)
        names = [name for name in _engines(model_name, home.name, settings) if name != home.name]
        self._home = home
        self._trial = _trial(model_name, model_dir, files, home, names, settings) if names else None

    @property
    def engine(self) -> str:
        """Name of the engine whose outputs are returned now."""
        return self._home.name if self._trial is None else self._trial.engine

    def __call__(self, x: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run the model; ``x`` are its inputs in the order of their names."""
        return (self._home if self._trial is None else self._trial).run(x)

    def close(self) -> None:
        """Release nothing before this object goes: PaddleX's own runners do not either."""


def _engines(model_name: str, home: str, settings: Settings) -> list[str]:
    """Return the engines to try; where there are none, say why."""
    wanted = settings.hpi.backend
    on_cpu = (settings.hpi.device or settings.device or "cpu") == "cpu"
    if on_cpu and settings.hpi.tune != "never" and (wanted is None or wanted in GRAPH_ENGINES):
        specs = backend_specs()
        installed = [name for name in GRAPH_ENGINES if availability(specs[name]).available]
        return installed if wanted is None else [wanted]
    if wanted != home:
        reason = f"the backend {wanted!r} runs text recognition only" if on_cpu else "others run it on the CPU only"
        reason = "tune is 'never'" if settings.hpi.tune == "never" else reason
        _log.warning("%s stays on %s: %s", model_name, home, reason)
    return []


def _trial(
    name: str, model_dir: Path, files: ModelFiles, home: Runs, engines: Sequence[str], settings: Settings
) -> ParityCheck:
    threads = settings.hpi.cpu_threads or usable_cores()
    cache_dir = settings.hpi.cache_dir

    def open_engine(engine: str) -> Runs:
        file = files.onnx
        if file is None:
            if not settings.hpi.auto_paddle2onnx:
                raise ModelNotFound(model_dir / "inference.onnx", "ONNX, since auto_paddle2onnx is false")
            file = convert_any(name, model_dir, files, cache_dir=cache_dir)
        return open_graph(engine, file, threads)

    key = _key(files, engines, settings, threads)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    path = cache_root(cache_dir) / "paddlex" / f"{name}-{digest}.json"
    known = Evidence(key=key) if settings.hpi.tune == "always" else read_evidence(path, key)
    openers = {engine: partial(open_engine, engine) for engine in engines}
    return ParityCheck(name, home, openers, known, path, asked=settings.hpi.backend is not None)


def _key(files: ModelFiles, engines: Sequence[str], settings: Settings, threads: int) -> dict[str, Any]:
    """Return all that makes evidence wrong when it changes."""
    versions = {name: availability(spec).version for name, spec in backend_specs().items() if name != "tensorrt"}
    key = {
        "version": _EVIDENCE_VERSION,
        "model": files_digest(files),
        "machine": describe_machine(),
        "engines": list(engines),
        "versions": versions,
        "threads": threads,
        "paddle": dict(settings.paddle),
    }
    plain: dict[str, Any] = json.loads(json.dumps(key, default=str))
    return plain


def _files(model_dir: Path) -> ModelFiles:
    found = get_model_paths(model_dir)
    graph, parameters = found.get("paddle", (None, None))
    files = ModelFiles(graph, parameters, found.get("onnx"))
    if not files.source:
        raise ModelNotFound(
            model_dir, "inference.json or inference.pdmodel with inference.pdiparams, or inference.onnx"
        )
    return files
