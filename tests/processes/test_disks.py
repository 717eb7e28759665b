"""Disks that are full, caches that may not be written to, users without a home: text is read, or a sentence says why.

The conditions are real: a tmpfs in a mount namespace of its own, another user, a limit of the size of files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from ocrhpi.tuning.cache import read_tuning
from tests.report.samples import row, save
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
STRANGER = 12345  # no user of this number, and so no home

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the conditions are made as Linux does")
AS_STRANGER = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]


def works(*command: str) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_stranger = pytest.mark.skipif(
    not works(*AS_STRANGER, sys.executable, "-c", "import onnx"), reason="nobody else can be, and run this Python"
)
needs_mounts = pytest.mark.skipif(
    not works("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"), reason="nothing can be mounted here"
)

SMALL = 'mount -t tmpfs -o size=16k tmpfs "$1"; '
FILL = 'cat /dev/zero 2>/dev/null > "$1/all of it"; '


def run(
    program: str,
    *arguments: object,
    full: Sequence[Path] = (),
    small: Sequence[Path] = (),
    stranger: bool = False,
    environment: Mapping[str, str | Path],
) -> subprocess.CompletedProcess[str]:
    """Run a Python program.

    Args:
        program: Its source.
        *arguments: Of it.
        full: Folders that are full there, and there alone.
        small: Folders in which there is too little space for a graph.
        stranger: Whether another user than that of the tests runs it.
        environment: Variables; others are those that it needs.
    """
    command = [*(AS_STRANGER if stranger else ()), sys.executable, "-c", program, *map(str, arguments)]
    if full or small:
        script = "".join(
            f'set -- {json.dumps(str(folder))} "$@"; {SMALL} {FILL if folder in full else ""} shift; '
            for folder in (*full, *small)
        )
        command = ["unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **{name: str(it) for name, it in environment.items()},
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may enter, which pytest's are not, with a model of 38 kB in it."""
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        Path(folder).chmod(0o755)
        tiny_onnx_model(Path(folder, "model"))
        yield Path(folder)


@pytest.fixture
def temporary(place: Path, tmp_path: Path) -> Path:
    """The folder of temporary files, for all users."""
    folder = place / tmp_path.name / "tmp"
    folder.mkdir(parents=True)
    folder.chmod(0o1777)
    return folder


