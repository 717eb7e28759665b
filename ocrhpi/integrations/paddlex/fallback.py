"""Where PaddleX runs a model without us: Paddle Inference, opened by PaddleX itself at first use."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from ocrhpi.integrations.paddlex.settings import PADDLE_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.integrations.paddlex.settings import Settings

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
