"""One system in a process of its own: opens it, then reads all pages whenever it is told to.

Each line on stdin is one round; each line on stdout is an answer, in JSON. What PaddleX prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import cv2

from benchmarks.pages.systems import SYSTEMS, open_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopwatch:
    """Stands in for a model of the pipeline and adds up the time in it."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self.model = model
        self.seconds = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ANN401 - PaddleX's
        """Call the model; it is lazy, and is read to its end here."""
        start = time.perf_counter()
        results = list(self.model(*args, **kwargs))
        self.seconds += time.perf_counter() - start
        return results


def main() -> None:
    """Serve the rounds of one system."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.argv[1])
    pages: list[Any] = [cv2.imread(path) for path in request["pages"]]
    try:
        pipeline = open_pipeline(
            SYSTEMS[request["system"]],
            Path(request["detection"]),
            Path(request["recognition"]),
            request["model_name"],
            request["threads"],
        )
        inner = pipeline.paddlex_pipeline._pipeline  # noqa: SLF001 - there is no other way to its models
        inner.text_rec_model = watch = Stopwatch(inner.text_rec_model)
        _answer(answers, _round(pipeline, watch, pages))  # the first round also shows whether it runs
        for _ in sys.stdin:
            _answer(answers, _round(pipeline, watch, pages))
    except Exception as error:  # noqa: BLE001 - a row of the table
        _answer(answers, {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"})


def _round(pipeline: Any, watch: Stopwatch, pages: list[Any]) -> dict[str, Any]:  # noqa: ANN401
    total, recognition, texts, boxes = [], [], [], []
    for page in pages:
        watch.seconds, start = 0.0, time.perf_counter()
        (result,) = pipeline.predict(page)
        total.append(time.perf_counter() - start)
        recognition.append(watch.seconds)
        texts.append(list(result["rec_texts"]))
        boxes.append([polygon.tolist() for polygon in result["dt_polys"]])
    return {"seconds": total, "recognition": recognition, "texts": texts, "boxes": boxes}


def _answer(answers: TextIO, content: dict[str, Any]) -> None:
    print(json.dumps(content), file=answers, flush=True)


if __name__ == "__main__":
    main()
