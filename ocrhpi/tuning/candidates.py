"""Tuning, step 2: model + machine + option grids -> candidates, and the reasons for those left out.

Of a precision that needs a plan of its layers, and has none, one row says so.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from importlib import resources
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.gpu import gpu_packages, gpu_reason, gpu_usable
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.normal_mode import normal_mode
from ocrhpi.data_files import read_bounded
from ocrhpi.errors import OptionError
from ocrhpi.machine import describe_machine
from ocrhpi.options import parse_options
from ocrhpi.quantization.plan import LOWERED, find_plan
from ocrhpi.tuning.rows import Row
from ocrhpi.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocrhpi.backends.registry import BackendSpec
    from ocrhpi.config.hpi_config import HpiConfig
    from ocrhpi.config.objective import Goal
    from ocrhpi.model import Model
    from ocrhpi.values import InputSpec


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


_LIKELY = 3


@dataclass(frozen=True)
class Grid:
    """The candidates of a tuning.

    Attributes:
        baseline: Normal mode, which the others are compared with and whose text is the reference.
        candidates: The others, the most promising first.
        left_out: Rows of what cannot be tried here, with the reasons.
        engines: Version of each engine that is registered; None: not installed.
        plans: Precision -> digest of the plan that says which layers have it.
        likely: Those of the candidates that have won on machines like this one: what a quick tuning tries.
    """

    baseline: Candidate
    candidates: tuple[Candidate, ...]
    left_out: tuple[Row, ...]
    engines: Mapping[str, str | None] = field(default_factory=dict)
    plans: Mapping[str, str] = field(default_factory=dict)
    likely: tuple[Candidate, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256, as hex, of the baseline, the candidates and their plans."""
        names = [repr(candidate) for candidate in (self.baseline, *self.candidates)]
        names += [f"{precision} {digest}" for precision, digest in sorted(self.plans.items())]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()


def default_device(model: Model, config: HpiConfig, machine: Mapping[str, Any] | None = None) -> str:
    """Return ``gpu:0`` if an engine is installed that can run ``model`` on a GPU of this machine, else ``cpu``.

    Args:
        model: The model.
        config: Which engine is asked for, if one is, and whether models may be converted.
        machine: As in `list_candidates`.
    """
    specs = [spec for name, spec in backend_specs().items() if config.backend in {None, name}]
    able = [spec.name for spec in specs if not _reason_against(spec, model, config)]
    return "gpu:0" if any(gpu_usable(name, machine) for name in able) else "cpu"


