"""A model -> a bundle, in steps: graph, expected texts, files, manifest, and the runner's own test of it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from ocrhpi._version import __version__
from ocrhpi.assembly import open_reader
from ocrhpi.bundle.notes import calibration_files, instructions
from ocrhpi.bundle.pack import check_output, pack
from ocrhpi.bundle.runner import licence_text, runner_name, runner_wheel
from ocrhpi.bundle.targets import target_of
from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.config import CONFIG, VOCABULARY, BundleConfig
from ocrhpi.edge.selftest import verify_bundle
from ocrhpi.errors import ExportError, ModelNotFound
from ocrhpi.export.exporter import EXPORTER_VERSION
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.bundle.targets import BundleOptions, Target
    from ocrhpi.edge.selftest import Verification
    from ocrhpi.model import Model
    from ocrhpi.tuning.calibration import CalibrationLine
    from ocrhpi.values import TextLine

_ARTIFACT = "model.onnx"


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle on disk.

    Attributes:
        path: The folder or the zip file.
        seal: SHA-256 of its manifest, as hex.
        verification: What the small runner made of it here; None for a target that needs more than that.
    """

    path: Path
    seal: str
    verification: Verification | None


def write_bundle(
    model: Model,
    options: BundleOptions,
    output: Path,
    *,
    calibration_dir: Path | None = None,
    cache_dir: Path | None = None,
) -> WrittenBundle:
    """Make a bundle; it exists only if the runner reads with it what ocrhpi reads.

    Args:
        model: The model.
        options: What is asked for.
        output: A file that ends in ``.zip``, replaced if it exists, or else a new or empty folder.
        calibration_dir: The user's own lines, as for `ocrhpi.tuning.calibration.load_calibration`; None: shipped ones.
        cache_dir: Where exports are kept, as in `ocrhpi.cache.cache_root`.

    Raises:
        OptionError: An option does not fit, or the bundle cannot be written there.
        ModelError: The model cannot be exported.
        BackendError: The engine is missing here, or does not run the model in that precision.
        ExportError: The runner reads otherwise than ocrhpi.
    """
    target = target_of(options.target)
    check_output(output)
    lines = load_calibration(calibration_dir, limit=options.lines).lines
    with open_reader(model, options.candidate(model), cache_dir=cache_dir) as reader:
        texts = reader.read([LineImage(line.pixels) for line in lines])
        graph, engine = reader.model.files.onnx, reader.effective
    if graph is None:
        raise ModelNotFound(model.path, "an ONNX graph")
    files = {
        _ARTIFACT: graph.read_bytes(),
        CONFIG: _as_json(_config(model, options, target).as_values()),
        VOCABULARY: _as_json(list(model.vocabulary)),
        **_other_files(model, target, lines, texts, shipped_lines=calibration_dir is None),
    }
    versions = {
        "ocrhpi": __version__,
        "exporter": str(EXPORTER_VERSION),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        engine.backend: engine.engine_version,
    }
    verifications: list[Verification] = []

    def check(bundle: Path) -> None:
        if target.small:
            verifications.append(_verified(model, bundle))

    pack(target.name, versions, files, output, check)
    verification = replace(verifications[0], bundle=str(output)) if verifications else None
    with Bundle(output) as bundle:
        return WrittenBundle(output, bundle.seal, verification)


def _config(model: Model, options: BundleOptions, target: Target) -> BundleConfig:
    return BundleConfig(
        model_name=model.name,
        spec=model.spec,
        right_to_left=model.right_to_left,
        artifact=_ARTIFACT,
        engine=target.engine,
        precision=options.precision,
        batching=options.batching_for(target, model),
        width_step=options.width_step,
        batch_size=options.batch_size or target.batch_size,
        buckets=target.buckets if options.batching_for(target, model) == "masked" else (),
        small=target.small,
        space=model.space,
    )


def _other_files(
    model: Model,
    target: Target,
    lines: Sequence[CalibrationLine],
    texts: Sequence[TextLine],
    *,
    shipped_lines: bool,
) -> dict[str, bytes]:
    files = {
        "licences/Apache-2.0.txt": licence_text().encode(),
        **instructions(model, target, shipped_lines=shipped_lines),
        **calibration_files(lines, texts),
    }
    return {**files, f"runner/{runner_name()}": runner_wheel()} if target.small else files


def _verified(model: Model, bundle: Path) -> Verification:
    """Read the calibration lines with the small runner, which must give what ocrhpi gave."""
    verification = verify_bundle(bundle, rounds=1)
    if not verification.passed:
        change = verification.changes[0]
        problem = f"the runner reads {len(verification.changes)} of {verification.lines} lines otherwise than ocrhpi, "
        raise ExportError(model.path, "bundle", f"{problem}first {change.received!r} for {change.expected!r}")
    return verification


def _as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
