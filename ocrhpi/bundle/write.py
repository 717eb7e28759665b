"""A model -> a bundle, in steps: graph, expected texts, files, manifest, and the runner's own test of it.

With the model go lines of known text, licences and instructions.
"""

from __future__ import annotations

import io
import json
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from PIL import Image

from ocrhpi._version import __version__
from ocrhpi.assembly import open_reader
from ocrhpi.bundle.pack import check_output, pack
from ocrhpi.bundle.runner import DISTRIBUTION, EXTRAS, REQUIRES, licence_text, runner_name, runner_wheel
from ocrhpi.bundle.targets import target_of
from ocrhpi.catalog import official_models
from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.config import CALIBRATION, CONFIG, VOCABULARY, BundleConfig
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
    from ocrhpi.values import Pixels, TextLine


def calibration_files(lines: Sequence[CalibrationLine], texts: Sequence[TextLine]) -> dict[str, bytes]:
    """Return the files of the calibration lines: their images as PNG, and their list.

    Args:
        lines: The lines.
        texts: What is read in them where the bundle is made.
    """
    files: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    for number, (line, read) in enumerate(zip(lines, texts, strict=True)):
        name = f"calibration/{number:03}.png"
        files[name] = _png(line.pixels)
        written = {} if line.text is None else {"written": line.text}
        entries.append({"file": name, "expected": read.text, "score": float(read.score), **written})
    files[CALIBRATION] = json.dumps({"lines": entries}, ensure_ascii=False, indent=1).encode()
    return files


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., ::-1].copy()).save(file, "PNG", optimize=True)
    return file.getvalue()


# As their wheels state them (License-Expression or License).
_LICENCES = {
    "numpy": "BSD-3-Clause, with parts under other free licences; stated in its wheel",
    "pillow": "MIT-CMU, with bundled libraries under other free licences; stated in its wheel",
    "onnxruntime": "MIT",
    "openvino": "Apache-2.0",
    "python-bidi": "LGPL-3.0",
    "tensorrt": "NVIDIA's own terms",
}


def extras_of(model: Model, target: Target) -> list[str]:
    """Return the extras of the runner that the bundle needs."""
    return [target.engine, *(["arabic"] if model.right_to_left else [])]


def requirements(model: Model, target: Target) -> list[str]:
    """Return what must be installed on the device besides the runner, as pip takes it."""
    if not target.small:
        return [f"ocrhpi[{target.engine}]"]
    return [*REQUIRES, *(EXTRAS[extra] for extra in extras_of(model, target))]


def instructions(model: Model, target: Target, *, shipped_lines: bool) -> dict[str, bytes]:
    """Return the files ``README.md``, ``LICENCES.md`` and ``requirements.txt`` of a bundle."""
    return {
        "README.md": _readme(model, target).encode(),
        "LICENCES.md": licence_notes(model, target, shipped_lines=shipped_lines).encode(),
        "requirements.txt": ("\n".join(requirements(model, target)) + "\n").encode(),
    }


def _readme(model: Model, target: Target) -> str:
    runner = f" runner/{runner_name()}" if target.small else ""
    return f"""# {model.name} for {target.name}

Made by ocrhpi. Install what it needs, in this folder, with Python 3.10 or newer:

    pip install -r requirements.txt{runner}

Read text lines, from the folder or from the zip file:

    python -m ocrhpi.edge BUNDLE line.png

    from ocrhpi.edge import open_bundle

    with open_bundle("BUNDLE") as reader:
        for line in reader.read(["line.png"]):
            print(line.text, line.score)

Check on the device that nothing was damaged, that it reads what it read where it was made, and how fast:

    python -m ocrhpi.edge --verify BUNDLE

- `manifest.json`: all files with their SHA-256; a bundle that differs is refused
- `config.json`, `vocabulary.json`, `model.onnx`: how it reads
- `calibration/`: lines of known text, and what is read in them
- `LICENCES.md`: whose licences these parts are under
"""


def licence_notes(model: Model, target: Target, *, shipped_lines: bool) -> str:
    """Return the licence notes.

    Args:
        model: The model.
        target: What the bundle is made for.
        shipped_lines: Whether its calibration lines are those of ocrhpi.
    """
    lines = [
        "# Licences",
        "",
        "| part | licence |",
        "|---|---|",
        f"| `model.onnx`, `vocabulary.json` | {_model_licence(model)} |",
        f"| `calibration/` | {_line_licence(shipped_lines=shipped_lines)} |",
    ]
    if target.small:
        lines.append(f"| `runner/` ({DISTRIBUTION}) | Apache-2.0, text in `licences/Apache-2.0.txt` |")
    lines += ["", "Not contained, installed beside it:", "", "| package | licence |", "|---|---|"]
    names = ["numpy", "pillow", *(["python-bidi"] if model.right_to_left else []), target.engine]
    lines += [f"| {name} | {_LICENCES[name]} |" for name in names]
    return "\n".join(lines) + "\n"


def _model_licence(model: Model) -> str:
    if model.name in official_models():
        return (
            f"{model.name} of PaddleOCR, by the PaddlePaddle authors, Apache-2.0 (text in `licences/Apache-2.0.txt`); "
            "converted to ONNX by ocrhpi"
        )
    return f"{model.name} is no official model of PaddleOCR: its licence is for its owner to state"


def _line_licence(*, shipped_lines: bool) -> str:
    if shipped_lines:
        return (
            "ocrhpi, Apache-2.0: texts of its own, rendered in fonts under the OFL-1.1, the Bitstream Vera licence and "
            "Apache-2.0, none of which is contained"
        )
    return "the user's own lines: their licence is for their owner to state"


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
