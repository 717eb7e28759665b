"""The rows of a directory, and the files of the report that is made from them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ocrhpi.bench.rows import BenchRow
from ocrhpi.data_files import read_bounded, read_json
from ocrhpi.errors import OptionError
from ocrhpi.files import write_atomically
from ocrhpi.report.conditions import conditions_of
from ocrhpi.report.data import REPORT_FORMAT, as_csv, as_values
from ocrhpi.report.markdown import as_markdown
from ocrhpi.report.page import as_page
from ocrhpi.report.summary import figures_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REPORT = "report"


def read_rows(directory: Path | str) -> list[BenchRow]:
    """Read the rows that ``ocrhpi bench -o DIR`` wrote, in the order of their names.

    A report that was written beside them, and hidden files, are passed over.

    Args:
        directory: The directory.

    Raises:
        OptionError: It is missing or holds no row, or a file in it is damaged or no row; the error names it.
    """
    folder = Path(directory).expanduser()
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise OptionError("directory", f"{folder}: {getattr(error, 'strerror', None) or error}") from error
    rows = [row for path in paths if (row := _read_row(path)) is not None]
    if not rows:
        problem = f"{folder}: holds no results; this makes them: ocrhpi bench all -o {folder}"
        raise OptionError("directory", problem)
    return rows


def write_report(rows: Sequence[BenchRow], output: Path | str) -> list[Path]:
    """Write ``report.md``, ``report.csv``, ``report.json`` and ``report.html``, each as a whole or not at all.

    Args:
        rows: The rows, one a model.
        output: Directory, made if need be.

    Returns:
        The files.

    Raises:
        OptionError: They cannot be written, or the row of a model called 'report' is in the way.
    """
    models = figures_of(rows)
    conditions = conditions_of(models)
    texts = {
        "md": as_markdown(models, conditions),
        "csv": as_csv(models),
        "json": json.dumps(as_values(models), ensure_ascii=False, indent=1) + "\n",
        "html": as_page(models, conditions),
    }
    folder = Path(output).expanduser()
    paths = [folder / f"{_REPORT}.{kind}" for kind in texts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_free(folder / f"{_REPORT}.json")
        for path, text in zip(paths, texts.values(), strict=True):
            write_atomically(path, text)
    except OSError as error:
        raise OptionError("output", f"{error.filename or folder}: {error.strerror or error}") from error
    return paths


def _read_row(path: Path) -> BenchRow | None:
    """Return the row in a file; None for a report."""
    try:
        text = read_bounded(path)
        content = read_json(text)
    except (OSError, ValueError) as error:
        raise OptionError("directory", f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    kind = content.get("format") if isinstance(content, dict) else None
    if kind == REPORT_FORMAT:
        return None
    if kind != BenchRow.model_fields["format"].default:
        raise OptionError("directory", f"{path}: is not a file that this version of 'ocrhpi bench' writes")
    try:
        row = BenchRow.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise OptionError("directory", f"{path}: damaged at {place or 'the top'}: {fault['msg']}") from None
    problem = next(_faults(row, path), None)
    if problem is not None:
        raise OptionError("directory", f"{path}: damaged: {problem}")
    return row


def _faults(row: BenchRow, path: Path) -> Iterator[str]:
    """Yield what the types of a row let pass."""
    if row.model != path.stem:
        yield f"it is the row of {row.model!r}, whose file is called '{row.model}.json'"
    modes = [result.mode for result in row.modes]
    if len(set(modes)) < len(modes):
        yield "a mode stands in it twice"
    for result in row.modes:
        if not all(0 < ms < math.inf for ms in (*result.engine_ms, *result.samples)):
            yield f"a time of mode {result.mode} is not above 0"


def _check_free(path: Path) -> None:
    """Refuse to overwrite what may be the row of a model."""
    if path.exists() and f'"{REPORT_FORMAT}"' not in path.read_text("utf-8", "replace"):
        problem = f"{path}: is there and is no report of ocrhpi; choose another directory with --output"
        raise OptionError("output", problem)
