"""The ASGI app: routes, and every error in one shape."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ocrhpi._version import __version__
from ocrhpi.errors import RequestRefused, nearest
from ocrhpi.serving.metrics import PrometheusMetrics
from ocrhpi.serving.middleware import BodyLimits, RequestCounts
from ocrhpi.serving.recognizer import Recognizer
from ocrhpi.serving.schema import (
    ErrorAnswer,
    InferAnswer,
    InferRequest,
    error_response,
    refusal_response,
    result_response,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from ocrhpi.predictor import Predictor
    from ocrhpi.serving.metrics import Metrics
    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.serving.schema import InferResult

INFER_ROUTE = "/text-recognition"
_ROUTES = frozenset({INFER_ROUTE, "/health", "/health/ready", "/metrics", "/docs", "/openapi.json"})
_CLIENT_GONE = 499  # as nginx has it; nobody sees it but the metrics
_MAX_FAULTS = 3
_JSON = "application/json"
_SHOWN_CHARACTERS = 60

_REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"model": ErrorAnswer, "description": "The body came too slowly"},
    413: {"model": ErrorAnswer, "description": "The body is too long"},
    422: {"model": ErrorAnswer, "description": "Not such a request, or an image that cannot be read"},
    429: {"model": ErrorAnswer, "description": "The queue is full; Retry-After says for how many seconds"},
    500: {"model": ErrorAnswer, "description": "The engine failed"},
    503: {"model": ErrorAnswer, "description": "The server is shutting down, or took too long"},
}

_router = APIRouter()


async def _require_json(request: Request) -> None:
    """Refuse what FastAPI would not even try to read as JSON; versions of it differ where there is no content type."""
    received = request.headers.get("content-type")
    kind = (received or "").partition(";")[0].strip().lower()
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        was = "no Content-Type" if received is None else f"Content-Type {received[:_SHOWN_CHARACTERS]!r}"
        raise RequestRefused(422, f"received {was}; expected {_JSON!r}, with a JSON object as body")


def create_app(predictor: Predictor, options: ServingOptions, metrics: Metrics) -> FastAPI:
    """Return the app that answers with this predictor, and closes it when it is shut down.

    With `PrometheusMetrics` there is a route ``/metrics``.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        recognizer = Recognizer(predictor, options, metrics)
        try:
            await recognizer.warm_up()
            app.state.recognizer = recognizer
            yield
        finally:
            app.state.recognizer = None
            await recognizer.close()

    app = FastAPI(
        title="ocrhpi",
        description=f"Text line recognition with {predictor.model.name}; JSON in the shape of PaddleX's serving API.",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.recognizer = None
    app.include_router(_router)
    if isinstance(metrics, PrometheusMetrics):
        _add_metrics_route(app, metrics)
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(BodyLimits, options=options)
    app.add_middleware(RequestCounts, metrics=metrics, routes=_ROUTES)  # outermost
    return app


@_router.post(
    INFER_ROUTE,
    summary="Read text lines",
    operation_id="infer",
    response_model=InferAnswer,
    responses=_REFUSALS,
    dependencies=[Depends(_require_json)],
)
async def _infer(body: InferRequest, request: Request) -> Response:
    """Read text lines: base64 images, TIFFs and PDFs; every page is one line."""
    request.state.log_id = body.log_id
    result = await _unless_gone(request, _recognizer(request).recognize(body))
    if result is None:
        return Response(status_code=_CLIENT_GONE)
    return result_response(result, body.log_id)


@_router.get("/health", summary="Is it alive?", operation_id="checkHealth", response_model=ErrorAnswer)
async def _health() -> Response:
    """Answer 200 as long as the process can answer at all."""
    return error_response(200, "Healthy", code=0)


@_router.get(
    "/health/ready",
    summary="Are requests taken?",
    operation_id="checkReady",
    response_model=ErrorAnswer,
    responses={503: _REFUSALS[503]},
)
async def _ready(request: Request) -> Response:
    """Answer 200 if requests are taken, else 503."""
    _recognizer(request)
    return error_response(200, "Ready", code=0)


def _add_metrics_route(app: FastAPI, metrics: PrometheusMetrics) -> None:
    @app.get("/metrics", summary="Metrics", operation_id="metrics", response_class=Response)
    async def page() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.page(), media_type=metrics.content_type)


def _recognizer(request: Request) -> Recognizer:
    recognizer: Recognizer | None = request.app.state.recognizer
    if recognizer is None:
        raise RequestRefused(503, "the server is not ready, or is shutting down; try again later", 1)
    return recognizer


async def _unless_gone(request: Request, work: Coroutine[Any, Any, InferResult]) -> InferResult | None:
    """Return what the work gives; if the client goes away meanwhile, cancel it and return None."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_client_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _client_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)  # noqa: S101 - it is registered for these
    return refusal_response(error, getattr(request.state, "log_id", None))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    body = error.body
    log_id = body.get("logId") if isinstance(body, dict) else None
    return error_response(422, _faults(error.errors()), log_id if _is_log_id(log_id) else None)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    headers = dict(error.headers) if error.headers else None
    return error_response(error.status_code, f"{str(error.detail).removesuffix('.')}.", headers=headers)


async def _failed(request: Request, _error: Exception) -> Response:  # the server logs it
    return error_response(500, "Internal server error.", getattr(request.state, "log_id", None))


def _is_log_id(given: object) -> bool:
    if not isinstance(given, str) or len(given) > 128:  # noqa: PLR2004 - as the schema has it
        return False
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def _faults(faults: Sequence[Any]) -> str:
    """Say what is wrong with a body, in a sentence."""
    sentences = []
    for fault in faults[:_MAX_FAULTS]:
        path = [str(part) for part in fault["loc"] if part != "body"]
        if fault["type"] == "json_invalid":
            sentence = f"the body is no JSON: {fault['ctx']['error']} (at {path[0]})"
        elif fault["type"] == "extra_forbidden":
            known = sorted(field.alias or name for name, field in InferRequest.model_fields.items())
            sentence = f"{path[-1][:40]}: unknown; known are {', '.join(known)}.{nearest(path[-1], known)}"
        else:
            sentence = f"{'.'.join(path) or 'body'}: {fault['msg'].removeprefix('Value error, ')}"
        sentences.append(sentence.removesuffix("."))
    whole = "; ".join(sentences)
    return whole if whole.endswith("?") else f"{whole}."
