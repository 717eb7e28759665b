"""A Ray cluster as `ocrhpi` needs it: how its processors are shared out, and what was measured on each kind of node."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.batch.pool import USUAL_CPUS
from ocrhpi.batch.tunings import find_winner, measure_winner
from ocrhpi.errors import MissingExtra, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.batch.tunings import Winner
    from ocrhpi.reading_options import ReadingOptions
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
