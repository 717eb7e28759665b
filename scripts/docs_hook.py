"""A hook of mkdocs: pages from outside ``docs``, and links between all of them as the repository has them.

The changelog, the contributing guide and the results stay where readers of the repository look for them. In pages, a
link to a file that the site has leads to its page; one to a source file is shown without a link, since the site does
not know where the repository is kept.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = "benchmarks/results"
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


@cache
def _outside() -> dict[str, str]:
    """Return the files from outside ``docs``: their place in the repository -> in the site."""
    files = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
    for path in sorted((_ROOT / _RESULTS).rglob("*")):
        if path.suffix in {".md", ".html"}:
            place = path.relative_to(_ROOT).as_posix()
            files[place] = f"results/{path.relative_to(_ROOT / _RESULTS).as_posix()}".replace("README.md", "index.md")
    return files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside, and the list of decisions."""
    for place, page in _outside().items():
        files.append(File.generated(config, page, abs_src_path=str(_ROOT / place)))
    files.append(File.generated(config, "decisions/index.md", content=_decisions()))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:  # noqa: ANN401 - what mkdocs passes besides
    """Let links lead where they lead in the repository."""
    outside = _outside()
    here = next((place for place, name in outside.items() if name == page.file.src_uri), f"docs/{page.file.src_uri}")

    def led(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"[a-z]+:", target):
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        pages = {**outside, "README.md": "index.md"}
        name = pages.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else None)
        if name is not None:
            return f"[{text}]({posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"
        if not (_ROOT / place).exists():
            return found[0]  # mkdocs says what is wrong with it
        return text

    return _LINK.sub(led, markdown)


def _decisions() -> str:
    lines = ["# Decisions", "", "Context, decision and price of each choice that a reader may question.", ""]
    for path in sorted((_ROOT / "docs/decisions").glob("[0-9]*.md")):
        title = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"
