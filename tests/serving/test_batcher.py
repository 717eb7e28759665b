"""Which lines are read together, what is refused, and what happens to lines that nobody waits for any more."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.errors import RequestRefused
from ocrhpi.serving.batcher import Batcher
from ocrhpi.serving.options import ServingOptions
from tests.reading.fake_reader import line
from tests.serving.fakes import GatedReader, Recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


class Session:
    """A batcher in a running loop."""

    def __init__(self, reader_batch: int = 1, **options: Any) -> None:
        self.reader = GatedReader(reader_batch)
        self.metrics = Recorder()
        self.batcher = Batcher(self.reader, ServingOptions(**options), self.metrics)

    async def read(self, *widths: int, word_boxes: bool = False) -> list[str]:
        with self.batcher.hold(len(widths)) as places:
            texts = await self.batcher.read([line(width) for width in widths], places, word_boxes=word_boxes)
        return [text.text for text in texts]

    def ask(self, *widths: int, word_boxes: bool = False) -> asyncio.Task[list[str]]:
        return asyncio.create_task(self.read(*widths, word_boxes=word_boxes))

    async def entered(self, batches: int = 1) -> None:
        """Wait until so many further batches are in the reader."""
        for _ in range(batches):
            await asyncio.to_thread(self.reader.entered.acquire)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the reader busy with what it has, until the context is left."""
        self.reader.gate.clear()
        try:
            yield
        finally:
            self.reader.gate.set()


def run(scenario: Callable[[Session], Awaitable[None]], reader_batch: int = 1, **options: Any) -> Session:
    async def main() -> Session:
        session = Session(reader_batch, **options)
        await scenario(session)
        await session.batcher.close()
        return session

    return asyncio.run(main())


def texts(*widths: int) -> list[str]:
    return [f"gated:{width}" for width in widths]


def test_every_request_gets_its_own_texts_in_its_own_order() -> None:
    wanted = [(number % 7 * 50 + 20, number + 30, 500 - number) for number in range(50)]

    async def scenario(session: Session) -> None:
        read = await asyncio.gather(*(session.ask(*widths) for widths in wanted))
        assert read == [texts(*widths) for widths in wanted]

    session = run(scenario)
    assert sum(map(len, session.reader.batches)) == session.metrics.lines == 150
    assert [len(batch) for batch in session.reader.batches] == [lines for lines, _ in session.metrics.fills]


def test_an_idle_reader_starts_at_once_and_what_comes_meanwhile_shares_the_next_batch() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            first = session.ask(100)
            await session.entered()
            others = [session.ask(width) for width in (10, 20, 30)]
            await asyncio.sleep(0.02)
            assert session.reader.batches == [[100]]
            assert session.metrics.waiting == 3
        assert await first == texts(100)
        assert await asyncio.gather(*others) == [texts(10), texts(20), texts(30)]

    assert run(scenario).reader.batches == [[100], [10, 20, 30]]


def test_a_full_batch_is_prepared_while_the_reader_works() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            reads = [session.ask(100)]
            await session.entered()
            reads += [session.ask(width) for width in (10, 20)]
            await session.entered()
            reads += [session.ask(width) for width in (30, 40)]
            await asyncio.sleep(0.02)
            assert session.reader.batches == [[100], [10, 20]]  # and no third one
        await asyncio.gather(*reads)

    run(scenario, max_batch_lines=2)


def test_of_more_lines_the_oldest_is_read_first_and_those_of_like_width_with_it() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            blocking = session.ask(9)
            await session.entered()
            request = session.ask(700, 330, 1500, 640, 1600, 350, 750)
            await asyncio.sleep(0.02)
        assert await request == texts(700, 330, 1500, 640, 1600, 350, 750)
        await blocking

    session = run(scenario, max_batch_lines=3)
    assert session.reader.batches[1:] == [[700, 750, 640], [330, 350, 1500], [1600]]


def test_lines_of_both_kinds_of_result_do_not_mix() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            reads = [session.ask(9)]
            await session.entered()
            reads += [session.ask(width, word_boxes=bool(width % 2)) for width in (10, 11, 12, 13)]
            await asyncio.sleep(0.02)
        await asyncio.gather(*reads)

    session = run(scenario)
    assert session.reader.calls[1:] == [(2, None, False), (2, None, True)]


def test_it_waits_for_lines_on_their_way_but_not_for_long() -> None:
    async def scenario(session: Session) -> None:
        with session.batcher.hold(1) as places:
            early = session.ask(10)
            await asyncio.sleep(0.02)
            assert session.reader.batches == []
            late = await session.batcher.read([line(20)], places)
        assert await early == texts(10)
        assert [text.text for text in late] == texts(20)
        assert session.reader.batches == [[10, 20]]

    run(scenario, max_wait_ms=10_000.0)

    async def never_comes(session: Session) -> None:
        with session.batcher.hold(1):
            assert await session.ask(10) == texts(10)

    run(never_comes, max_wait_ms=5.0)


def test_lines_on_their_way_that_do_not_come_are_not_waited_for() -> None:
    async def scenario(session: Session) -> None:
        with session.batcher.hold(1):
            early = session.ask(10)
            await asyncio.sleep(0.02)
        assert await early == texts(10)

    run(scenario, max_wait_ms=10_000.0)


