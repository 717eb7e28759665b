"""``python -m benchmarks.gpu_check``: see the package's docstring. Nothing of ocrhpi is imported before the wheels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu_check.clock import Clock
from benchmarks.gpu_check.wheels import use_wheels

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("tests", "measure", "tune")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return 0 if all that ran did what it should."""
    options = _parse(arguments)
    clock = Clock(options.seconds)
    options.output.mkdir(parents=True, exist_ok=True)
    use_wheels(options.models, options.output, clock)
    from benchmarks.gpu_check.run import run  # noqa: PLC0415 - needs what the wheels may have brought

    return run(options, clock)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("gpu_check", description="Test, time and tune on this machine's GPU.")
    parser.add_argument("output", type=Path, help="folder of the report, made if need be")
    parser.add_argument("--models", type=Path, required=True, help="folder of model directories, and of wheels")
    parser.add_argument("--model", action="append", dest="names", help="a model of it; may be repeated")
    parser.add_argument("--device", default="gpu:0", help="gpu:INDEX, or cpu for a dry run (default: gpu:0)")
    parser.add_argument("--seconds", type=float, default=520.0, help="time for all of it (default: 520)")
    parser.add_argument("--lines", type=int, default=48, help="lines to read in each pass (default: 48)")
    parser.add_argument("--cache", type=Path, help="folder of exports and engines (default: in the output)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    parser.add_argument("--prepare", action="store_true", help="export the graphs into the cache, and end")
    options = parser.parse_args(arguments)
    if not options.models.is_dir():
        parser.error(f"--models: {options.models} is no folder")
    if options.lines < 1:
        parser.error(f"--lines: received {options.lines}, expected at least 1")
    # The steps run in a directory of their own.
    options.models, options.output = options.models.resolve(), options.output.resolve()
    options.cache = options.cache.resolve() if options.cache else options.output / "cache"
    return options


if __name__ == "__main__":
    sys.exit(main())