READ = """
import json, logging, sys
logging.basicConfig(format="%(message)s")
from ocrhpi.loader import load_predictor
model, line, *more = sys.argv[1:]
with load_predictor(model_dir=model, backend="onnxruntime", batching="masked", device="cpu") as predictor:
    print(json.dumps([result["rec_text"] for result in predictor.predict(line)]))
"""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("full", marks=needs_mounts),
        pytest.param("another user's", marks=needs_stranger),
        pytest.param("no home", marks=needs_stranger),
    ],
)
def test_exports_go_to_a_temporary_folder_and_one_warning_says_so(
    case: str, place: Path, temporary: Path, lines_dir: Path
) -> None:
    cache = temporary.parent / "cache"
    cache.mkdir()
    line = shutil.copy(next(lines_dir.glob("*.png")), place)
    environment: dict[str, str | Path] = (
        {"TMPDIR": temporary} if case == "no home" else {"TMPDIR": temporary, "OCRHPI_CACHE_DIR": cache}
    )
    done = run(
        READ,
        *(place / "model", line),
        full=[cache] if case == "full" else (),
        stranger=case != "full",
        environment=environment,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1
    (warning,) = done.stderr.splitlines()
    reason = {"full": "No space left on device", "another user's": "Permission denied", "no home": "no home folder"}
    assert reason[case] in warning
    assert warning.endswith("set OCRHPI_CACHE_DIR to a folder that can be written to and has space")
    assert list(temporary.iterdir()) == []
    assert list(cache.iterdir()) == []


@needs_stranger
def test_what_is_in_a_cache_that_may_not_be_written_to_is_used(place: Path, temporary: Path, lines_dir: Path) -> None:
    line = shutil.copy(next(lines_dir.glob("*.png")), place)
    environment: dict[str, str | Path] = {"TMPDIR": temporary, "OCRHPI_CACHE_DIR": temporary.parent / "cache"}
    assert run(READ, place / "model", line, environment=environment).returncode == 0
    done = run(READ, place / "model", line, stranger=True, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")


COMMANDS = """
import json, resource, sys
from click.testing import CliRunner
from ocrhpi.cli import main
# What is needed of the cache is there before; from then on no file can be written.
before, commands = map(json.loads, sys.argv[1:])
answers = []
for arguments in [*before, None, *commands]:
    if arguments is None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        continue
    result = CliRunner().invoke(main, arguments)
    unforeseen = None if isinstance(result.exception, SystemExit | None) else repr(result.exception)
    answers.append((result.exit_code, result.stderr, unforeseen))
print(json.dumps(answers))
"""


def test_commands_that_cannot_write_their_output_say_so_in_a_sentence_and_leave_nothing(
    place: Path, temporary: Path, lines_dir: Path
) -> None:
    out = temporary.parent / "out"
    labels = out.parent / "labels.txt"
    (out / "rows").mkdir(parents=True)
    save([row("tiny")], out / "rows")
    line = next(lines_dir.glob("*.png"))
    labels.write_text(f"{line}\tabc\n", "utf-8")
    model, images = str(place / "model"), out.parent / "images"
    images.mkdir()
    shutil.copy(line, images)
    reading = ["--model_dir", model, "--device", "cpu", "--input", str(line)]
    bundle = ["bundle", model, "--target", "onnxruntime-cpu", "--lines", "2", "-o"]
    before = [[*bundle, f"{out.parent}/before"], ["export", model, "-o", f"{out.parent}/exported"]]
    commands = {
        "export": ["export", model, "-o", f"{out}/export"],
        "bundle": [*bundle, f"{out}/bundle.zip"],
        "bundle, a folder": [*bundle, f"{out}/bundle"],
        "runner": ["bundle", "runner", "-o", f"{out}/runner"],
        "save_path": ["text_recognition", *reading, "--save_path", f"{out}/saved"],
        "differences": ["eval", model, "--labels", str(labels), "--device", "cpu", "--differences", f"{out}/d.tsv"],
        "report": ["report", f"{out}/rows"],
        "batch": [
            "batch",
            str(images),
            "-o",
            f"{out}/batch",
            "--model",
            model,
            "--use_hpip",
            "false",
            "--workers",
            "1",
        ],
    }
    rows = sorted(path.name for path in (out / "rows").iterdir())
    environment: dict[str, str | Path] = {
        "TMPDIR": temporary,
        "OCRHPI_CACHE_DIR": out.parent / "cache",
        "HOME": out.parent,
    }
    done = run(COMMANDS, json.dumps(before), json.dumps(list(commands.values())), environment=environment)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [answer[0] for answer in answers[: len(before)]] == [0] * len(before), answers
    for name, (code, stderr, unforeseen) in zip(commands, answers[len(before) :], strict=True):
        assert (code, unforeseen) == (1, None), (name, stderr)
        assert "File too large" in stderr, name
        assert str(out) in stderr, name
    assert sorted(path.name for path in (out / "rows").iterdir()) == rows
    left = {
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path.parent.name != "rows"
    }
    assert left <= {"batch/.lock"}


TUNE = """
import json, logging, sys, time
logging.basicConfig(format="%(message)s")
from ocrhpi.loader import load_high_performance
model, line, cache, grids, times = sys.argv[1:]
config = {"cache_dir": cache, "backend_configs": grids, "tune": "quick", "backend": "onnxruntime"}
seconds = []
for _ in range(int(times)):
    start = time.monotonic()
    with load_high_performance(model_dir=model, device="cpu", hpi_config=config) as predictor:
        texts = [result["rec_text"] for result in predictor.predict(line)]
    seconds.append(time.monotonic() - start)
print(json.dumps([texts, seconds]))
"""


@pytest.fixture
def grids(tmp_path: Path) -> Path:
    """One candidate, which cannot run the graph as it came."""
    (tmp_path / "onnxruntime.yaml").write_text(yaml.safe_dump({"cpu": [{"batching": "masked", "batch_size": 4}]}))
    return tmp_path


@needs_mounts
def test_high_performance_mode_measures_all_the_same_and_once_in_a_process(
    place: Path, temporary: Path, lines_dir: Path, grids: Path
) -> None:
    cache = temporary.parent / "cache"
    cache.mkdir()
    line = next(lines_dir.glob("*.png"))
    done = run(
        TUNE, place / "model", line, cache, grids, 2, full=[cache], environment={"TMPDIR": temporary, "HOME": grids}
    )
    assert done.returncode == 0, done.stderr
    _, (first, second) = json.loads(done.stdout)
    assert second < first / 3, done.stderr
    assert "failed" not in done.stderr
    assert done.stderr.count("the tuning could not be kept") == 1
    assert done.stderr.count("set OCRHPI_CACHE_DIR") <= 1
    assert list(temporary.iterdir()) == []


@needs_mounts
def test_with_space_again_it_is_measured_again(place: Path, temporary: Path, lines_dir: Path, grids: Path) -> None:
    exports = temporary.parent / "cache" / "exports"
    exports.mkdir(parents=True)
    asked = (place / "model", next(lines_dir.glob("*.png")), exports.parent, grids, 1)
    environment: dict[str, str | Path] = {"TMPDIR": temporary, "HOME": grids}
    full = run(TUNE, *asked, full=[exports], small=[temporary], environment=environment)
    assert full.returncode == 0, full.stderr
    assert "this is measured again the next time" in full.stderr
    assert "No space left on device" in full.stderr
    (file,) = exports.parent.glob("hpi/*.yml")
    kept = read_tuning(file)
    assert kept.provisional
    assert {row.passing for row in kept.rows if not row.baseline} == {"disk"}
    space = run(TUNE, *asked, environment=environment)
    assert space.returncode == 0, space.stderr
    assert "measuring anew: onnxruntime" in space.stderr
    kept = read_tuning(file)
    assert not kept.provisional
    assert {row.outcome for row in kept.rows} == {"measured"}
    assert json.loads(space.stdout)[0] == json.loads(full.stdout)[0]
