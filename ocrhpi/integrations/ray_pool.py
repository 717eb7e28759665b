"""`RayPool`: actors of a Ray cluster that read the shards of a batch.

The files stay where they are: contents travel to the actors, and texts come back. The nodes need the model only.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ocrhpi.batch.pool import Pool
from ocrhpi.batch.reading import read_cells
from ocrhpi.batch.tunings import shared_predictor
from ocrhpi.batch.worker import LogRelay, relay
from ocrhpi.errors import OcrhpiError, WorkerFailed
from ocrhpi.integrations.ray_cluster import import_ray, live_nodes, share_out, winners_of
from ocrhpi.loader import batch_size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocrhpi.batch.reading import Cell, Reading
    from ocrhpi.reading_options import ReadingOptions
    from ocrhpi.tuning.cache import Tuning

_RETRIES = 2  # as `ocrhpi.batch.pool.LocalPool`: a shard that kills three actors is at fault itself


class _Reader:
    """The actor."""

    def __init__(self, options: ReadingOptions, winners: Mapping[str, Tuning]) -> None:
        self._options, self._winners = options, winners
        self._said = LogRelay()

    def read(self, cells: Sequence[Cell]) -> tuple[list[Reading], list[str]]:
        predictor = shared_predictor(self._options, self._winners)
        return read_cells(predictor, cells, batch_size_of(self._options)), self._said.take()


class RayPool(Pool):
    """Actors of the cluster that this process is connected to; measures once per kind of node, where need be.

    Args:
        options: What reads; device and threads are set here.
        workers: How many actors; None: as many as the cluster has room for.
        cpus: CPUs of each; None: see `ocrhpi.integrations.ray_cluster.share_out`.
        gpus: GPUs of each.

    Raises:
        OcrhpiError: As `ocrhpi.integrations.ray.recognize`.
    """

    reads_files = False

    def __init__(
        self, options: ReadingOptions, workers: int | None = None, cpus: int | None = None, gpus: float = 0.0
    ) -> None:
        ray = import_ray()
        nodes = live_nodes()
        share = share_out(nodes, workers, cpus, gpus)
        settled = options.model_copy(update={"device": share.device, "threads": share.threads})
        winners = winners_of(nodes, settled, share)
        self.workers = share.actors
        kind = ray.remote(_Reader).options(
            num_cpus=share.reserved_cpus,
            num_gpus=share.gpus,
            max_restarts=-1,
            max_task_retries=_RETRIES,
            scheduling_strategy="SPREAD",
        )
        arguments = (settled.without_measuring_anew(), winners)
        self._actors: list[Any] = [kind.remote(*arguments) for _ in range(share.actors)]
        self._at_work = [0] * share.actors  # shards of each
        self._lock = threading.Lock()

    def submit(self, cells: Sequence[Cell]) -> Future[list[Reading]]:  # noqa: D102 - the contract's
        with self._lock:
            number = self._at_work.index(min(self._at_work))
            self._at_work[number] += 1
        answer: Future[list[Reading]] = Future()

        def answered(future: Future[tuple[list[Reading], list[str]]]) -> None:
            with self._lock:
                self._at_work[number] -= 1
            error = future.exception()
            if error is not None:
                answer.set_exception(_ours(error))
                return
            readings, warnings = future.result()
            relay(f"actor {number}", warnings)
            answer.set_result(readings)

        self._actors[number].read.remote(cells).future().add_done_callback(answered)
        return answer

    def close(self) -> None:  # noqa: D102 - the contract's
        ray = import_ray()
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []


def _ours(error: BaseException) -> OcrhpiError:
    """Return Ray's error as ours; one that an actor raised comes along as its cause."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OcrhpiError):
        return cause
    return WorkerFailed("of the cluster", " ".join(str(error).split())[-500:])
