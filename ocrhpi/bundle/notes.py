"""What goes with a model into a bundle: lines of known text, licences, instructions."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from PIL import Image

from ocrhpi.bundle.runner import DISTRIBUTION, EXTRAS, REQUIRES, runner_name
from ocrhpi.catalog import official_models
from ocrhpi.edge.config import CALIBRATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.bundle.targets import Target
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
