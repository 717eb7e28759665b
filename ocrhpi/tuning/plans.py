"""Candidates whose precision needs a plan of its layers: those that have one, and rows for those that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.candidate import Candidate
from ocrhpi.errors import OptionError
from ocrhpi.quantization.plan import LOWERED
from ocrhpi.quantization.store import find_plan
from ocrhpi.tuning.rows import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.model import Model


class Plans:
    """The plans of a model, each looked for once.

    Args:
        model: The model.
        cache_dir: Where plans are kept, as in `ocrhpi.cache.cache_root`.

    Attributes:
        digests: Precision -> digest of its plan, of those that were asked for and found.
    """

    def __init__(self, model: Model, cache_dir: Path | str | None) -> None:
        self._model = model
        self._cache_dir = cache_dir
        self._reasons: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def split(self, candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Row]]:
        """Return the candidates that can run, and one row for each precision of which there is no plan."""
        able = []
        rows: dict[str, Row] = {}
        for candidate in candidates:
            reason = self._reason_against(candidate.precision)
            if reason:
                options = {"precision": candidate.precision}
                stands_for = Candidate(backend=candidate.backend, device=candidate.device, options=options)
                rows.setdefault(candidate.precision, Row(candidate=stands_for, outcome="skipped", reason=reason))
            else:
                able.append(candidate)
        return able, list(rows.values())

    def _reason_against(self, precision: str) -> str:
        lowered = next((name for name in LOWERED if name == precision), None)
        if lowered is None:
            return ""
        if lowered not in self._reasons:
            try:
                self.digests[lowered] = find_plan(self._model, lowered, cache_dir=self._cache_dir).digest
                self._reasons[lowered] = ""
            except OptionError as error:
                self._reasons[lowered] = str(error)
        return self._reasons[lowered]