def test_the_default_batch_is_twice_the_measured_one() -> None:
    async def scenario(session: Session) -> None:
        await session.ask(*range(100, 164))

    assert {most for _, most in run(scenario, reader_batch=24).metrics.fills} == {48}
    assert {most for _, most in run(scenario, reader_batch=1).metrics.fills} == {16}


def test_the_batch_size_of_the_options_reaches_the_reader() -> None:
    async def scenario(session: Session) -> None:
        await session.ask(100)

    assert run(scenario, batch_size=3).reader.calls == [(1, 3, False)]
    assert run(scenario, reader_batch=4).reader.calls == [(1, None, False)]  # the reader knows its own


def test_a_full_queue_refuses_says_when_to_come_back_and_recovers() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            reads = [session.ask(9)]
            await session.entered()
            reads += [session.ask(width) for width in (10, 11, 12)]
            await asyncio.sleep(0.02)
            with pytest.raises(RequestRefused, match="the queue is full: 3 lines wait") as refusal:
                await session.read(13, 14)
            assert refusal.value.status == 429
            assert refusal.value.retry_after_s is not None
            assert refusal.value.retry_after_s >= 1
            with session.batcher.hold(1), pytest.raises(RequestRefused, match="4 lines wait"):
                await session.read(13)  # the place is taken, though its line has not come
        await asyncio.gather(*reads)
        assert await session.read(13, 14) == texts(13, 14)

    run(scenario, max_queued_lines=4)


def test_an_empty_queue_takes_any_request() -> None:
    async def scenario(session: Session) -> None:
        assert await session.read(*range(10, 30)) == texts(*range(10, 30))

    run(scenario, max_queued_lines=4, max_queued_pixels=48)


def test_pages_beyond_the_places_need_room() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            reads = [session.ask(9)]
            await session.entered()
            reads.append(session.ask(10, 11))
            await asyncio.sleep(0.02)
            with session.batcher.hold(1) as places, pytest.raises(RequestRefused) as refusal:
                await session.batcher.read([line(width) for width in (20, 21, 22)], places)
            assert refusal.value.status == 429
        await asyncio.gather(*reads)

    run(scenario, max_queued_lines=4)


def test_pixels_that_wait_are_bounded() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            reads = [session.ask(9)]
            await session.entered()
            reads.append(session.ask(100))
            await asyncio.sleep(0.02)
            with pytest.raises(RequestRefused, match="the queue is full"):
                await session.read(101)
            reads.append(session.ask(100))
        await asyncio.gather(*reads)
        assert await session.read(101) == texts(101)

    run(scenario, max_queued_pixels=200 * 48)


def test_lines_of_a_cancelled_request_are_not_read() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            first = session.ask(9)
            await session.entered()
            gone, stays = session.ask(10, 11), session.ask(12)
            await asyncio.sleep(0.02)
            gone.cancel()
            await asyncio.sleep(0.02)
            assert session.metrics.waiting == 1
        assert await first == texts(9)
        assert await stays == texts(12)
        assert gone.cancelled()

    assert run(scenario).reader.batches == [[9], [12]]


def test_cancelling_while_it_is_read_harms_nobody() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            gone = session.ask(9)
            await session.entered()
            gone.cancel()
            await asyncio.sleep(0.02)
        assert await session.read(10) == texts(10)

    run(scenario)


def test_a_line_does_not_fail_with_its_neighbours() -> None:
    async def scenario(session: Session) -> None:
        session.reader.poison = 66
        with session.busy():
            reads = [session.ask(9)]
            await session.entered()
            reads += [session.ask(10), session.ask(66, 67), session.ask(11)]
            await asyncio.sleep(0.02)
        done = await asyncio.gather(*reads, return_exceptions=True)
        assert [done[0], done[1], done[3]] == [texts(9), texts(10), texts(11)]
        assert isinstance(done[2], MemoryError)
        session.reader.poison = None
        assert await session.read(66) == texts(66)

    assert run(scenario).metrics.lines == 1 + 3 + 1


def test_closing_reads_what_waits_and_takes_nothing_more() -> None:
    async def scenario(session: Session) -> None:
        with session.busy():
            reads = [session.ask(9)]
            await session.entered()
            reads += [session.ask(width) for width in range(10, 40)]
            await asyncio.sleep(0.02)
            closing = asyncio.create_task(session.batcher.close())
            await asyncio.sleep(0.02)
            assert not closing.done()
            with pytest.raises(RequestRefused, match="shutting down") as refusal:
                await session.read(50)
            assert refusal.value.status == 503
        assert await asyncio.gather(*reads) == [texts(width) for width in (9, *range(10, 40))]
        await closing

    run(scenario)


def test_closing_does_not_wait_for_lines_on_their_way() -> None:
    async def scenario(session: Session) -> None:
        with session.batcher.hold(1):
            early = session.ask(10)
            await asyncio.sleep(0.02)
            await asyncio.wait_for(session.batcher.close(), 5)
            assert await early == texts(10)

    run(scenario, max_wait_ms=60_000.0)


def test_a_document_without_pages_waits_for_nothing() -> None:
    async def scenario(session: Session) -> None:
        with session.batcher.hold(1) as places:
            assert await session.batcher.read([], places) == []

    assert run(scenario).reader.batches == []
