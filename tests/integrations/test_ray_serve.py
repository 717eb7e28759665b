"""The deployment on a Ray cluster of its own, in a process of its own: same answers, metrics, graceful end."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError
from ocrhpi.integrations.ray_serve import serve_on_ray
from ocrhpi.serving.options import ServingOptions, open_model
from tests.serving.fakes import needs_serve, png, write_tiny_onnx_model

pytestmark = [
    needs_serve,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra 'ray' is not installed"),
]

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, os, re, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import ray, requests
from ocrhpi.integrations.ray_serve import serve_on_ray
from ocrhpi.config.reading_options import ReadingOptions
from ocrhpi.serving.options import ServingOptions
from tests.serving.fakes import request_of
from tests.serving.running import Client, until

served = ReadingOptions.model_validate_json(sys.argv[1])
seen = {}

def metrics():
    page = requests.get(f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics").text
    return dict.fromkeys(re.findall(r"ray_(ocrhpi_\\w+)\\{", page))

def use(client):
    try:
        seen["texts"] = client.texts(request_of(*range(60, 500, 40)))
        seen["refused"] = client.post({"file": "?"})[0]
        seen["ready"] = client.get("/health/ready").status_code
        seen["own metrics"] = client.get("/metrics").status_code
        until(lambda: "ocrhpi_lines_total" in metrics() and "ocrhpi_requests_total" in metrics())
        seen["metrics"] = list(metrics())
        body = request_of(*range(1000, 1060))
        with ThreadPoolExecutor(4) as clients:
            sent = [clients.submit(client.texts, body) for _ in range(4)]
            time.sleep(0.5)  # they are on their way
            os.kill(os.getpid(), signal.SIGTERM)
            seen["after the signal"] = [len(future.result()) for future in sent]
    except BaseException:
        os.kill(os.getpid(), signal.SIGTERM)
        raise

def ready(url):
    seen["url"] = url
    threading.Thread(target=use, args=(Client(url),)).start()

serve_on_ray(served, ServingOptions(), host="127.0.0.1", port=0, on_ready=ready)
print(json.dumps(seen))
"""


def test_a_replica_answers_counts_and_finishes(tmp_path: Path) -> None:
    config = {"auto_config": False, "backend": "onnxruntime", "cache_dir": str(tmp_path / "cache")}
    model = str(write_tiny_onnx_model(tmp_path / "model"))
    served = reading_options(model_dir=model, hpi_config=config, device="cpu", threads=1)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, served.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    predictor, _ = open_model(served, ServingOptions())
    with predictor:
        wanted = [str(result["rec_text"]) for result in predictor.predict_iter(list(map(png, range(60, 500, 40))))]
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", seen["url"])
    assert seen["texts"] == wanted
    assert (seen["refused"], seen["ready"], seen["own metrics"]) == (422, 200, 404)
    assert {"ocrhpi_requests_total", "ocrhpi_lines_total", "ocrhpi_queue_seconds_bucket"} <= set(seen["metrics"])
    assert seen["after the signal"] == [60] * 4


def test_an_address_that_cannot_be_taken_is_refused_before_ray_starts() -> None:
    options = ServingOptions()
    served = reading_options("PP-OCRv4_mobile_rec")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = int(other.getsockname()[1])
        with pytest.raises(OptionError, match="cannot be taken"):
            serve_on_ray(served, options, host="127.0.0.1", port=taken)
    with pytest.raises(OptionError, match="the port of its proxy"):
        serve_on_ray(served, options, host="127.0.0.1", port=0, address="ray-head:6379")
