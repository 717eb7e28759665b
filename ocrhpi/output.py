"""Text for stdout and stderr: every command, and `TextRecResult.print`, writes through here.

A stream takes what its encoding has: all text in UTF-8, next to none where the locale is C or a Windows console is
redirected. What it does not take is escaped, so that nobody's results end at a character.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ocrhpi.errors import OutputError

if TYPE_CHECKING:
    from typing import TextIO


def say(text: object, *, err: bool = False, end: str = "\n") -> None:
    """Write to stdout, at once, so that whoever reads a pipe gets each result as it comes.

    Args:
        text: What to write.
        err: To stderr instead.
        end: What follows the text.

    Raises:
        BrokenPipeError: Nobody reads the other end any more; click ends a command quietly then.
        OutputError: It cannot be written, say because the disk is full.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # a program without a console
        return
    try:
        stream.write(writable(f"{text}{end}", stream))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if os.name == "nt" and error.errno == errno.EINVAL:  # what Windows says of a pipe whose reader is gone
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        silence(stream)
        raise OutputError("stderr" if err else "stdout", error.strerror or str(error), error.errno) from error


def say_json(values: object, *, indent: int | None = None) -> None:
    """Write one JSON object to stdout, see `say` and `json_text`."""
    say(json_text(values, sys.stdout, indent=indent))


def writable(text: str, stream: TextIO | None) -> str:
    r"""Return the text with escapes such as ``\u4f60`` for what the stream does not take."""
    encoding = _encoding(stream)
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def json_text(values: object, stream: TextIO | None, *, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """Return JSON that the stream takes: with JSON's own escapes, for those of `writable` would make it invalid.

    Args:
        values: The object.
        stream: Where it will be written.
        indent: Spaces of indentation; None: one line.
        ensure_ascii: Escape everything beyond ASCII.
    """
    text = json.dumps(values, indent=indent, ensure_ascii=ensure_ascii)
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return json.dumps(values, indent=indent)
    return text


def silence(stream: TextIO) -> None:
    """Let a stream that failed lead nowhere: Python would complain once more when it flushes it at its end."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:  # noqa: PTH123 - no path of this system
        os.dup2(nothing.fileno(), stream.fileno())


def _encoding(stream: TextIO | None) -> str:
    """Return the encoding of a stream; what has none, such as `io.StringIO`, takes every character."""
    return getattr(stream, "encoding", None) or "utf-8"
