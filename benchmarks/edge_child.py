"""One system of `benchmarks.edge`, in a process of its own: a script, so that nothing of the checkout is imported.

    python edge_child.py JOB IMAGE...

JOB is a JSON object. It prints one JSON object a line: as soon as the first image is read, its text and the memory
held then; after that, all texts, the memory and the lines a second. The import of the peers' readers counts as theirs:
some hundredths of a second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str], str]

# ruff: noqa: PLC0415 - each system imports what is its own; the time of imports counts


def edge(job: dict[str, Any]) -> Read:
    """Open the bundle; return what reads an image."""
    from ocrhpi.edge import open_bundle

    reader = open_bundle(job["bundle"], threads=job["threads"])
    return lambda path: reader.read([path])[0].text


def peer(job: dict[str, Any]) -> Read:
    """Load the peer as `benchmarks.peers` does; return what reads an image."""
    sys.path.insert(0, job["checkout"])
    import cv2

    from benchmarks.peers import readers

    kinds: dict[str, type[readers.Reader]] = {"rapidocr": readers.RapidOcr, "paddleocr": readers.PaddleOcr}
    made = kinds[job["system"]](readers.Job(job["model_name"], job["model"], job["threads"], job["options"]))
    return lambda path: made.read_one(cv2.imread(path))  # type: ignore[arg-type]


def memory_mib() -> dict[str, float]:
    """Return the resident set of this process now, and its largest so far."""
    status = Path("/proc/self/status").read_text("ascii", "replace")
    facts = dict(line.split(":", 1) for line in status.splitlines())
    return {name: int(facts[key].split()[0]) / 1024 for name, key in (("now", "VmRSS"), ("most", "VmHWM"))}


def main() -> None:
    """Read the images with the system."""
    job, images = json.loads(sys.argv[1]), sys.argv[2:]
    # What a system prints goes to stderr.
    replies, sys.stdout = sys.stdout, sys.stderr
    read = (edge if job["system"] == "edge" else peer)(job)
    print(json.dumps({"text": read(images[0]), "memory_mib": memory_mib()}), file=replies, flush=True)
    texts = [read(image) for image in images]  # also warms up
    seconds = []
    for _ in range(job["passes"]):
        start = time.perf_counter()
        for image in images:
            read(image)
        seconds.append(time.perf_counter() - start)
    speed = len(images) / sorted(seconds)[len(seconds) // 2]
    print(json.dumps({"texts": texts, "memory_mib": memory_mib(), "lines_per_s": speed}), file=replies, flush=True)


main()
