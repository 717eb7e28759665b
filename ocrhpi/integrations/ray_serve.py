"""The server as a deployment of Ray Serve: every replica runs the app of `ocrhpi.serving`, with a queue of its own."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ocrhpi.errors import OptionError
from ocrhpi.integrations.ray_cluster import connect
from ocrhpi.machine import usable_cores
from ocrhpi.serving.options import KEEP_ALIVE_S, ServingOptions, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from ocrhpi.config.reading_options import ReadingOptions

_NAME = "ocrhpi"


class RayMetrics:
    """Metrics of one replica, which Ray exports with those of the cluster; `ocrhpi.serving.metrics.Metrics`."""

    def __init__(self) -> None:
        from ray.serve import metrics  # noqa: PLC0415 - heavy, and behind an extra

        from ocrhpi.serving.metrics import DESCRIPTIONS, FILL_BUCKETS, SECONDS_BUCKETS  # noqa: PLC0415 - the same

        def name(metric: str) -> tuple[str, str]:
            return f"{_NAME}_{metric}", DESCRIPTIONS[metric]

        seconds, fill = list(SECONDS_BUCKETS), list(FILL_BUCKETS)
        self._requests = metrics.Counter(*name("requests"), ("route", "status"))
        self._request_seconds = metrics.Histogram(*name("request_seconds"), seconds, ("route",))
        self._lines = metrics.Counter(*name("lines"))
        self._queue_seconds = metrics.Histogram(*name("queue_seconds"), seconds)
        self._queued = metrics.Gauge(*name("queued_lines"))
        self._fill = metrics.Histogram(*name("batch_fill"), fill)
        self._engine_seconds = metrics.Histogram(*name("engine_seconds"), seconds)

    def answered(self, route: str, status: int, seconds: float) -> None:  # noqa: D102 - the protocol's
        self._requests.inc(1, {"route": route, "status": str(status)})
        self._request_seconds.observe(seconds, {"route": route})

    def queued(self, lines: int) -> None:  # noqa: D102 - the protocol's
        self._queued.set(lines)

    def batched(self, waited_s: list[float], most: int) -> None:  # noqa: D102 - the protocol's
        for seconds in waited_s:
            self._queue_seconds.observe(seconds)
        self._fill.observe(len(waited_s) / most)

    def read(self, lines: int, seconds: float) -> None:  # noqa: D102 - the protocol's
        if lines:
            self._lines.inc(lines)
        self._engine_seconds.observe(seconds)


def application(
    served: ReadingOptions,
    options: ServingOptions | None = None,
    *,
    replicas: int = 1,
    gpus: float = 0,
    shutdown_timeout_s: float = 30,
) -> Any:  # noqa: ANN401 - ray.serve.Application; ray is not imported here
    """Return the application that ``ray.serve.run`` takes.

    Every replica opens the model by itself. The first one on a kind of node that was never measured measures; the
    others wait for its result.

    Args:
        served: The model; its paths are those of the nodes. Without ``threads`` the replicas share the cores of
            this machine.
        options: Limits of each replica.
        replicas: How many.
        gpus: Share of GPUs that each replica reserves.
        shutdown_timeout_s: How long a replica that stops may take to answer what it accepted.

    Raises:
        MissingExtra: The extra ``ray`` is not installed.
    """
    require("ray")
    from ray import serve  # noqa: PLC0415 - heavy, and behind an extra

    from ocrhpi.serving.app import create_app  # noqa: PLC0415 - behind an extra, too
    from ocrhpi.serving.options import open_model  # noqa: PLC0415 - loads OpenCV

    limits = options or ServingOptions()
    cpus = served.threads or max(1, usable_cores() // replicas)
    model = served.model_copy(update={"threads": cpus})

    def build() -> FastAPI:  # in the replica
        predictor, settled = open_model(model, limits)
        return create_app(predictor, settled, RayMetrics())

    ingress = serve.ingress(build)
    deployment = serve.deployment(
        name=_NAME,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        # Requests beyond it wait in Ray's proxy, where our queue, its 429 and Retry-After cannot see them.
        max_ongoing_requests=2 * limits.max_queued_lines,
        graceful_shutdown_timeout_s=shutdown_timeout_s,
    )
    return deployment(ingress()).bind()


def serve_on_ray(
    served: ReadingOptions,
    options: ServingOptions,
    *,
    host: str,
    port: int,
    replicas: int = 1,
    address: str | None = None,
    shutdown_timeout_s: float = 30,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve on a Ray cluster until SIGTERM or SIGINT; then answer what was accepted, and return.

    Args:
        served: The model.
        options: Limits of each replica.
        host: Of Ray's HTTP proxy; without effect on a cluster that has one.
        port: As ``host``; 0 takes a free one where Ray is started here.
        replicas: How many.
        address: Of a running cluster; None starts one on this machine, and stops it in the end.
        shutdown_timeout_s: As for `application`.
        on_ready: Is called with the URL once requests are taken.

    Raises:
        MissingExtra: The extra ``ray`` is not installed.
        OptionError: The endpoint cannot be taken, or there is no cluster at ``address``.
    """
    require("ray")
    host, port, url = _endpoint(host, port, address)
    import ray  # noqa: PLC0415 - heavy, and behind an extra
    from ray import serve  # noqa: PLC0415

    connect(address or "local", include_dashboard=None if address else False)
    try:
        serve.start(http_options={"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S})
        serve.run(application(served, options, replicas=replicas, shutdown_timeout_s=shutdown_timeout_s), name=_NAME)
        with _told_to_stop() as stop:
            on_ready(url)
            stop.wait()
            serve.delete(_NAME)  # the proxy outlives the replicas, and passes on what they still answer
            if address is None:
                serve.shutdown()
    finally:
        ray.shutdown()


def _endpoint(host: str, port: int, address: str | None) -> tuple[str, int, str]:
    """Return host, port and URL of the proxy; that they can be taken is checked before Ray has started."""
    from ocrhpi.serving.server import bind, url_of  # noqa: PLC0415 - behind an extra

    if address is None:
        with bind(host, port) as listener:
            taken: tuple[str, int] = listener.getsockname()[:2]
            return *taken, url_of(listener)
    if port == 0:
        raise OptionError("port", "received 0 for a cluster that runs already; expected the port of its proxy")
    return host, port, f"http://{host}:{port}"


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; further ones do not cut a graceful end short."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
