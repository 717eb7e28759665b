"""The front page and the documentation say what is so: figures, links, commands, the first example."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ocrhpi.cli import main
from ocrhpi.errors import MissingExtra

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"  # it tells of what was
)
CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def code(path: Path, language: str) -> list[str]:
    return [body for name, body in CODE.findall(path.read_text("utf-8")) if name == language]


def anchors(path: Path) -> set[str]:
    """The anchors of headings, as those who show Markdown make them."""
    headings = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", one) for one in HEADING.findall(path.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in headings}


def test_figures_are_what_the_results_say() -> None:
    specification = importlib.util.spec_from_file_location("figures", REPOSITORY / "scripts" / "figures.py")
    assert specification is not None
    assert specification.loader is not None
    figures = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(figures)
    for path, text in figures.made().items():
        assert path.read_text("utf-8") == text, f"{path.name} is not what the results say: run scripts/figures.py"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for found in LINK.finditer(CODE.sub("", page.read_text("utf-8"))):
        target = found[1] or found[2]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        site_only = page.parent.name == "docs" and file in {"results/index.md", "decisions/index.md"}
        if (not path.exists() and not site_only) or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            lost.append(target)
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_are_there_with_their_options(page: Path) -> None:
    faults = []
    for block in code(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|\||[;|]", line):
                words = shlex.split(command, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                fault = fault_of(words)
                if fault:
                    faults.append(f"{command.strip()}: {fault}")
    assert not faults


def fault_of(words: list[str]) -> str:
    if not words:
        return ""
    if words[0] == "ocrhpi":
        return fault_of_ocrhpi(words[1:])
    if words[0].startswith("scripts/"):
        return "" if (REPOSITORY / words[0]).is_file() else "no such script"
    if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
        return "" if importlib.util.find_spec(words[2]) else "no such module"
    if words[:2] == ["pip", "install"]:
        known = importlib.metadata.metadata("ocrhpi").get_all("Provides-Extra", ())
        extras = re.findall(r"^(?:\.|ocrhpi)\[([^\]]*)\]", next((word for word in words[2:] if "[" in word), ""))
        unknown = {one for found in extras for one in found.split(",")} - set(known)
        return f"no extra {unknown}" if unknown else ""
    return ""


def resolved(command: click.Command, context: click.Context, words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that is meant, of groups and their commands, and the words that are left for it."""
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if "write" in command.list_commands(context) and words[0] not in command.list_commands(context):
            words = ["write", *words]  # of ocrhpi bundle it may be left out
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    return command, words


def fault_of_ocrhpi(words: list[str]) -> str:
    """Say which command or option is not there."""
    command: click.Command = main
    context = click.Context(main)
    try:
        command, words = resolved(command, context, words)
    except click.UsageError as error:
        return error.message
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options = (word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word))
    unknown = [option for option in options if option not in {*known, "--help", "--version"}]
    return f"no option {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_python_compiles_and_imports_what_is_there(page: Path) -> None:
    for block in code(page, "python"):
        compile(block, relative(page), "exec")
        for module, names in re.findall(r"^from (ocrhpi[\w.]*) import ([\w, ]+)", block, re.MULTILINE):
            try:
                found = importlib.import_module(module)
            except MissingExtra:
                continue  # scripts/test_applications has it
            missing = [name for name in names.split(", ") if not hasattr(found, name)]
            assert not missing, f"{module} has no {missing}"


@pytest.mark.slow
def test_the_first_example_prints_what_the_front_page_shows(tmp_path: Path) -> None:
    page = REPOSITORY / "README.md"
    example, expected = code(page, "python")[0], code(page, "text")[0]
    environment_free = example.replace("use_hpip=True", f"use_hpip=True, hpi_config={{'cache_dir': {str(tmp_path)!r}}}")
    run = subprocess.run(
        [sys.executable, "-c", environment_free], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert run.stdout.splitlines()[: len(expected.splitlines())] == expected.splitlines()
