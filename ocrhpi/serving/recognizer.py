"""One request, from its JSON to its result: places in the queue, images, lines, texts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.errors import RequestRefused
from ocrhpi.recognition.inputs import is_url
from ocrhpi.serving.batcher import Batcher
from ocrhpi.serving.images import read_files
from ocrhpi.serving.schema import InferResult, LineResult, PrunedResult, Words
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from ocrhpi.predictor import Predictor
    from ocrhpi.serving.images import RequestFile
    from ocrhpi.serving.metrics import Metrics
    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.serving.schema import InferRequest
    from ocrhpi.values import TextLine

_URL_THREADS = 4  # they wait for other servers, so they are apart from those that decode


class Recognizer:
    """Answers requests with one predictor; belongs to the event loop that it is made in.

    Args:
        predictor: What reads; closed with the recognizer.
        options: Limits.
        metrics: Is told of what happens.
    """

    def __init__(self, predictor: Predictor, options: ServingOptions, metrics: Metrics) -> None:
        self._predictor = predictor
        self._options = options
        self._batcher = Batcher(predictor.reader, options, metrics)
        self._decoders = ThreadPoolExecutor(options.decode_threads, thread_name_prefix="ocrhpi-decoder")
        self._fetchers = ThreadPoolExecutor(_URL_THREADS, thread_name_prefix="ocrhpi-fetcher")

    async def warm_up(self) -> None:
        """Read an empty line, so that the first request does not pay for what engines do only once."""
        spec = self._predictor.model.spec
        empty = LineImage(np.full((spec.height, spec.base_width, 3), 255, np.uint8))
        await asyncio.to_thread(self._predictor.reader.read, [empty])

    async def recognize(self, request: InferRequest) -> InferResult:
        """Read all files of a request; cancelling it gives its places in the queue up.

        Raises:
            RequestRefused: A file cannot be read, a limit is exceeded, the queue is full, or it took too long.
            OcrhpiError: The engine failed.
        """
        limit_s = self._options.timeout_s
        try:
            return await asyncio.wait_for(self._recognize(request), limit_s)
        except asyncio.TimeoutError:
            raise RequestRefused(503, f"not read within {limit_s:g} s; try again later", 1) from None

    async def close(self) -> None:
        """Read what waits, then release everything. Closing twice is fine."""
        await self._batcher.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        # Here, where it was opened: OpenVINO frees the signal stack that it gave to that thread, but takes it away only
        # from the thread that closes it; the next signal would kill.
        self._predictor.close()

    async def _recognize(self, request: InferRequest) -> InferResult:
        count = len(request.all_files)
        if count > self._options.max_images:
            problem = f"files: received {count}; one request may hold {self._options.max_images} images and pages"
            raise RequestRefused(422, problem)
        with self._batcher.hold(count) as places:
            threads = self._fetchers if any(is_url(file) for file in request.all_files) else self._decoders
            loop = asyncio.get_running_loop()
            files = await loop.run_in_executor(threads, read_files, request, self._options)
            lines = [line for file in files for line in file.lines]
            texts = await self._batcher.read(lines, places, word_boxes=request.return_word_box)
        return _result(request, files, texts)


def _result(request: InferRequest, files: list[RequestFile], texts: list[TextLine]) -> InferResult:
    places = [(index, line.page_index) for index, file in enumerate(files) for line in file.lines]
    results = [
        LineResult(pruned_result=_pruned(text), file_index=file_index, page_index=page_index)
        for (file_index, page_index), text in zip(places, texts, strict=True)
    ]
    infos = [file.info for file in files]
    return InferResult(text_rec_results=results, data_info=infos if request.file is None else infos[0])


def _pruned(text: TextLine) -> PrunedResult:
    boxes = text.word_boxes
    words = None
    if boxes is not None:
        words = Words(column_count=boxes.column_count, words=boxes.words, columns=boxes.columns, kinds=boxes.kinds)
    return PrunedResult(rec_text=text.text, rec_score=text.score, words=words)
