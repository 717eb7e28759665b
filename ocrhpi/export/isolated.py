"""Work that may take its process along, in one of its own; and what is told when it fails, in one line.

Such a child is asked once and then ends, so it is simpler than those of `ocrhpi.workers`, which answer many requests.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# The answer is one JSON line on the child's real stdout; whatever libraries print goes to stderr.
# The parent's module search path lets the child find the same packages and plug-ins.
_FRAME = """
import json, os, sys
path, program, *arguments = sys.argv[1:]
sys.path[:] = json.loads(path)
result = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
scope = {"arguments": arguments}
try:
    exec(program, scope)
    answer = {"answer": scope["answer"]}
except BaseException as error:
    answer = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(answer), file=result, flush=True)
"""

_LONGEST = 400
_KILLED = 9  # SIGKILL, which Windows does not have
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_LOG_PREFIX = re.compile(r"^.*?\[ERROR\]\s*(\[Paddle2ONNX\]\s*)?")
# ``InvalidArgumentError: ...``, ``(InvalidArgument) ...``, and what converters log
_ERROR = re.compile(r"^([\w.]*(Error|Exception)\b\s*:|\([A-Z]\w+\)\s)|\bERROR\b|not support")
# What Paddle's handler of signals says of any of them, after what the library itself said.
_NOISE = (
    *("detected by the operating system", "Error Message Summary", "C++ Traceback", "No stack trace in paddle"),
    *("[TimeInfo:", "[SignalInfo:", "------"),
)


class ApartFailed(Exception):
    """The child raised an error, or ended without an answer.

    Args:
        how: What happened; a phrase.
        words: What it printed that tells more; empty: nothing.
        crashed: Whether a fault of what it ran ended it, and not a limit of time or memory.
    """

    def __init__(self, how: str, words: str, *, crashed: bool = False) -> None:
        super().__init__(f"{how}; {words}"[:_LONGEST] if words else how)
        self.how = how
        self.words = words
        self.crashed = crashed


def run_apart(program: str, arguments: Sequence[str] = (), *, timeout_s: float, given: bytes = b"") -> Any:  # noqa: ANN401 - JSON
    """Run a Python program in a process of its own, and return what it answers.

    Args:
        program: Its source; it finds ``arguments``, and sets ``answer`` to what JSON can hold.
        arguments: Of it.
        timeout_s: After which it is killed.
        given: What it can read from ``sys.stdin.buffer``.

    Raises:
        ApartFailed: It raised an error, crashed, or took longer.
    """
    command = [sys.executable, "-c", _FRAME, json.dumps(sys.path), program, *arguments]
    try:
        child = subprocess.run(command, input=given, capture_output=True, timeout=timeout_s, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ApartFailed(f"it did not end within {timeout_s:g} s", _last_words(error.stderr)) from error
    answers = child.stdout.splitlines()
    if not answers:
        crashed = child.returncode != -_KILLED
        raise ApartFailed(_ending(child.returncode), _last_words(child.stderr), crashed=crashed)
    answer = json.loads(answers[-1])
    if "error" in answer:
        raise ApartFailed(telling_line(answer["error"]), (_errors(_decoded(child.stderr)) or [""])[-1][:_LONGEST])
    return answer["answer"]


def telling_line(error: BaseException | str) -> str:
    """Return what an exception says, in one line: the innermost error that it shows, else how it begins.

    Args:
        error: It, or its words.
    """
    text = (error if isinstance(error, str) else f"{type(error).__name__}: {error}").strip()
    beginning, _, rest = text.partition("\n")
    inner = _errors(rest)
    paragraph = " ".join(text.partition("\n\n")[0].split())
    if inner or (rest and paragraph.endswith(":")):  # "In user code:", for example
        return (inner or _lines(rest) or [beginning])[-1][:_LONGEST]
    return paragraph.rstrip(": ")[:_LONGEST]


def _last_words(output: bytes | None) -> str:
    """Return the line of an output that tells most: the last error if there is one, else the last line."""
    text = _decoded(output)
    return (_errors(text) or _lines(text) or [""])[-1][:_LONGEST]


def _errors(text: str) -> list[str]:
    errors = (_LOG_PREFIX.sub("", line) for line in _lines(text) if _ERROR.search(line))
    return [line for line in errors if line and not line.endswith(":")]  # one with a colon announces another


def _lines(text: str) -> list[str]:
    lines = (_COLOUR.sub("", line).strip() for line in text.splitlines())
    return [line for line in lines if line and not any(noise in line for noise in _NOISE)]


def _decoded(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", "replace")


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit status {code}"
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, "unknown") + (", out of memory?" if -code == _KILLED else "")
    return f"its process ended with signal {-code} ({name})"
