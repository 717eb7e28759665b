"""The JSON of requests and answers, in the shape of PaddleX 3.7's serving API (``/ocr``, ``/seal-recognition``).

Its names: ``file`` (base64 or URL) and ``fileType`` in requests; ``logId``, ``errorCode``, ``errorMsg`` and ``result``
in answers; ``prunedResult`` for what its predictors return, without paths. Ours are ``files``, for many lines in one
request, and ``fileIndex`` and ``pageIndex``, which say where a line came from.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from starlette.responses import Response

if TYPE_CHECKING:
    from typing_extensions import Self

    from ocrhpi.errors import RequestRefused


class _Shape(BaseModel):
    """Names are camel case in JSON, as PaddleX has them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class InferRequest(_Shape):
    """What is to be read: one ``file``, or several ``files``."""

    model_config = ConfigDict(populate_by_name=False, extra="forbid", strict=True)

    file: str | None = Field(None, description="Image, TIFF or PDF: base64, or a URL where the server allows them.")
    files: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="Several of these.")
    file_type: Literal[0, 1] | None = Field(None, description="0: PDF, 1: image. Not needed: the content says it.")
    return_word_box: bool = Field(default=False, description="Also return words and their time steps.")
    visualize: Literal[False] | None = Field(None, description="Accepted for PaddleX's clients; no pictures are drawn.")
    log_id: Annotated[str, Field(max_length=128)] | None = Field(None, description="Comes back in the answer.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (self.files is None):
            raise ValueError("expected either 'file' or 'files'")
        return self

    @property
    def all_files(self) -> list[str]:
        """``files``, or ``file`` alone."""
        return [self.file] if self.file is not None else self.files or []


class Words(_Shape):
    """Words of a line and the time steps ("columns") of their characters, see `ocrhpi.values.WordBoxes`."""

    column_count: float
    words: list[list[str]]
    columns: list[list[int]]
    kinds: list[str]


class PrunedResult(BaseModel):
    """What was read in one line; the names are those of `TextRecognition`'s results."""

    rec_text: str
    rec_score: float
    words: Words | None = None


class LineResult(_Shape):
    """One line, and where it came from."""

    pruned_result: PrunedResult
    file_index: int = Field(0, description="Which of the files of the request, from 0.")
    page_index: int | None = Field(None, description="Which page of a PDF or TIFF, from 0.")


class ImageInfo(_Shape):
    """Size of an image in pixels."""

    width: int
    height: int
    type: Literal["image"] = "image"


class PageInfo(_Shape):
    """Size of a page in pixels."""

    width: int
    height: int


class DocumentInfo(_Shape):
    """Sizes of the pages of a document."""

    num_pages: int
    pages: list[PageInfo]
    type: Literal["pdf", "tiff"]


DataInfo = ImageInfo | DocumentInfo
"""What a file holds."""


class InferResult(_Shape):
    """All lines of a request, in its order, and its files: one object for ``file``, a list for ``files``."""

    text_rec_results: list[LineResult]
    data_info: DataInfo | list[DataInfo]


class InferAnswer(_Shape):
    """The answer of a request that was read."""

    log_id: str
    result: InferResult
    error_code: Literal[0] = 0
    error_msg: Literal["Success"] = "Success"


class ErrorAnswer(_Shape):
    """The answer of a request that was not, and of the health routes; ``errorCode`` is the HTTP status, or 0."""

    log_id: str
    error_code: int
    error_msg: str


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
