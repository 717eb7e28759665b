"""``python -m ocrhpi.edge BUNDLE IMAGE...`` prints the text of each image; ``--verify BUNDLE`` tests the bundle."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ocrhpi.edge.reader import open_bundle
from ocrhpi.errors import InputError, OcrhpiError
from ocrhpi.output import say, say_json, silence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.edge.reader import EdgeReader


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 1 if an image, or anything at all, could not be read right."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if options.verify == bool(options.images):
        parser.error("--verify takes no images" if options.verify else "expected an image, or --verify")
    try:
        if options.verify:
            return _verify(options)
        with open_bundle(options.bundle, threads=options.threads, sha256=options.sha256) as reader:
            whole = [_print_text(reader, image, as_json=options.json) for image in options.images]
            return 0 if all(whole) else 1
    except OcrhpiError as error:
        say(f"error: {error}", err=True)
        return 1
    except BrokenPipeError:  # whoever read the texts has enough of them
        silence(sys.stdout)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m ocrhpi.edge", description="Read text lines with an edge bundle.")
    parser.add_argument("bundle", help="folder or zip file that 'ocrhpi bundle' wrote")
    parser.add_argument("images", nargs="*", metavar="image", help="image of one text line")
    parser.add_argument("--threads", type=int, help="CPU threads; without it, the usable cores")
    parser.add_argument("--sha256", help="SHA-256 that the manifest of the bundle must have")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, with the score")
    parser.add_argument("--verify", action="store_true", help="check hashes, texts and speed of the bundle here")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often --verify times the lines, 0 for texts alone; default 3"
    )
    return parser


def _verify(options: argparse.Namespace) -> int:
    from ocrhpi.edge.selftest import describe, verify_bundle  # noqa: PLC0415 - reading does without

    verification = verify_bundle(options.bundle, threads=options.threads, sha256=options.sha256, rounds=options.rounds)
    say("\n".join(describe(verification)))
    return 0 if verification.passed else 1


def _print_text(reader: EdgeReader, image: str, *, as_json: bool) -> bool:
    """Print what is read in one image, at once; return whether it could be read."""
    try:
        (line,) = reader.read([image])
    except InputError as error:
        say(f"error: {error}", err=True)
        return False
    if as_json:
        say_json({"input_path": image, "rec_text": line.text, "rec_score": line.score})
    else:
        say(line.text)
    return True


if __name__ == "__main__":
    sys.exit(main())
