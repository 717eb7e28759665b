from __future__ import annotations

import importlib.metadata
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from ocrhpi.errors import MissingExtra
from ocrhpi.integrations.paddlex import launcher

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """How `install` was called; nothing is installed."""
    calls: list[dict[str, object]] = []
    monkeypatch.setattr(launcher, "install", lambda **options: calls.append(options))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return calls


def launch(*arguments: str) -> Result:
    return CliRunner().invoke(launcher.main, list(arguments))


def test_a_file_runs_as_a_program_with_its_arguments(installed: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("word = 'beside'\n")
    program = tmp_path / "program.py"
    program.write_text("import sys, beside\nprint(__name__, beside.word, sys.argv[1:])\nsys.exit(7)\n")
    for command in ([str(program)], ["python", str(program)]):
        done = launch("--", *command, "--hpi_config", "x")
        assert done.output == "__main__ beside ['--hpi_config', 'x']\n"
        assert done.exit_code == 7
    assert installed == [{"replace_hpi": True, "by_default": True, "hpi_config": None}] * 2


def test_a_module_and_an_installed_command_run(installed: list[dict[str, object]]) -> None:
    assert launch("--", "python", "-m", "json.tool", "--help").output.startswith("usage:")
    done = launch("--hpi_config", "hpi.yml", "--only_where_asked", "--", "pygmentize", "-V")
    assert done.exit_code == 0
    assert importlib.metadata.version("pygments") in done.output
    assert installed[1] == {"replace_hpi": True, "by_default": False, "hpi_config": "hpi.yml"}


@pytest.mark.usefixtures("installed")
def test_what_is_no_program_is_refused() -> None:
    done = launch("--", "pygmentise", "-i", "page.png")
    assert done.exit_code == 2
    expected = "'pygmentise' is neither an installed Python command nor a Python file. Did you mean 'pygmentize'?"
    assert expected in done.output


def test_a_version_that_does_not_fit_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def install(**_: object) -> None:
        raise MissingExtra("paddleocr", "paddlex 9.0 is installed")

    monkeypatch.setattr(launcher, "install", install)
    done = launch("--", "paddleocr", "ocr")
    assert done.exit_code == 1
    assert done.output.startswith("Error: paddlex 9.0 is installed; install what is needed with: pip install")
