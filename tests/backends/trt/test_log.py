from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.trt.names import shared_log

if TYPE_CHECKING:
    import pytest


def test_there_is_one_logger_since_tensorrt_keeps_the_first(trt: Any) -> None:
    assert shared_log(trt) is shared_log(trt)


def test_errors_since_a_mark_are_one_line_without_repeats(trt: Any) -> None:
    log: Any = shared_log(trt)
    log.log(trt.ILogger.ERROR, "before")
    mark = log.mark()
    assert log.errors_since(mark) == ""
    log.log(trt.ILogger.WARNING, "of no account")
    log.log(trt.ILogger.ERROR, "first:\n  of two lines")
    log.log(trt.ILogger.INTERNAL_ERROR, "second")
    log.log(trt.ILogger.ERROR, "second")
    assert log.errors_since(mark) == "first: of two lines; second"


def test_many_errors_leave_the_last_ones(trt: Any) -> None:
    log: Any = shared_log(trt)
    mark = log.mark()
    for number in range(100):
        log.log(trt.ILogger.ERROR, f"error {number}")  # noqa: G004 - not logging's
    assert log.errors_since(mark) == "error 95; error 96; error 97; error 98; error 99"


def test_all_but_the_verbose_lines_go_to_logging(trt: Any, caplog: pytest.LogCaptureFixture) -> None:
    log: Any = shared_log(trt)
    with caplog.at_level(logging.DEBUG, "ocrhpi.tensorrt"):
        log.log(trt.ILogger.WARNING, "told")
        log.log(trt.ILogger.VERBOSE, "left out")
    assert [record.getMessage() for record in caplog.records] == ["TensorRT: told"]
