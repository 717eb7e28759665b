"""All steps, one after the other, each within its share of the time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.gpu_check.measuring import Place, count_equal_texts, export, measure
from benchmarks.gpu_check.report import Report
from benchmarks.gpu_check.steps import facts, run_gpu_tests, tune
from benchmarks.gpu_check.ways import ways_of
from ocrhpi.backends.device import parse_device
from ocrhpi.errors import OcrhpiError, OptionError
from ocrhpi.model import load_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.gpu_check.clock import Clock
    from benchmarks.gpu_check.ways import Way
    from ocrhpi.model import Model

__all__ = ["MODELS", "run"]

MODELS = (
    *("PP-OCRv4_mobile_rec", "PP-OCRv6_small_rec"),
    *("PP-OCRv5_mobile_rec", "PP-OCRv4_server_rec", "ch_SVTRv2_rec"),
)
"""Two real models and three of random weights, of each kind of network; a folder without them is taken as it is."""

_REPORTING_S = 5.0  # and to end what runs
_TESTS_SHARE, _TESTS_S = 0.25, 100.0
_MEASURING_SHARE = 0.55
_TUNING_S = (60.0, 120.0)  # in less than the first, candidates of a GPU do not even load


def run(options: argparse.Namespace, clock: Clock) -> int:
    """Run the parts asked for.

    Args:
        options: As `benchmarks.gpu_check.__main__` parses them.
        clock: Time for all of it.

    Returns:
        0 if everything that ran did what it should, 1 if something failed, 2 if nothing can be run.
    """
    try:
        device = str(parse_device(options.device))
    except OptionError as error:
        return _refuse(str(error))
    models, ways = _models(options.models, options.names), ways_of(device)
    if not models:
        return _refuse(f"{options.models} holds no model that was asked for")
    clock = clock.part(most=max(0.0, clock.left - _REPORTING_S))
    place = Place(options.cache, options.output / "logs", options.lines)
    if options.prepare:
        return _prepare(models, ways, place, clock)
    report = Report(options.output, device, options.lines, ways[0].name, facts(options.output))
    report.write()
    if "tests" in options.parts:
        report.steps.append(run_gpu_tests(place.logs, clock.part(_TESTS_SHARE, _TESTS_S)))
        report.write()
    if "measure" in options.parts:
        _measure(report, models, ways, place, clock.part(_MEASURING_SHARE if "tune" in options.parts else 1.0))
    if "tune" in options.parts:
        for number, model in enumerate(models):
            least, most = _TUNING_S
            share = clock.part(most=min(most, max(least, clock.left / (len(models) - number))))
            report.steps.append(tune(model, device, place.cache, options.output / "tunings", share))
            report.write()
    print(report.markdown())
    return 0 if report.good else 1


def _refuse(problem: str) -> int:
    print(problem, file=sys.stderr)
    return 2


def _models(folder: Path, names: Sequence[str] | None) -> list[Model]:
    """Return the models asked for; what is damaged is left out with a line."""
    there = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
    wanted = names or [name for name in MODELS if name in there] or there
    return [model for name in wanted if (model := _load(folder / name)) is not None]


def _load(path: Path) -> Model | None:
    try:
        return load_model(path)
    except OcrhpiError as error:
        print(f"{path.name}: {error}", file=sys.stderr)
    return None


def _prepare(models: Sequence[Model], ways: Sequence[Way], place: Place, clock: Clock) -> int:
    """Export the graph of each way of each model; return 1 if one failed."""
    failed = False
    for model in models:
        for way in {_form(way): way for way in ways}.values():
            reason = export(model, way, place, clock)
            failed |= bool(reason)
            print(f"{model.name}, {way.name}: {reason or 'there'}", flush=True)
    return int(failed)


def _form(way: Way) -> tuple[object, ...]:
    """Return what tells the graph of one way from that of another."""
    candidate = way.candidate
    return candidate.backend in {"paddle", "openvino"}, candidate.batching, candidate.precision, candidate.pixels


def _measure(report: Report, models: Sequence[Model], ways: Sequence[Way], place: Place, clock: Clock) -> None:
    """Measure way by way, so that every model has its most telling ones if time runs out."""
    for way in ways:
        for model in models if way.core else models[:1]:
            report.results.append(measure(model, way, place, clock))
            count_equal_texts(report.results, report.baseline)
            report.write()
