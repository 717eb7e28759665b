"""Reads hostile files in bounded memory, and says how that went; ``python -m tests.processes.hostile``.

Each case is one line on stdout: its name, the error and what it says, and the seconds that it took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from ocrhpi import TextRecognition, load_predictor
from ocrhpi.batch.plan import read_plan as read_batch_plan
from ocrhpi.cli import main
from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.errors import OcrhpiError
from ocrhpi.evaluation.evaluate import load_dataset
from ocrhpi.model import load_model
from ocrhpi.model.graph_facts import read_graph_facts
from ocrhpi.quantization.plan import read_plan
from ocrhpi.report.files import read_rows
from ocrhpi.tuning.cache import find, read_tuning
from ocrhpi.tuning.candidates import list_candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

MEMORY = 8 << 30  # OpenVINO alone reserves some
COMMANDS: dict[str, Callable[[Path, Path], list[object]]] = {
    "text_recognition": lambda model, folder: ["-i", folder, "--model_dir", model],
    "export": lambda model, folder: [model, "-o", folder / "out"],
    "tune": lambda model, _: [model],
    "eval": lambda model, folder: [model, "--labels", folder / "labels.txt"],
    "bundle": lambda model, folder: [model, "--target", "onnxruntime-cpu", "-o", folder / "b.zip"],
    "lower": lambda model, _: [model, "--precision", "int8"],
    "batch": lambda model, folder: [folder, "-o", folder / "batch", "--model", model],
}


def run_command(command: str, model: Path, folder: Path) -> object:
    given = [str(argument) for argument in COMMANDS[command](model, folder)]
    result = CliRunner().invoke(main, [command, *given])
    return told_by(result)


def read_all(folder: Path) -> None:
    """Read every file of the folder by the doors that its first name tells."""
    good = load_model(folder / "good")

    def by_grid(path: Path) -> object:
        return list_candidates(good, "cpu", HpiConfig(backend_configs=path))

    doors: dict[str, dict[str, Callable[[Path], object]]] = {
        "hpi": {
            "read_hpi_config": read_hpi_config,
            "read_tuning": read_tuning,
            "find": lambda path: find(path, {}, "model").stale,
            "TextRecognition": lambda path: TextRecognition(model_dir=good.path, use_hpip=True, hpi_config=path),
            "explain": run_explain,
            "read_plan": read_plan,
        },
        "grid": {"list_candidates": by_grid},
        "model": {
            "load_model": load_model,
            "load_predictor": lambda path: load_predictor(model_dir=path, backend="openvino"),
            **{name: lambda path, name=name: run_command(name, path, folder / "lines") for name in COMMANDS},  # type: ignore[misc]
        },
        "graph": {"read_graph_facts": read_graph_facts},
        "batch": {"read_plan": lambda path: read_batch_plan(path, None)},  # type: ignore[arg-type]
        "rows": {"read_rows": read_rows},
        "labels": {"load_dataset": load_dataset},
    }
    for path in sorted(folder.iterdir()):
        for door, read in doors.get(path.name.partition("-")[0], {}).items():
            tell(f"{path.stem} {door}", lambda path=path, read=read: read(path))  # type: ignore[misc]


def run_explain(path: Path) -> object:
    return told_by(CliRunner().invoke(main, ["explain", str(path)]))


def told_by(result: Result) -> str:
    if isinstance(result.exception, SystemExit) and result.exit_code == 1:
        raise OcrhpiError(result.stderr.strip().splitlines()[-1])
    if result.exception:
        raise result.exception
    return result.stdout


def tell(name: str, read: Callable[[], Any]) -> None:
    began = time.monotonic()
    try:
        answer = ["", str(read())[:2000]]
    except OcrhpiError as error:
        answer = ["ours", str(error)]
    except BaseException as error:  # noqa: BLE001 - what is looked for
        answer = [type(error).__name__, str(error)]
    print(json.dumps([name, *answer, round(time.monotonic() - began, 2)]), flush=True)  # noqa: T201


if __name__ == "__main__":
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    read_all(Path(sys.argv[1]))
