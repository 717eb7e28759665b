"""Names of models as names of files."""

from __future__ import annotations

import hashlib
import re

_UNFIT = re.compile(r"[^\w.+-]", re.ASCII)
_LONGEST = 100
_DIGEST = 12


def file_name(name: str) -> str:
    """Return ``name`` as one part of a path, on any system: a model may be called ``../../x`` or by 250 letters.

    Official names stay as they are. Others get a digest where something was taken out, so that no two names meet.
    """
    plain = _UNFIT.sub("_", name).strip(".")[:_LONGEST]
    if plain and plain == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{plain[: _LONGEST - _DIGEST - 1] or 'model'}-{digest}"
