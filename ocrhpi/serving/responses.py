"""Answers as HTTP responses: results and errors in one shape, whatever went wrong."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from starlette.responses import Response

from ocrhpi.serving.schema import ErrorAnswer, InferAnswer

if TYPE_CHECKING:
    from ocrhpi.errors import RequestRefused
    from ocrhpi.serving.schema import InferResult

_JSON = "application/json"


def new_log_id() -> str:
    """Return an identifier for a request that brought none."""
    return str(uuid.uuid4())


def result_response(result: InferResult, log_id: str | None) -> Response:
    """Return the answer of a request that was read."""
    answer = InferAnswer(log_id=log_id or new_log_id(), result=result)
    return Response(answer.model_dump_json(by_alias=True, exclude_none=True), media_type=_JSON)


def refusal_response(refusal: RequestRefused, log_id: str | None = None) -> Response:
    """Return the answer of a request that was refused."""
    headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    return error_response(refusal.status, str(refusal), log_id, headers)


def error_response(
    status: int,
    message: str,
    log_id: str | None = None,
    headers: dict[str, str] | None = None,
    *,
    code: int | None = None,
) -> Response:
    """Return an answer without a result; ``code`` is the ``errorCode`` where it is not the status."""
    # What a client sent may be part of the message, and need not be text that UTF-8 can hold.
    printable = message.encode("utf-8", "backslashreplace").decode("utf-8")
    answer = ErrorAnswer(
        log_id=log_id or new_log_id(), error_code=status if code is None else code, error_msg=printable
    )
    return Response(answer.model_dump_json(by_alias=True), status, headers, media_type=_JSON)
