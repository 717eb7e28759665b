from __future__ import annotations

import ast
import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import ocrhpi
from ocrhpi.errors import OutputError
from ocrhpi.output import json_text, say, say_json, writable

TEXT = "a é 你好 😀 \udcff"
VALUES = {"input_path": "x/\udcff.png", "rec_text": TEXT}


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, newline="")


def written(file: io.TextIOWrapper) -> bytes:
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gbk", "utf-8", "utf-16"])
def test_every_encoding_takes_every_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream(encoding))
        say(TEXT, err=name == "stderr")
        said = written(getattr(sys, name)).decode(encoding)
        assert said.endswith("\n"), "written at once"
        assert ast.literal_eval(f'"{said[:-1]}"') == TEXT


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gbk", "utf-8", "utf-16"])
@pytest.mark.parametrize("errors", ["strict", "replace", "backslashreplace", "surrogateescape"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_valid_in_every_encoding(
    encoding: str, errors: str, indent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", stream(encoding, errors))
    say_json(VALUES, indent=indent)
    said = written(sys.stdout).decode(encoding)  # type: ignore[arg-type]
    assert json.loads(said) == VALUES
    assert (said.count("\n") == 1) == (indent is None)


def test_what_a_stream_takes_is_not_escaped() -> None:
    assert writable("é", stream("latin-1")) == "é"
    assert json_text({"a": "é"}, stream("latin-1")) == '{"a": "é"}'
    assert json_text({"a": "é"}, stream("utf-8"), ensure_ascii=True) == '{"a": "\\u00e9"}'
    assert writable(TEXT, io.StringIO()) == TEXT.encode("utf-8", "backslashreplace").decode()
    assert writable("x/\udcff", stream("ascii", "surrogateescape")) == "x/\udcff", "the bytes of a file name"
    assert writable("你", stream("ascii", "replace")) == "你", "as its user wants it"


def test_a_program_without_a_console_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    say("x")
    say("x", err=True)
    say_json({})
    assert capfd.readouterr() == ("", "")


class Gone(io.StringIO):
    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def flush(self) -> None:
        raise OSError(self.code, "gone")


@pytest.mark.parametrize(
    ("system", "code", "kind"),
    [
        ("posix", errno.EPIPE, BrokenPipeError),
        ("nt", errno.EINVAL, BrokenPipeError),
        ("posix", errno.EINVAL, OutputError),
        ("nt", errno.ENOSPC, OutputError),
    ],
)
def test_a_closed_pipe_is_one_on_every_system(
    system: str, code: int, kind: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Gone(code))
    monkeypatch.setattr(os, "name", system)
    with pytest.raises(OSError, match=r".") as caught:
        say("x")
    monkeypatch.undo()
    assert type(caught.value) is kind


def test_commands_write_in_this_way_alone() -> None:
    package = Path(ocrhpi.__file__).parent
    files = [*(package / "cli").rglob("*.py"), package / "edge" / "__main__.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            called: Any = node.func if isinstance(node, ast.Call) else None
            assert (
                ast.unparse(called)
                not in {
                    "print",
                    "click.echo",
                    "click.secho",
                    "tqdm.write",
                    "sys.stdout.write",
                    "sys.stderr.write",
                }
                if called
                else True
            ), file
