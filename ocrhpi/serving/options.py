"""What a server allows, of one request, of all that wait, and of time; and how it opens its model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ocrhpi.errors import MissingExtra
from ocrhpi.loader import batch_size_of, open_predictor
from ocrhpi.options import Options

if TYPE_CHECKING:
    from ocrhpi.config.reading_options import ReadingOptions
    from ocrhpi.predictor import Predictor
    from ocrhpi.tuning.progress import OnProgress

_MODULES = {
    "serve": ("fastapi", "prometheus_client", "uvicorn"),
    "ray": ("ray", "fastapi", "prometheus_client", "uvicorn"),
}


def require(extra: str) -> None:
    """Check that what serving needs of the extra ``serve`` or ``ray`` is installed.

    Raises:
        MissingExtra: It is not.
    """
    missing = [module for module in _MODULES[extra] if find_spec(module) is None]
    if missing:
        raise MissingExtra(extra, f"serving needs {', '.join(missing)}, which is not installed")


AtLeastOne = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]

KEEP_ALIVE_S = 75
"""How long a connection without a request stays open. Longer than clients and proxies keep theirs, mostly 60 s or less:
whoever closes first should be the side that sends, or a request meets a connection that is just being closed. Uvicorn's
5 s also met ``Retry-After: 5``."""

_MIB = 1 << 20


class ServingOptions(Options):
    """Limits of a server. What may wait bounds its memory: bodies, and 3 bytes for each decoded pixel.

    Attributes:
        max_images: Most images, and pages of documents, in one request.
        max_pixels: Most pixels of all images of one request together; of a single image, checked before it is decoded.
        max_body_bytes: Longest body; base64 makes four bytes of three.
        urls: Whether images may be given as URLs. ``off``: no. ``public``: of hosts whose address is a public one.
            ``any``: also of hosts of this network, which then can be reached through the server.
        url_timeout_s: Longest time for one URL, redirects included.
        max_queued_lines: Most lines of all requests that wait or are on their way into the queue.
        max_queued_pixels: Most pixels of the lines that wait.
        max_pending_bytes: Most bytes of the bodies of all requests that are being answered.
        max_batch_lines: Most lines that are handed to the reader at once; it makes the engine's batches of them, by
            width. None: twice the batch that was measured to be best, at least 16.
        max_wait_ms: How long an idle engine waits for lines that are on their way; it never waits for nothing.
        batch_size: Most lines in one call of the engine. None: what was measured; where nothing was, 8.
        timeout_s: Longest time from the end of a request to its answer.
        body_timeout_s: Longest time in which a body must arrive.
        decode_threads: Threads that decode images; each holds at most one request.
    """

    max_images: AtLeastOne = 64
    max_pixels: AtLeastOne = 32_000_000
    max_body_bytes: AtLeastOne = 32 * _MIB
    urls: Literal["off", "public", "any"] = "off"
    url_timeout_s: Seconds = 10.0
    max_queued_lines: AtLeastOne = 512
    max_queued_pixels: AtLeastOne = 256_000_000
    max_pending_bytes: AtLeastOne = 256 * _MIB
    max_batch_lines: AtLeastOne | None = None
    max_wait_ms: Annotated[float, Field(ge=0)] = 2.0
    batch_size: AtLeastOne | None = None
    timeout_s: Seconds = 60.0
    body_timeout_s: Seconds = 30.0
    decode_threads: AtLeastOne = 2


def open_model(
    served: ReadingOptions, options: ServingOptions, on_progress: OnProgress = lambda _: None
) -> tuple[Predictor, ServingOptions]:
    """Open the predictor, and return it with the options, in which the batch size is settled.

    Args:
        served: What reads.
        options: Of the server. Without a batch size, it is what was measured for this model, or 8.
        on_progress: Is told of every step of a tuning.

    Raises:
        OcrhpiError: The model cannot be found, fetched or run, or a configuration does not fit.
    """
    predictor = open_predictor(served, on_progress)
    settled = options.batch_size or batch_size_of(served)
    return predictor, options.model_copy(update={"batch_size": settled})