def list_candidates(model: Model, device: str, config: HpiConfig, machine: Mapping[str, Any] | None = None) -> Grid:
    """Return what is to be measured.

    Args:
        model: The model.
        device: ``cpu`` or ``gpu:INDEX``.
        config: What is asked for. For ``latency`` lines come one at a time, so batch sizes make no difference; where
            text may change, what changes it comes first.
        machine: As `ocrhpi.machine.describe_machine` says; None asks it.

    Raises:
        OptionError: No candidate has the precision asked for, a grid is not what its backend takes, or nothing is
            installed that can run the model, or that can use the GPU asked for.
    """
    specs = backend_specs()
    machine = describe_machine() if machine is None else machine
    baseline = normal_mode(model, device, threads=config.cpu_threads, machine=machine)
    if config.backend not in {None, *specs}:
        raise OptionError("backend", f"received {config.backend!r}; registered are {', '.join(sorted(specs))}")
    kind = device.partition(":")[0]
    own, asked = model.own_precision, config.backend_options
    fixed = {name: {**own, **spec.with_threads(config.cpu_threads), **asked} for name, spec in specs.items()}
    fit = _Fit(model.spec, device, config.objective, fixed)
    plans = Plans(model, config.cache_dir)
    columns: list[list[Candidate]] = []
    left_out: list[Row] = []
    for name, spec in specs.items():
        if config.backend in {None, name} and (not spec.devices or kind in spec.devices):
            reason = _reason_against(spec, model, config)
            entries = [] if reason else _entries(spec, kind, config.backend_configs)
            column, unable = _able([fit.candidate(spec, entry) for entry in entries], device, machine)
            column, unplanned = plans.split(column)
            columns.append(column)
            left_out += [_skipped(Candidate(backend=name, device=device), reason)] if reason else []
            left_out += [*unable, *(row for row in unplanned if config.precision in {None, row.candidate.precision})]
    # One of each engine at a time: if time runs out, every engine has had its best chance.
    in_turns = [candidate for candidate in chain.from_iterable(zip_longest(*columns)) if candidate is not None]
    fitting = [candidate for candidate in _distinct(in_turns) if candidate != baseline]
    entries = _prior(machine, kind, config.objective, config.accuracy)
    prior = [fit.candidate(specs[entry["backend"]], entry) for entry in entries]
    likely = [candidate for candidate in _distinct(prior) if candidate in fitting]
    others = [candidate for candidate in fitting if candidate not in likely]
    candidates = [*likely, *_by_chance(others, baseline, config.accuracy)]
    if kind == "gpu" and baseline.device != device and not candidates:
        reasons = "; ".join(f"{row.candidate.name}: {row.reason}" for row in left_out)
        raise OptionError("device", f"received {device!r}, but nothing here runs on it: {reasons}")
    if config.precision is not None:
        candidates = _of_precision(candidates, config.precision, left_out)
    engines = {name: availability(spec).version for name, spec in specs.items()}
    if kind == "gpu":
        engines |= gpu_packages()
    likely = [candidate for candidate in likely if candidate in candidates] or candidates[:_LIKELY]
    return Grid(baseline, tuple(candidates), tuple(left_out), engines, plans.digests, tuple(likely))


@dataclass(frozen=True)
class _Fit:
    """What turns an entry of a grid into a candidate of this question.

    Attributes:
        spec: The model's input.
        device: The device of all candidates.
        goal: What they are for.
        fixed: Name of each backend -> options that all its candidates get, over those of the grid.
    """

    spec: InputSpec
    device: str
    goal: Goal
    fixed: Mapping[str, Mapping[str, Any]]

    def candidate(self, spec: BackendSpec, entry: Mapping[str, Any]) -> Candidate:
        try:
            candidate = parse_options(Candidate, {**entry, "backend": spec.name, "device": self.device})
        except OptionError as error:
            raise OptionError("backend_configs", f"grid of {spec.name!r}, entry {dict(entry)}: {error}") from error
        update: dict[str, Any] = {}
        own = candidate.options
        if self.spec.only_width is not None:  # all lines share batches in the plain graph
            update |= {"batching": "exact", "buckets": ()}
        if self.spec.rows is not None:
            update["batch_size"] = 1
        if self.goal == "latency":  # lines come one at a time
            update["batch_size"] = 1
            own = {name: value for name, value in own.items() if name not in spec.batch_options}
        return candidate.model_copy(update={**update, "options": {**own, **self.fixed[spec.name]}})


def _of_precision(candidates: Sequence[Candidate], precision: str, left_out: Sequence[Row]) -> list[Candidate]:
    chosen = [candidate for candidate in candidates if candidate.precision == precision]
    if not chosen:
        reason = next((row.reason for row in left_out if row.candidate.precision == precision), None)
        if reason is not None:
            raise OptionError("precision", f"nothing that can run here has {precision!r} ({reason})")
        known = ", ".join(sorted({candidate.precision for candidate in candidates})) or "none"
        raise OptionError("precision", f"received {precision!r}; the candidates that can run here have {known}")
    return chosen


