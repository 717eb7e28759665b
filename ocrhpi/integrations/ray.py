"""`recognize`: read the lines of a Ray dataset with a pool of actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrhpi.batch.recognizer import LineRecognizer
from ocrhpi.config.reading_options import reading_options
from ocrhpi.integrations.ray_cluster import import_ray, live_nodes, share_out, winners_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ray.data import Dataset

    from ocrhpi.config.hpi_config import HpiConfig

_BLOCK_ROWS = 1024


def recognize(  # noqa: PLR0913 - one parameter an option
    dataset: Dataset,
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    image_column: str = "image",
    num_actors: int | None = None,
    use_hpip: bool = True,
    hpi_config: HpiConfig | Mapping[str, Any] | Path | str | None = None,
    cpus_per_actor: int | None = None,
    gpus_per_actor: float = 0.0,
    batch_size: int | None = None,
    block_rows: int = _BLOCK_ROWS,
    **others: Any,  # noqa: ANN401 - validated by ReadingOptions
) -> Dataset:
    """Add ``rec_text``, ``rec_score`` and ``error`` to a dataset of lines; all its columns and rows stay.

    The result is as lazy as any dataset. Only what has to be measured is measured here and now: once per kind of node,
    wherever nothing that fits is cached, on one node of each kind. Ray restarts actors that die and repeats what they
    had in hand, so that no row is lost and none comes twice. Rows come in no particular order, unless
    ``DataContext.execution_options.preserve_order`` is set.

    Args:
        dataset: The lines, one a row.
        model_name: Official name; every node fetches it into its cache.
        model_dir: Directory of an exported model, or a bare ONNX file, at this path on every node.
        image_column: Column of encoded images (bytes), decoded images (arrays, BGR), URLs, or paths that every node
            sees.
        num_actors: How many actors read; None: as many as the cluster has room for.
        use_hpip: High-performance mode; else normal mode.
        hpi_config: See `ocrhpi.config.hpi_config.HpiConfig`. A YAML file is read here; paths in it are those of the
            nodes.
        cpus_per_actor: Threads of each actor's engine; None: an equal share of the cluster, at most 4 without
            ``num_actors``.
        gpus_per_actor: GPUs of each actor; its engine then runs on the first of them.
        batch_size: Most lines in one call of the engine; None takes what was measured and, where nothing was, 8.
        block_rows: Rows that an actor reads at once; among them lines of like width are put together. Pixels are
            decoded a few dozen mebibytes at a time, however many rows there are.
        **others: Other attributes of `ocrhpi.config.reading_options.ReadingOptions`, such as ``character_dict_path``.

    Raises:
        OptionError: An option does not fit, or no node has room for such an actor.
        OcrhpiError: The model cannot be found on a node, or normal mode does not run there.
    """
    nodes = live_nodes()
    share = share_out(nodes, num_actors, cpus_per_actor, gpus_per_actor)
    options = reading_options(
        model_name,
        model_dir,
        hpi_config=hpi_config,
        use_hpip=use_hpip,
        device=share.device,
        threads=share.threads,
        batch_size=batch_size,
        **others,
    )
    winners = winners_of(nodes, options, share)
    settled = options.without_measuring_anew()
    return dataset.map_batches(
        LineRecognizer,
        fn_constructor_kwargs={**dict(settled), "image_column": image_column, "winners": winners},
        batch_size=block_rows,
        batch_format="pyarrow",
        compute=import_ray().data.ActorPoolStrategy(size=share.actors),
        num_cpus=share.reserved_cpus,
        num_gpus=share.gpus or None,
    )
