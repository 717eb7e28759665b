"""A Ray cluster: its processors shared out, what was measured on each kind of node, and `RayPool`.

That is actors which read the shards of a batch. An actor that dies is replaced, and nothing is lost.
"""

from __future__ import annotations

import logging
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.batch.pool import USUAL_CPUS, Pool
from ocrhpi.batch.reading import read_cells
from ocrhpi.batch.tunings import find_winner, measure_winner, shared_predictor
from ocrhpi.batch.worker import LogRelay, relay
from ocrhpi.errors import MissingExtra, OcrhpiError, OptionError, WorkerFailed
from ocrhpi.loader import batch_size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocrhpi.batch.reading import Cell, Reading
    from ocrhpi.batch.tunings import Winner
    from ocrhpi.config.reading_options import ReadingOptions
    from ocrhpi.tuning.cache import Tuning

_log = logging.getLogger("ocrhpi")

_CONNECT_S = 10.0


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        identity: Ray's name of it.
        cpus: CPUs that Ray may give away there.
        gpus: GPUs, likewise.
    """

    identity: str
    cpus: float
    gpus: float = 0.0

    def room(self, cpus: int, gpus: float) -> int:
        """Return how many actors of this size it holds."""
        by_cpu = int(self.cpus // cpus)
        return min(by_cpu, int(self.gpus // gpus)) if gpus else by_cpu


@dataclass(frozen=True)
class Share:
    """What each actor gets.

    Attributes:
        actors: How many there are.
        threads: CPUs of an actor, which are the threads of its engine.
        reserved_cpus: CPUs that Ray is asked to keep for it. Less than ``threads`` where the actors fill a node: with
            no CPU left, Ray would wait for ever for one to read the data with.
        gpus: GPUs that Ray is asked to keep for it.
    """

    actors: int
    threads: int
    reserved_cpus: float
    gpus: float = 0.0

    @property
    def device(self) -> str:
        """Device of its engine: Ray hides GPUs from those who did not ask for them."""
        return "gpu" if self.gpus else "cpu"


def import_ray() -> Any:  # noqa: ANN401 - the module
    """Return the module.

    Raises:
        MissingExtra: It is not installed, or cannot be imported.
    """
    try:
        import ray  # noqa: PLC0415 - behind an extra, and heavy
    except ImportError as error:
        raise MissingExtra("ray", f"a cluster needs Ray ({error})") from error
    return ray


def connect(address: str | None = None, **settings: Any) -> None:  # noqa: ANN401 - Ray's
    """Connect this process to a cluster, unless it is connected.

    Args:
        address: ``auto``, HOST:PORT, ``ray://HOST:PORT``, or ``local`` to start one here; None: the one that Ray finds,
            or else as ``local``.
        **settings: Further arguments of ``ray.init``.

    Raises:
        MissingExtra: Ray is not installed.
        OptionError: There is no cluster at that address.
    """
    ray = import_ray()
    if ray.is_initialized():
        return
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, **settings)
    except (OSError, ValueError, RuntimeError) as error:
        problem = f"received {address!r}, where no cluster answers ({' '.join(str(error).split())[:200]})"
        raise OptionError("address", f"{problem}; expected 'auto', HOST:PORT or ray://HOST:PORT") from error


def _knock(address: str | None) -> None:
    """Raise OSError if nobody listens at HOST:PORT, for which Ray would wait for minutes, and retry."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


def live_nodes() -> list[Node]:
    """Return the machines of the cluster that this process is connected to; starts one here if there is none."""
    ray = import_ray()
    if not ray.is_initialized():
        ray.init()
    resources = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    return [Node(name, found.get("CPU", 0.0), found.get("GPU", 0.0)) for name, found in resources.items()]


def share_out(nodes: Sequence[Node], actors: int | None, cpus: int | None, gpus: float = 0.0) -> Share:
    """Share the cluster out among actors of one size.

    Args:
        nodes: The machines.
        actors: How many; None: as many as there is room for.
        cpus: CPUs of each; None: an equal share of the cluster, or 4 where ``actors`` is None, too.
        gpus: GPUs of each.

    Raises:
        OptionError: A number is below 1, or no machine has room for such an actor.
    """
    for name, count in (("num_actors", actors), ("cpus_per_actor", cpus)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise OptionError(name, f"received {count!r}; expected a whole number, at least 1")
    largest = int(max((node.cpus for node in nodes), default=0))
    threads = cpus or _equal_share(nodes, actors, largest, gpus)
    filled = [(node, node.room(threads, gpus)) for node in nodes if node.room(threads, gpus)]
    if not filled:
        size = f"{threads} CPUs and {gpus:g} GPUs" if gpus else f"{threads} CPUs"
        problem = f"no node has room for an actor of {size}; the largest of {len(nodes)} nodes has {largest} CPUs"
        raise OptionError("cpus_per_actor", problem)
    reserved = min(threads, *((node.cpus - 1) / room for node, room in filled))
    # Ray takes fractions below 1 only.
    reserved = float(int(reserved)) if reserved >= 1 else max(0.0, round(reserved - 5e-5, 4))
    return Share(actors or sum(room for _, room in filled), threads, reserved, gpus)


def winners_of(nodes: Sequence[Node], options: ReadingOptions, share: Share) -> dict[str, Tuning]:
    """Return what was measured on each kind of machine; measure on one of each kind where nothing was yet.

    Returns:
        Kind of machine -> what was measured; empty where nothing is to be measured.

    Raises:
        OcrhpiError: As `ocrhpi.batch.tunings.measure_winner`, of the first machine that fails.
    """
    if not options.is_measured:
        return {}
    ray = import_ray()
    able = [node for node in nodes if node.room(share.threads, share.gpus)]
    find = ray.remote(num_cpus=0)(find_winner)
    found: list[Winner] = ray.get([find.options(scheduling_strategy=_on(node)).remote(options) for node in able])
    winners = {winner.kind: winner.tuning for winner in found if winner.tuning is not None}
    unknown = {winner.kind: node for winner, node in zip(found, able, strict=True) if winner.kind not in winners}
    if unknown:
        _log.info("measuring on %d of %d nodes, one of each kind", len(unknown), len(able))
    measure = ray.remote(num_cpus=share.reserved_cpus, num_gpus=share.gpus)(measure_winner)
    measured: list[Winner] = ray.get(
        [measure.options(scheduling_strategy=_on(node)).remote(options) for node in unknown.values()]
    )
    return winners | {winner.kind: winner.tuning for winner in measured if winner.tuning is not None}


def _equal_share(nodes: Sequence[Node], actors: int | None, largest: int, gpus: float) -> int:
    if actors is None:
        return max(1, min(USUAL_CPUS, largest))
    fitting = (cpus for cpus in range(largest, 1, -1) if sum(node.room(cpus, gpus) for node in nodes) >= actors)
    return next(fitting, 1)


def _on(node: Node) -> Any:  # noqa: ANN401 - Ray's
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    return NodeAffinitySchedulingStrategy(node.identity, soft=False)


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
