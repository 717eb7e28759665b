"""How a cluster is shared out, and that every kind of node is measured once; without Ray."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ocrhpi.batch.tunings import Winner
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError
from ocrhpi.integrations import ray_cluster as module
from ocrhpi.integrations.ray_cluster import Node, Share, connect, share_out, winners_of
from tests.report.tuning_samples import tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocrhpi.config.reading_options import ReadingOptions


def nodes(*cpus: float, gpus: float = 0.0) -> list[Node]:
    return [Node(f"node {number}", count, gpus) for number, count in enumerate(cpus)]


@pytest.mark.parametrize(
    ("cpus", "actors", "asked", "share"),
    [
        # the actors would fill the node: one CPU is left to Ray
        ((2,), 1, None, Share(1, 2, 1.0)),
        ((2,), 2, None, Share(2, 1, 0.5)),
        ((2,), 2, 1, Share(2, 1, 0.5)),
        ((1,), None, None, Share(1, 1, 0.0)),
        ((64,), None, None, Share(16, 4, 3.0)),
        ((8,), 3, None, Share(3, 2, 1.0)),
        # half of it is enough
        ((8,), 1, 4, Share(1, 4, 3.0)),
        ((7,), None, 4, Share(1, 4, 4.0)),
        ((8, 8), 4, None, Share(4, 4, 3.0)),
        ((8, 2), 3, None, Share(3, 2, 1.0)),
        ((0, 4), None, None, Share(1, 4, 3.0)),
        # more than there is room for now: the cluster may grow
        ((4,), 9, None, Share(9, 1, 0.75)),
    ],
)
def test_a_cluster_is_shared_out(cpus: tuple[float, ...], actors: int | None, asked: int | None, share: Share) -> None:
    found = share_out(nodes(*cpus), actors, asked)
    assert found == share
    assert found.device == "cpu"


def test_gpus_bound_the_actors() -> None:
    share = share_out(nodes(16, 16, gpus=2), None, None, 1.0)
    assert (share.actors, share.threads, share.device) == (4, 4, "gpu")
    assert share_out(nodes(16, gpus=2), 4, None, 0.5) == Share(4, 4, 3.0, 0.5)


@pytest.mark.parametrize(
    ("cpus", "actors", "asked", "problem"),
    [
        ((4,), None, 5, "no node has room for an actor of 5 CPUs; the largest of 1 nodes has 4 CPUs"),
        ((), None, None, "no node has room"),
        ((4,), 0, None, "option 'num_actors': received 0; expected a whole number, at least 1"),
        ((4,), None, 1.5, "option 'cpus_per_actor': received 1.5"),
        ((4,), True, None, "option 'num_actors': received True"),
    ],
)
def test_what_does_not_fit_is_refused(cpus: tuple[float, ...], actors: Any, asked: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        share_out(nodes(*cpus), actors, asked)
    with pytest.raises(OptionError, match="of 1 CPUs and 1 GPUs"):
        share_out(nodes(4), None, 1, 1.0)


class FakeRay:
    """Runs tasks here, and says which kind of node it is on."""

    def __init__(self, kinds: Sequence[str], kept: Sequence[str]) -> None:
        self.kinds = {f"node {number}": kind for number, kind in enumerate(kinds)}
        self.kept = set(kept)
        self.asked: list[str] = []
        self.measured: list[str] = []

    def remote(self, **resources: float) -> Callable[[object], FakeTask]:
        return lambda _: FakeTask(self, resources)

    def get(self, answers: list[Winner]) -> list[Winner]:
        return answers


class FakeTask(NamedTuple):
    ray: FakeRay
    resources: dict[str, float]
    node: str = ""

    def options(self, scheduling_strategy: Node) -> FakeTask:
        return self._replace(node=scheduling_strategy.identity)

    def remote(self, _: ReadingOptions) -> Winner:
        kind = self.ray.kinds[self.node]
        if self.resources["num_cpus"]:
            assert self.resources == {"num_cpus": 3.0, "num_gpus": 0.0}
            self.ray.measured.append(kind)
            return Winner(kind, tuning())
        self.ray.asked.append(self.node)
        return Winner(kind, tuning() if kind in self.ray.kept else None)


def test_each_kind_of_node_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(["old", "new", "old", "known", "new", "known", "small"], ["known"])
    monkeypatch.setattr(module, "import_ray", lambda: ray)
    monkeypatch.setattr(module, "_on", lambda node: node)
    cluster = nodes(4, 4, 4, 4, 4, 4, 1)
    winners = winners_of(cluster, reading_options("x"), share_out(cluster, None, 4))
    assert ray.asked == [f"node {number}" for number in range(6)]  # the small one has no room for an actor
    assert sorted(ray.measured) == ["new", "old"]
    assert set(winners) == {"old", "new", "known"}

    ray.measured.clear()
    ray.kept |= {"old", "new"}
    assert set(winners_of(cluster, reading_options("x"), share_out(cluster, None, 4))) == {"old", "new", "known"}
    assert ray.measured == []


def test_what_is_not_measured_asks_no_node() -> None:
    options = reading_options("x", hpi_config={"auto_config": False, "backend": "openvino"})
    assert winners_of(nodes(4), options, Share(1, 4, 3.0)) == {}
    assert winners_of(nodes(4), reading_options("x", use_hpip=False), Share(1, 4, 3.0)) == {}


def test_an_address_where_nobody_listens_is_refused_before_ray_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    ray = SimpleNamespace(is_initialized=lambda: False, init=lambda *, address, **_: asked.append(address))
    monkeypatch.setattr(module, "import_ray", lambda: ray)
    with socket.create_server(("127.0.0.1", 0)) as head:
        port = head.getsockname()[1]
        connect(f"127.0.0.1:{port}")
    for silent in (f"127.0.0.1:{port}", "127.0.0.1:99999"):
        with pytest.raises(OptionError, match="where no cluster answers"):
            connect(silent)
    for address in ("auto", "local", "ray://127.0.0.1:1", None):  # Ray's own to find
        connect(address)
    assert asked == [f"127.0.0.1:{port}", "auto", "local", "ray://127.0.0.1:1", None]
