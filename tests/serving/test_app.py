"""The whole server over real connections: right texts, one shape for every error, and nothing that takes it down."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrhpi.loader import load_predictor
from ocrhpi.predictor import Predictor
from ocrhpi.serving.options import ServingOptions
from tests.serving.fakes import WAIT_S, GatedReader, Recorder, encoded, needs_serve, png, request_of
from tests.serving.running import INFER, Client, running, until
from tests.serving.test_images import pages, png_that_claims

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = needs_serve

OPTIONS = ServingOptions(max_images=8, max_pixels=1_000_000, max_body_bytes=1_000_000, batch_size=8)


@pytest.fixture(scope="module")
def tiny(tiny_dir: Path) -> Iterator[Predictor]:
    with load_predictor(model_dir=tiny_dir, device="cpu") as predictor:
        yield predictor


@pytest.fixture(scope="module")
def client(tiny_dir: Path) -> Iterator[Client]:
    from ocrhpi.serving.app import create_app
    from ocrhpi.serving.metrics import PrometheusMetrics

    predictor = load_predictor(model_dir=tiny_dir, device="cpu")  # the app closes it
    with running(create_app(predictor, OPTIONS, PrometheusMetrics("tiny_rec", predictor.effective))) as client:
        yield client


def serving(reader: GatedReader, recorder: Recorder | None = None, **options: Any) -> AbstractContextManager[Client]:
    """Run a server whose reader waits for permission."""
    from ocrhpi.serving.app import create_app

    return running(create_app(Predictor(reader), ServingOptions(**options), recorder or Recorder()))


def metric(client: Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def alone(predictor: Predictor, *images: bytes) -> list[str]:
    return [str(result["rec_text"]) for result in predictor.predict_iter(list(images), batch_size=1)]


def test_texts_are_those_of_each_line_alone_in_the_order_of_the_request(
    client: Client, tiny: Predictor, lines_dir: Path
) -> None:
    files = [path.read_bytes() for path in sorted(lines_dir.glob("*.png"))][:8]
    assert client.texts({"files": [encoded(file) for file in files]}) == alone(tiny, *files)


def test_many_clients_at_once_each_get_their_own(client: Client, tiny: Predictor) -> None:
    widths = [40 + 37 * number % 900 for number in range(160)]
    wanted = dict(zip(widths, alone(tiny, *map(png, widths)), strict=True))
    before = metric(client, "ocrhpi_lines_total")
    with ThreadPoolExecutor(32) as clients:
        read = list(clients.map(lambda width: client.texts({"file": encoded(png(width))}), widths))
    assert read == [[wanted[width]] for width in widths]
    assert metric(client, "ocrhpi_lines_total") - before == 160


def test_the_answer_has_the_shape_of_paddlex(client: Client, tiny: Predictor) -> None:
    status, answer = client.post({"file": encoded(png(100, 30)), "fileType": 1, "visualize": False, "logId": "mine-7"})
    (read,) = tiny.predict_iter(png(100, 30))
    assert status == 200
    assert answer == {
        "logId": "mine-7",
        "errorCode": 0,
        "errorMsg": "Success",
        "result": {
            "textRecResults": [
                {
                    "prunedResult": {
                        "rec_text": read["rec_text"],
                        "rec_score": pytest.approx(read["rec_score"], abs=1e-5),
                    },
                    "fileIndex": 0,
                }
            ],
            "dataInfo": {"width": 100, "height": 30, "type": "image"},
        },
    }


def test_several_files_and_pages_say_where_lines_come_from(client: Client) -> None:
    _, answer = client.post({"files": [encoded(png(60)), encoded(pages("TIFF", [(30, 20), (40, 20)]))]})
    lines = [(line["fileIndex"], line.get("pageIndex")) for line in answer["result"]["textRecResults"]]
    assert lines == [(0, None), (1, 0), (1, 1)]
    assert answer["result"]["dataInfo"] == [
        {"width": 60, "height": 48, "type": "image"},
        {"numPages": 2, "pages": [{"width": 30, "height": 20}, {"width": 40, "height": 20}], "type": "tiff"},
    ]


def test_words(client: Client, tiny: Predictor) -> None:
    _, answer = client.post({"file": encoded(png(200)), "returnWordBox": True})
    (read,) = tiny.predict_iter(png(200), return_word_box=True)
    text, (count, words, columns, kinds) = read["rec_text"]
    result = answer["result"]["textRecResults"][0]["prunedResult"]
    assert result["rec_text"] == text
    assert result["words"] == {
        "columnCount": pytest.approx(count),
        "words": words,
        "columns": columns,
        "kinds": kinds,
    }


def test_health_and_documentation(client: Client) -> None:
    assert client.get("/health").json()["errorMsg"] == "Healthy"
    assert client.get("/health/ready").status_code == 200
    assert "text-recognition" in json.dumps(client.get("/openapi.json").json()["paths"])
    assert "openapi.json" in client.get("/docs").text


def test_the_documentation_tells_requests_answers_and_errors(client: Client) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"][INFER]["post"]
    schemas = document["components"]["schemas"]
    assert operation["operationId"] == "infer"
    assert {"200", "408", "413", "422", "429", "500", "503"} == set(operation["responses"])
    assert {"file", "files", "fileType", "returnWordBox", "visualize", "logId"} == set(
        schemas["InferRequest"]["properties"]
    )
    assert {"logId", "result", "errorCode", "errorMsg"} == set(schemas["InferAnswer"]["properties"])
    for status in ("413", "422", "429"):
        assert operation["responses"][status]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer")


def test_metrics(client: Client) -> None:
    client.texts(request_of(60, 70))
    page = client.get("/metrics")
    assert page.headers["Content-Type"].startswith("text/plain")
    answered = 'ocrhpi_requests_total{route="/text-recognition",status="200"}'
    before = metric(client, answered)
    client.texts(request_of(60))
    client.post({"file": "?"})
    assert metric(client, answered) == before + 1
    assert metric(client, 'ocrhpi_requests_total{route="/text-recognition",status="422"}') >= 1
    for name in ("queue_seconds", "engine_seconds", "batch_fill", 'request_seconds{route="/text-recognition"}'):
        base, brace, labels = name.partition("{")
        assert metric(client, f"ocrhpi_{base}_count{brace}{labels}") > 0
    assert metric(client, "ocrhpi_queued_lines") == 0
    assert 'ocrhpi_model{backend="paddle",device="cpu",model="tiny_rec",precision="fp32"} 1.0' in page.text


GOOD = encoded(png(60))
MALFORMED: list[tuple[str, Any, int, str]] = [
    ("no JSON", b"{file:", 422, "no JSON"),
    ("empty", b"", 422, "body"),
    ("not UTF-8", b'{"file": "\xff\xfe"}', 400, ""),
    ("nested", b"[" * 100_000, 400, ""),
    ("a list", b"[]", 422, "body"),
    ("null", b"null", 422, "body"),
    ("huge number", b'{"fileType": 1' + b"0" * 5000 + b"}", 400, ""),
    ("neither", {}, 422, "expected either 'file' or 'files'"),
    ("both", {"file": GOOD, "files": [GOOD]}, 422, "expected either 'file' or 'files'"),
    ("no files", {"files": []}, 422, "files: "),
    ("number as file", {"file": 7}, 422, "file: "),
    ("null in files", {"files": [GOOD, None]}, 422, "files.1: "),
    ("wrong type", {"file": GOOD, "fileType": "1"}, 422, "fileType: "),
    ("unknown type", {"file": GOOD, "fileType": 2}, 422, "fileType: "),
    ("pictures", {"file": GOOD, "visualize": True}, 422, "visualize: "),
    ("typing error", {"file": GOOD, "returnWordBoxes": True}, 422, "Did you mean 'returnWordBox'?"),
    ("long logId", {"file": GOOD, "logId": "x" * 1000}, 422, "logId: "),
    ("lone surrogate", b'{"file": "\\ud800"}', 422, ""),
    ("lone surrogate as logId", b'{"file": 1, "logId": "\\ud800"}', 422, ""),
    ("lone surrogate as name", b'{"file": "", "\\ud800": 1}', 422, ""),
    ("no base64", {"file": "?"}, 422, "no base64"),
    ("no image", {"file": encoded(b"text")}, 422, "is not an image"),
    ("truncated", {"file": encoded(png(60)[:-30])}, 422, "cut off"),
    ("bomb", {"file": encoded(png_that_claims(60_000, 60_000))}, 422, "one may hold 1000000"),
    ("damaged PDF", {"file": encoded(b"%PDF-1.7")}, 422, "PDF"),
    ("too many", {"files": [GOOD] * 9}, 422, "may hold 8 images"),
    ("URL", {"file": "http://127.0.0.1/a.png"}, 422, "takes none"),
    ("huge body", b"x" * 1_000_001, 413, "longer than the limit"),
]


@pytest.mark.parametrize(
    ("body", "status", "reason"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_malformed_requests_are_told_what_is_wrong(client: Client, body: Any, status: int, reason: str) -> None:
    as_bytes = {"data": body, "headers": {"Content-Type": "application/json"}}
    answered, answer = client.post(**as_bytes) if isinstance(body, bytes) else client.post(body)
    assert answered == status, answer
    assert reason in answer["errorMsg"]
    assert client.get("/health/ready").status_code == 200


def test_other_content_and_routes_have_the_same_shape(client: Client) -> None:
    assert client.post(data={"file": GOOD})[0] == 422
    assert client.post(data=b"<a/>", headers={"Content-Type": "text/xml"})[0] == 422
    for path, status in (("/none", 404), (INFER, 405)):
        response = client.get(path)
        assert (response.status_code, response.json()["errorCode"]) == (status, status)


@pytest.mark.parametrize(
    ("content_type", "received"),
    [
        (None, "no Content-Type"),
        ("", "Content-Type ''"),
        ("application/x-www-form-urlencoded", "'application/x-www-form-urlencoded'"),
        ("text/plain; charset=utf-8", "'text/plain; charset=utf-8'"),
        ("x" * 1000, "'xxx"),
    ],
)
def test_another_content_type_is_named_with_the_one_expected(
    client: Client, content_type: str | None, received: str
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    status, answer = client.post(data=json.dumps({"file": GOOD}).encode(), headers=headers)
    assert status == 422
    assert received in answer["errorMsg"]
    assert "expected 'application/json'" in answer["errorMsg"]
    assert len(answer["errorMsg"]) < 200


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
def test_kinds_of_json_are_read(client: Client, content_type: str) -> None:
    body = json.dumps({"file": GOOD}).encode()
    assert client.post(data=body, headers={"Content-Type": content_type})[0] == 200


def test_a_log_id_comes_back_with_errors_too(client: Client) -> None:
    assert client.post({"file": "?", "logId": "a"})[1]["logId"] == "a"
    assert client.post({"file": 1, "logId": "b"})[1]["logId"] == "b"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(GOOD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["file", "files", "fileType", "returnWordBox", "visualize", "logId", "x"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.dictionaries(NAMES, VALUES, max_size=4).map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60)
)
def test_whatever_comes_is_answered_and_never_500(client: Client, body: bytes) -> None:
    status, _ = client.post(data=body, headers={"Content-Type": "application/json"})
    assert status in {200, 400, 422}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), junk=st.binary(min_size=1, max_size=8), cut=st.integers(0, 400))
def test_damaged_images_are_read_or_refused(client: Client, place: int, junk: bytes, cut: int) -> None:
    data = png(12, 8)
    damaged = data[:place] + junk + data[place + len(junk) :]
    assert client.post({"file": encoded(damaged[: len(damaged) - cut % 40])})[0] in {200, 422}


def test_a_full_queue_answers_429_and_recovers() -> None:
    reader, recorder = GatedReader(), Recorder()
    with serving(reader, recorder, max_queued_lines=2) as client, ThreadPoolExecutor(8) as clients:
        reader.gate.clear()
        accepted = [clients.submit(client.texts, request_of(60))]
        until(lambda: len(reader.batches) == 2)  # the first is the warm-up
        accepted += [clients.submit(client.texts, request_of(width)) for width in (61, 62)]
        until(lambda: recorder.waiting == 2)
        import requests

        refused = requests.post(client.url + INFER, json=request_of(63), timeout=WAIT_S)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "the queue is full" in refused.json()["errorMsg"]
        reader.gate.set()
        assert [future.result() for future in accepted] == [["gated:60"], ["gated:61"], ["gated:62"]]
        assert client.texts(request_of(63)) == ["gated:63"]


def test_lines_of_a_client_that_left_are_not_read() -> None:
    reader, recorder = GatedReader(), Recorder()
    with serving(reader, recorder) as client, ThreadPoolExecutor(2) as clients:
        reader.gate.clear()
        first = clients.submit(client.texts, request_of(60))
        until(lambda: len(reader.batches) == 2)
        leaving = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=WAIT_S)
        leaving.request("POST", INFER, json.dumps(request_of(61, 62)), {"Content-Type": "application/json"})
        until(lambda: recorder.waiting == 2)
        assert leaving.sock is not None
        leaving.sock.shutdown(socket.SHUT_RDWR)
        leaving.close()
        until(lambda: recorder.waiting == 0)
        reader.gate.set()
        assert first.result() == ["gated:60"]
        assert client.texts(request_of(63)) == ["gated:63"]
        assert reader.batches[1:] == [[60], [63]]
        assert (INFER, 499) in recorder.answers


def test_what_takes_too_long_is_given_up() -> None:
    reader, recorder = GatedReader(), Recorder()
    with serving(reader, recorder, timeout_s=0.1) as client:
        reader.gate.clear()
        status, answer = client.post(request_of(60))
        reader.gate.set()
        assert status == 503
        assert "not read within 0.1 s" in answer["errorMsg"]


def test_a_failing_engine_is_a_500_of_the_same_shape_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    reader = GatedReader()
    reader.poison = 66
    with serving(reader) as client:
        status, answer = client.post(request_of(66, logId="mine"))
        assert (status, answer["errorMsg"], answer["logId"]) == (500, "Internal server error.", "mine")
        assert client.texts(request_of(67)) == ["gated:67"]
    assert "cannot read a line of 66 pixels" in capsys.readouterr().err


def test_stopping_answers_what_was_accepted_and_closes_the_engine() -> None:
    reader = GatedReader()
    with ThreadPoolExecutor(8) as clients:
        with serving(reader) as client:
            reader.gate.clear()
            accepted = [clients.submit(client.texts, request_of(width)) for width in range(60, 68)]
            until(lambda: len(reader.batches) > 1)
            threading.Timer(0.3, reader.gate.set).start()
        assert [future.result() for future in accepted] == [[f"gated:{width}"] for width in range(60, 68)]
    assert reader.closed


def test_before_it_is_ready_and_after_it_says_so() -> None:
    from ocrhpi.serving.app import create_app

    app = create_app(Predictor(GatedReader()), ServingOptions(), Recorder())
    with running(app) as client:
        assert client.get("/health/ready").status_code == 200
        app.state.recognizer = None  # as it is while the app shuts down
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health").status_code == 200
        assert client.post(request_of(60))[0] == 503