def _able(
    candidates: Sequence[Candidate], device: str, machine: Mapping[str, Any]
) -> tuple[list[Candidate], list[Row]]:
    """Take out the candidates that cannot run on the GPU, if it is one, leaving one row for each way to it."""
    if not device.startswith("gpu"):
        return list(candidates), []
    able = []
    rows: dict[str, Row] = {}
    for candidate in candidates:
        reason = gpu_reason(candidate.backend, candidate.options, device, machine)
        if reason:
            way = {name: value for name, value in candidate.options.items() if name == "provider"}
            stands_for = Candidate(backend=candidate.backend, device=device, options=way)
            rows.setdefault(stands_for.name, _skipped(stands_for, reason))
        else:
            able.append(candidate)
    return able, list(rows.values())


def _skipped(candidate: Candidate, reason: str) -> Row:
    return Row(candidate=candidate, outcome="skipped", reason=reason)


def _by_chance(candidates: Sequence[Candidate], baseline: Candidate, accuracy: str) -> list[Candidate]:
    """Sort by how likely it is that they win, since time may run out.

    First the best setting of each other engine that the policy lets pass; then, where it lets no text change, the best
    low precisions, of which verification makes the same text; then the other settings, as the grids have them.
    """
    places: Counter[tuple[str, bool]] = Counter()
    ranks = {}
    for candidate in candidates:
        wanted = candidate.lossless == (accuracy == "identical")
        kind = (candidate.backend, wanted)
        own = candidate.backend == baseline.backend  # another setting of it seldom beats another engine
        first = places[kind] < (1 if wanted else 2)
        ranks[candidate.name] = 2 * (own or not first) + (not wanted)
        places[kind] += 1
    return sorted(candidates, key=lambda candidate: ranks[candidate.name])


def _prior(machine: Mapping[str, Any], kind: str, goal: Goal, accuracy: str) -> Sequence[Mapping[str, Any]]:
    """Return the entries that have won on machines of this class, see ``backend_configs/prior.yaml``."""
    if kind != "cpu":
        return ()
    classes = _load_yaml(_shipped_grids() / "prior.yaml")
    flags = machine.get("cpu_flags") or ()
    found = next(one for one in classes if not one["flag"] or one["flag"] in flags)
    entries: Sequence[Mapping[str, Any]] = found[goal]["identical" if accuracy == "identical" else "other"]
    return entries


def _reason_against(spec: BackendSpec, model: Model, config: HpiConfig) -> str:
    state = availability(spec)
    if not state.available:
        return f"{state.reason}: {spec.install}"
    if spec.runs_paddle and not model.files.paddle_graph:
        return f"the model has no Paddle files, and {spec.name} runs no ONNX"
    if spec.onnx_head is not None and model.files.onnx is None and not config.auto_paddle2onnx:
        return "auto_paddle2onnx is off, and the model has no ONNX file"
    return ""


def _entries(spec: BackendSpec, kind: str, grids: Path | str | None) -> Sequence[Mapping[str, Any]]:
    """Return the entries of the backend's grid for that kind of device; one without a grid has one: as it is."""
    own = None if grids is None else Path(grids) / f"{spec.name}.yaml"
    if own is not None and own.is_file():
        return _read_grid(own, kind)
    if spec.grid is not None:
        return _read_grid(spec.grid, kind)
    shipped = _shipped_grids() / f"{spec.name}.yaml"
    return _read_grid(shipped, kind) if shipped.is_file() else [{}]


def _shipped_grids() -> Path:
    installed = Path(str(resources.files("ocrhpi"))) / "backend_configs"
    return installed if installed.is_dir() else installed.parents[1] / "backend_configs"


def _read_grid(path: Path, kind: str) -> Sequence[Mapping[str, Any]]:
    grid = _load_yaml(path)
    entries = grid.get(kind, []) if isinstance(grid, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise OptionError("backend_configs", f"{path}: expected a list of candidates under {kind!r}")
    return entries


def _load_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    try:
        return read_yaml(read_bounded(path))
    except (OSError, ValueError) as error:
        raise OptionError("backend_configs", f"{path} cannot be read: {error}") from error


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    return list({candidate.name: candidate for candidate in candidates}.values())
