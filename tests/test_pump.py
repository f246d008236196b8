"""The tail of a process: opened again when it fails; and transports without a history."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_kit import ConnectionRegistry, Gap, MemoryLog, MemoryTransport, Position, Transport
from sse_kit import pump as pump_module
from sse_kit import runtime as runtime_module
from sse_kit.transports.base import Batch, Feed, Publication, Published, Record, Traits
from tests.registry_tools import (
    BreakingTransport,
    ForgetfulTransport,
    Wire,
    happens,
    logged,
    probe,
    received,
    seen,
    texts,
)
from tests.writing import ASYNCIO

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit import SSEConnection

pytestmark = pytest.mark.anyio


class Broken(Exception):
    """What a tail of a third party may raise."""


@pytest.fixture(autouse=True)
def _without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a tail opened again at once."""
    monkeypatch.setattr(pump_module, "DELAY", 0)


def gap_of(data: str | None) -> dict[str, object]:
    gap: dict[str, object] = json.loads(data or "")
    return gap


# With a history -----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [None, Broken()], ids=["ends", "raises"])
async def test_a_tail_that_breaks_is_opened_again_and_nothing_is_lost(
    failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Published before, while there is no tail, and after: all comes once, in order, gapless."""
    transport = BreakingTransport()
    async with ConnectionRegistry(transport) as registry:
        live = await registry.add_connection(topics=["news"])
        expected = []
        for number in range(1, 10):
            await registry.publish("news", f"{number} before")
            transport.break_tail(failure)
            await registry.publish("news", f"{number} after")
            expected += [f"{number} before", f"{number} after"]
            await happens(lambda number=number: transport.opened == number + 1)  # type: ignore[misc]
        assert await texts(live, 18) == expected
        assert registry.get_stats()["hub"]["gaps"] == 0
    assert len(logged(caplog)) == 9
    assert all(record.levelno == logging.ERROR for record in logged(caplog))
    assert "tail of BreakingTransport" in caplog.text


async def test_a_client_that_connects_while_there_is_no_tail_misses_nothing() -> None:
    """It starts where the process stands; what came meanwhile follows."""
    transport = BreakingTransport()
    async with ConnectionRegistry(transport) as registry:
        transport.break_tail()
        await registry.publish("news", "unseen")
        connection = await registry.add_connection(topics=["news"])
        assert await texts(connection, 1) == ["unseen"]


async def test_a_log_that_was_wiped_while_there_was_no_tail_is_told() -> None:
    """The gap resumes at the start of the new log, so nothing of that is missed."""
    transport = BreakingTransport()
    async with ConnectionRegistry(transport) as registry:
        live = await registry.add_connection(topics=["news"])
        await registry.publish("news", "old")
        assert await texts(live, 1) == ["old"]
        transport.break_tail()
        transport.log.clear()
        await registry.publish("news", "new")
        gap, new = await received(live, 2)
        assert gap_of(gap.data) == {"reason": "epoch", "missed": None}
        assert new.data == "new"


class StaleTransport(MemoryTransport):
    """Is in another epoch than its tail, until it is asked again."""

    asked = 0

    async def locate(self, position: Position, /) -> Position | Gap:
        """Answer, the first time as a replica that is behind."""
        self.asked += 1
        return Position("stale", 1) if self.asked == 1 else await super().locate(position)


async def test_an_answer_that_the_tail_does_not_bear_out_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client waits meanwhile, and then goes on where it should."""
    monkeypatch.setattr(runtime_module, "TICK", 0.005)
    transport = StaleTransport()
    async with ConnectionRegistry(transport) as registry:
        await seen(registry, await registry.publish("news", "text"))
        async with probe(registry).get("/", last_event_id="foreign.1") as stream:
            gap = await stream.next_event()
            assert gap_of(gap.data) == {"reason": "epoch", "missed": None}
            assert (await stream.next_event()).data == "text"
    assert transport.asked == 2


async def test_records_that_are_no_messages_are_skipped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once in the log, each in the statistics; their offsets are consumed, so there is no gap."""
    transport = MemoryTransport()
    foreign = (b"", b"\xff", b"null", b"[]", b'{"v":2,"data":"x"}', b'{"v":1,"data":"x","id":"7"}')
    async with ConnectionRegistry(transport, ring_size=2) as registry:
        live = await registry.add_connection(topics=["news"])
        first = await registry.publish("news", "first")
        for payload in foreign:
            await transport.publish(Publication(("news",), payload))
        last = await registry.publish("news", "last")
        assert [message.id for message in await received(live, 2)] == [str(first), str(last)]
        assert last.offset == first.offset + len(foreign) + 1
        assert registry.get_stats()["hub"]["malformed"] == len(foreign)
        assert live.message_count == 2
        # Nor does a client that catches up, past the ring, get them.
        async with probe(registry).get("/", last_event_id=str(first)) as stream:
            event = await stream.next_event()
            assert (event.data, event.id) == ("last", str(last))
        assert registry.get_stats()["hub"]["gaps"] == 0
    assert len(logged(caplog)) == 1


# Without a history --------------------------------------------------------------------------------


async def test_a_transport_without_a_history_delivers_what_is_live() -> None:
    """To every process that listens, in order."""
    wire = Wire()
    async with (
        ConnectionRegistry(ForgetfulTransport(wire)) as one,
        ConnectionRegistry(ForgetfulTransport(wire)) as two,
    ):
        followers = [await each.add_connection(topics=["news"]) for each in (one, two)]
        for number in range(50):
            await (one, two)[number % 2].publish("news", f"{number}")
        for follower in followers:
            assert await texts(follower, 50) == [f"{number}" for number in range(50)]
        assert one.get_stats()["hub"]["gaps"] == two.get_stats()["hub"]["gaps"] == 0


async def test_without_a_history_a_client_that_hops_is_told_of_a_gap() -> None:
    """Nobody can know what it missed in between; from then on it misses nothing."""
    wire = Wire()
    async with (
        ConnectionRegistry(ForgetfulTransport(wire)) as one,
        ConnectionRegistry(ForgetfulTransport(wire)) as two,
    ):
        async with probe(one).get("/") as stream:
            await seen(two, await two.publish("news", "before"))
            assert (await stream.next_event()).data == "before"
        async with probe(two).get("/", last_event_id=stream.last_event_id) as hopped:
            gap = await hopped.next_event()
            assert (gap.event, gap_of(gap.data)) == ("gap", {"reason": "epoch", "missed": None})
            await one.publish("news", "after")
            assert (await hopped.next_event()).data == "after"


async def test_without_a_history_a_client_resumes_from_the_ring() -> None:
    """As long as this process still has what it missed."""
    async with ConnectionRegistry(ForgetfulTransport(), ring_size=3) as registry:
        async with probe(registry).get("/") as stream:
            await registry.publish("news", "0")
            assert (await stream.next_event()).data == "0"
        for number in range(1, 4):
            await registry.publish("news", f"{number}")
        async with stream.reconnect() as again:
            assert [(await again.next_event()).data for _ in range(3)] == ["1", "2", "3"]
        for number in range(4, 9):
            await seen(registry, await registry.publish("news", f"{number}"))
        async with again.reconnect() as late:
            gap, *rest = [await late.next_event() for _ in range(4)]
            assert gap_of(gap.data) == {"reason": "trimmed", "missed": 2}
            assert [event.data for event in rest] == ["6", "7", "8"]


async def _next_of(connection: SSEConnection) -> tuple[str | None, str | None]:
    [message] = await received(connection, 1)
    return message.event, message.data


async def test_without_a_history_a_tail_that_breaks_is_a_gap_for_everyone() -> None:
    """One each, and what is published once there is a tail again is delivered."""
    transport = ForgetfulTransport()
    async with ConnectionRegistry(transport) as registry:
        everyone = [await registry.add_connection(topics=["news"]) for _ in range(3)]
        await registry.publish("news", "before")
        for each in everyone:
            assert await _next_of(each) == (None, "before")
        transport.cut()
        for each in everyone:
            event, data = await _next_of(each)
            assert (event, gap_of(data)) == ("gap", {"reason": "epoch", "missed": None})
        await registry.publish("news", "after")
        for each in everyone:
            assert await _next_of(each) == (None, "after")
        assert registry.get_stats()["hub"]["gaps"] == 3


class SlowToListen(ForgetfulTransport):
    """Opens its second tail when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_listen = anyio.Event()
        self.tails = 0

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Listen, the second time late."""
        self.tails += 1
        if self.tails > 1:
            await self.may_listen.wait()
        async with super().tail(after) as feeds:
            yield feeds


async def test_what_was_published_while_nobody_listened_lies_before_the_gap() -> None:
    """A client that fetches anew when it is told has all of it."""
    transport = SlowToListen()
    async with ConnectionRegistry(transport) as registry:
        live = await registry.add_connection(topics=["news"])
        await seen(registry, await registry.publish("news", "before"))
        assert await texts(live, 1) == ["before"]
        transport.cut()
        await happens(lambda: transport.tails == 2)
        await registry.publish("news", "lost")
        await anyio.wait_all_tasks_blocked()
        assert live.info().queued == 0, "told before the loss was over"
        transport.may_listen.set()
        event, _ = await _next_of(live)
        assert event == "gap"
        await registry.publish("news", "after")
        assert await texts(live, 1) == ["after"]


async def test_a_shared_log_outlives_a_process() -> None:
    """The next one starts at its end, and serves the clients of the last."""
    log = MemoryLog()
    async with ConnectionRegistry(MemoryTransport(log=log)) as registry:
        async with probe(registry).get("/") as stream:
            await registry.publish("news", "one")
            assert (await stream.next_event()).data == "one"
        await registry.publish("news", "two")
    async with (
        ConnectionRegistry(MemoryTransport(log=log)) as registry,
        probe(registry).get("/", last_event_id=stream.last_event_id) as again,
    ):
        assert (await again.next_event()).data == "two"


# Rounds -------------------------------------------------------------------------------------------


class Rounds(Transport):
    """A tail that a test feeds, and a hub that notes which feeds it was given together.

    ``cost``: the seconds that the hub takes for each round. ``now`` is the pump's clock.
    """

    traits = Traits(shared=False, durable=False, dedup_window=0.0)
    position = Position("e", 0)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.cost = 0.0
        monkeypatch.setattr(pump_module, "monotonic", lambda: self.now)
        self.given: list[int] = []
        self._next = 1
        self._send, self._receive = anyio.create_memory_object_stream[Feed](100)

    def apply(self, *feeds: Feed) -> None:
        """Note how many records have come; takes its time."""
        self.given.append(sum(len(feed.records) for feed in feeds if isinstance(feed, Batch)))
        self.now += self.cost

    async def publish(self, publication: Publication, /) -> Published:
        raise NotImplementedError

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Hand out what the test comes with."""
        assert after is None
        yield self._receive

    async def come(self, count: int = 1) -> None:
        """Have so many records come in one batch, and let the event loop turn."""
        numbers = range(self._next, self._next + count)
        self._next += count
        records = tuple(Record(Position("e", each), ("news",), b"") for each in numbers)
        self._send.send_nowait(Batch(records))
        await checkpoint()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Have the pump give them to the hub, and all of it by the end."""
        hub: Any = self
        with self._send, self._receive:
            async with anyio.create_task_group() as tasks:
                await tasks.start(pump_module.run, hub, self)
                yield
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


async def test_a_message_after_a_pause_is_handed_over_by_itself(rounds: Rounds) -> None:
    """No other that comes later is waited for."""
    rounds.cost = 0.005
    async with rounds.running():
        for _ in range(5):
            await rounds.come()
            await anyio.wait_all_tasks_blocked()
            rounds.now += 0.006
    assert rounds.given == [1] * 5


@pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO)
async def test_what_comes_turn_after_turn_is_handed_over_at_once(rounds: Rounds) -> None:
    """When a turn brings no more (asyncio runs tasks in their order, trio does not)."""
    rounds.cost = 0.005
    async with rounds.running():
        await rounds.come()
        await anyio.wait_all_tasks_blocked()
        for _ in range(20):
            await rounds.come()
    assert rounds.given == [1, 20]


@pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO)
async def test_a_burst_waits_for_more_of_it(rounds: Rounds) -> None:
    """Also after a pause."""
    rounds.cost = 0.005
    async with rounds.running():
        await rounds.come()
        await anyio.wait_all_tasks_blocked()
        rounds.now += 1.0
        for _ in range(20):
            await rounds.come(10)
    assert rounds.given == [1, 200]


@pytest.mark.parametrize(("cost", "longest"), [(0.005, 0.005), (1.0, pump_module.PATIENCE)])
async def test_nothing_waits_longer_than_the_last_round_took(
    cost: float, longest: float, rounds: Rounds
) -> None:
    """However many more come; and not longer than 10 ms."""
    rounds.cost = cost
    turns = 100
    async with rounds.running():
        for _ in range(turns):
            await rounds.come()
            rounds.now += 0.001
    assert sum(rounds.given) == turns
    assert max(rounds.given) <= longest / 0.001 + 2


@pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO)
async def test_what_keeps_coming_waits_as_long_as_it_may(rounds: Rounds) -> None:
    """And not for shorter, so that few rounds carry much."""
    rounds.cost = 1.0
    async with rounds.running():
        for _ in range(100):
            await rounds.come()
            rounds.now += 0.001
    assert max(rounds.given) >= pump_module.PATIENCE / 0.001
