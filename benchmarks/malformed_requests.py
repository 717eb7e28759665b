"""Requests that a server must refuse: what clients send by mistake, and what nobody sends by mistake."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["malformed_requests"]

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def malformed_requests(count: int, image: bytes, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield kind and body of ``count`` requests, all kinds in turn, each made anew from a sound image.

    Args:
        count: How many.
        image: An encoded PNG.
        seed: Of the chance that makes them.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    kinds = list(_KINDS.items())
    for number in range(count):
        kind, make = kinds[number % len(kinds)]
        yield kind, make(image, rng)


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _noise(_image: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 2000))


def _cut_json(image: bytes, rng: random.Random) -> bytes:
    body = _json(file=_encoded(image))
    return body[: rng.randrange(1, len(body) - 1)]


def _nested(_image: bytes, rng: random.Random) -> bytes:
    return b'{"file":' + b"[" * rng.randrange(10_000, 200_000)


def _wrong_types(image: bytes, rng: random.Random) -> bytes:
    wrong = [None, 7, True, [], {}, [[_encoded(image)]], {"url": "x"}, [None], 1e308]
    return _json(**{rng.choice(["file", "files", "fileType", "logId"]): rng.choice(wrong)})


def _unknown_names(image: bytes, rng: random.Random) -> bytes:
    return _json(file=_encoded(image), **{f"use{rng.randrange(1000)}": True})


def _no_base64(_image: bytes, rng: random.Random) -> bytes:
    return _json(file="".join(rng.choices("abc!§$%é\u0000", k=rng.randrange(1, 500))) + "!")


def _no_image(_image: bytes, rng: random.Random) -> bytes:
    return _json(file=_encoded(b"text " + rng.randbytes(rng.randrange(1, 5000))))


def _cut_image(image: bytes, rng: random.Random) -> bytes:
    return _json(files=[_encoded(image), _encoded(image[: rng.randrange(len(image) - 12)])])


def _bomb(_image: bytes, rng: random.Random) -> bytes:
    size = rng.randrange(50_000, 2**31 - 1)
    header = b"IHDR" + struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(100_000))
    chunks = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, pixels)
    )
    return _json(file=_encoded(_PNG_MAGIC + chunks + _PNG_END))


def _damaged_documents(_image: bytes, rng: random.Random) -> bytes:
    start = rng.choice(
        [b"%PDF-1.7\n", b"II*\x00", b"MM\x00*", b"\xff\xd8\xff\xe0", b"BM", b"GIF89a", b"RIFF\0\0\0\0WEBP"]
    )
    return _json(file=_encoded(start + rng.randbytes(rng.randrange(1, 3000))))


def _too_many(image: bytes, rng: random.Random) -> bytes:
    return _json(files=[_encoded(image[:50])] * rng.randrange(65, 5000))


def _too_long(_image: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.9:  # noqa: PLR2004 - most are short, so that sending them is not what takes the time
        return b"{" + b" " * 1000
    return b" " * (33 << 20)


def _urls(_image: bytes, rng: random.Random) -> bytes:
    hosts = ["127.0.0.1", "169.254.169.254", "localhost:8080", "[::1]", "example.invalid"]
    return _json(file=f"http://{rng.choice(hosts)}/a.png")


_KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "noise": _noise,
    "cut JSON": _cut_json,
    "nested JSON": _nested,
    "wrong types": _wrong_types,
    "unknown names": _unknown_names,
    "no base64": _no_base64,
    "no image": _no_image,
    "cut image": _cut_image,
    "bomb": _bomb,
    "damaged document": _damaged_documents,
    "too many": _too_many,
    "too long": _too_long,
    "URL": _urls,
}
