"""``ocrhpi serve``: text recognition over HTTP, in this process or by replicas of Ray Serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ocrhpi.cli.options import model_facts, option, source_of, switch
from ocrhpi.errors import OptionError
from ocrhpi.options import parse_options
from ocrhpi.output import say
from ocrhpi.report.live import watching
from ocrhpi.serving.options import ServingOptions, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.config.reading_options import ReadingOptions

_DEFAULTS = ServingOptions()


def _limit(name: str, text: str, kind: type[int | float] = int) -> Callable[[Any], Any]:
    """Return an option whose default is that of `ServingOptions`."""
    default = getattr(_DEFAULTS, name)
    return option(f"--{name}", text if default is None else f"{text}  [default: {default}]", type=kind)


@click.command(
    "serve",
    help="""Read text lines over HTTP with MODEL (official name, folder or ONNX file).

    POST /text-recognition takes JSON in the shape of PaddleX's serving API, and /docs describes it; /health,
    /health/ready and /metrics are for monitoring. SIGTERM stops it once what was accepted is answered.
    """,
)
@click.argument("model")
@model_facts
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 also serves other machines."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="In this process, or as replicas of Ray Serve.",
)
@switch("--use_hpip", "High-performance mode, which measures the first time.", default=True)
@option("--hpi_config", "Its configuration: a YAML file, or a file that ocrhpi tune wrote.")
@click.option("--device", help="cpu, gpu or gpu:INDEX.  [default: a GPU if an engine can use it]")
@option("--cpu_threads", "CPU threads of the engine.  [default: the usable cores]", type=click.IntRange(1))
@_limit("batch_size", "Maximum lines in one call of the engine.  [default: what was measured, or 8]")
@_limit("max_images", "Maximum images and pages in a request.")
@_limit("max_pixels", "Maximum pixels of all images of a request.")
@_limit("max_body_bytes", "Maximum size of a request's body in bytes.")
@option("--urls", "Take images as URLs: never, of public hosts, of any.  [default: off]", metavar="off|public|any")
@_limit("max_queued_lines", "Maximum lines that wait; further requests are answered 429.")
@_limit("max_batch_lines", "Maximum lines read at once.  [default: 16, or twice the measured batch]")
@_limit("max_wait_ms", "Milliseconds that an idle engine waits for more lines.", float)
@_limit("timeout_s", "Seconds after which a request is answered 503.", float)
@option(
    "--shutdown_timeout_s", "Seconds that it may take to stop.", type=click.IntRange(1), default=30, show_default=True
)
@option("--access_log", "Log every request.", is_flag=True)
@click.option("--replicas", type=click.IntRange(1), help="With --engine ray: how many.  [default: 1]")
@click.option("--address", help="With --engine ray: the cluster.  [default: a new one, on this machine]")
def command(  # noqa: D103, PLR0913 - click documents it; one parameter an option
    *,
    model: str,
    host: str,
    port: int,
    engine: str,
    use_hpip: bool,
    hpi_config: str | None,
    device: str | None,
    cpu_threads: int | None,
    shutdown_timeout_s: int,
    access_log: bool,
    replicas: int | None,
    address: str | None,
    **others: Any,  # noqa: ANN401 - validated by ModelSource and ServingOptions
) -> None:
    if hpi_config is not None and not use_hpip:
        raise OptionError("hpi_config", "given with --use_hpip false; it configures high-performance mode only")
    if engine == "local" and (replicas, address) != (None, None):
        raise OptionError("replicas", "replicas and address are for --engine ray; leave them out, or add that")
    require("ray" if engine == "ray" else "serve")
    from ocrhpi.config.reading_options import reading_options  # noqa: PLC0415 - loads what --help does without

    source = source_of(model, others)
    options = parse_options(ServingOptions, {name: value for name, value in others.items() if value is not None})
    served = reading_options(
        **source.model_dump(), use_hpip=use_hpip, hpi_config=hpi_config, device=device, threads=cpu_threads
    )
    if engine == "local":
        _serve_here(served, options, host, port, shutdown_timeout_s, access_log=access_log)
        return
    from ocrhpi.integrations.ray_serve import serve_on_ray  # noqa: PLC0415 - see above

    serve_on_ray(
        served,
        options,
        host=host,
        port=port,
        replicas=replicas or 1,
        address=address,
        shutdown_timeout_s=shutdown_timeout_s,
        on_ready=lambda url: say(f"{url} reads with {model}"),
    )


def _serve_here(
    served: ReadingOptions, options: ServingOptions, host: str, port: int, shutdown_timeout_s: int, *, access_log: bool
) -> None:
    from ocrhpi.serving.app import create_app  # noqa: PLC0415 - behind an extra, as those below
    from ocrhpi.serving.metrics import PrometheusMetrics  # noqa: PLC0415
    from ocrhpi.serving.options import open_model  # noqa: PLC0415
    from ocrhpi.serving.server import Server, bind, run, url_of  # noqa: PLC0415

    with bind(host, port) as listener:  # before it measures
        with watching() as on_progress:
            predictor, settled = open_model(served, options, on_progress)
        effective, name = predictor.effective, predictor.model.name
        what = f"{effective.backend} {effective.engine_version}, {effective.device}, {effective.precision}"
        server = Server(
            create_app(predictor, settled, PrometheusMetrics(name, effective)),
            shutdown_timeout_s=shutdown_timeout_s,
            access_log=access_log,
            on_ready=lambda: say(f"{url_of(listener)} reads with {name} ({what})"),
        )
        run(server, listener)
    say("stopped; everything that was accepted is answered", err=True)
