"""``ocrhpi serve`` as users start and stop it: a process of its own, a signal, an exit status."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from ocrhpi.cli import main
from tests.serving.fakes import WAIT_S, needs_serve, request_of, write_tiny_onnx_model
from tests.serving.running import Client, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from ocrhpi.cli import main; main()", "serve"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["serve", *map(str, arguments)])


def accepted(client: Client) -> float:
    """Return how many lines were read or wait."""
    page = client.get("/metrics").text
    return sum(float(value) for value in re.findall(r"^ocrhpi_(?:lines_total|queued_lines) (\S+)$", page, re.MULTILINE))


@contextmanager
def served(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """Start the command on a free port; yield it once it says where it is."""
    command = [*COMMAND, *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.match(r"(http://\S+) reads with ", line)
            assert found, line + (process.stderr.read() if process.stderr else "")
            yield process, Client(found[1])
        finally:
            process.kill()


@needs_serve
def test_from_the_start_to_a_signal(tmp_path: Path) -> None:
    # With OpenVINO, which leaves the process without a signal stack if it is closed in another thread.
    config = tmp_path / "hpi.yml"
    config.write_text("auto_config: false\nbackend: openvino\ncache_dir: cache\n")
    options = ("--hpi-config", config, "--device", "cpu", "--max_images", "50", "--max-body-bytes", "10000000")
    small = (
        "--urls",
        "public",
        "--batch_size",
        "1",
        "--max_batch_lines",
        "1",
    )  # a signal comes in the midst of the work
    model = write_tiny_onnx_model(tmp_path / "model")
    with served(model, *options, *small) as (process, client), ThreadPoolExecutor(8) as clients:
        assert client.get("/health/ready").status_code == 200
        assert 'backend="openvino"' in client.get("/metrics").text
        assert "may hold 50 images" in client.post({"files": [""] * 51})[1]["errorMsg"]
        assert "public internet" in client.post({"file": "http://127.0.0.1/a.png"})[1]["errorMsg"]
        body = request_of(*range(1000, 1040))
        wanted = client.texts(body)
        sent = [clients.submit(client.post, body) for _ in range(8)]
        until(lambda: accepted(client) >= 9 * 40 - 2)  # all but those in the engine: every request has arrived
        process.send_signal(signal.SIGTERM)
        answers: list[Any] = [future.exception() or future.result() for future in sent]
        assert process.wait(WAIT_S) == 0
        assert [answer[0] for answer in answers] == [200] * 8, answers
        for _, answer in answers:
            assert [line["prunedResult"]["rec_text"] for line in answer["result"]["textRecResults"]] == wanted
        assert process.stderr is not None
        assert process.stderr.read() == "stopped; everything that was accepted is answered\n"


@needs_serve
def test_a_port_that_is_taken_is_said_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("no_such_model", "--port", other.getsockname()[1])
    assert result.exit_code == 1
    assert "cannot be taken" in result.stderr


@needs_serve
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--urls", "some"), "urls"),
        (("--max_images", "0"), "max_images"),
        (("--max_wait_ms", "-1"), "max_wait_ms"),
        (("--batch_size", "0"), "batch_size"),
        (("--replicas", "2"), "--engine ray"),
        (("--use_hpip", "false", "--hpi_config", "x.yml"), "high-performance mode only"),
    ],
)
def test_options_that_do_not_fit(arguments: tuple[str, ...], reason: str) -> None:
    result = run("PP-OCRv4_mobile_rec", *arguments)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_needs_no_extra() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "--max_queued_lines" in result.stdout


@pytest.mark.parametrize(("arguments", "extra"), [((), "serve"), (("--engine", "ray"), "ray")])
def test_a_missing_extra_is_named(arguments: tuple[str, ...], extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrhpi.serving.options.find_spec", lambda _: None)
    result = run("PP-OCRv4_mobile_rec", *arguments)
    assert result.exit_code == 1
    assert f"pip install 'ocrhpi[{extra}]'" in result.stderr
