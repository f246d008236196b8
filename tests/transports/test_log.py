"""What all transports over an engine share: the writer, the tails, the lifetime, the outages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_kit.config import Retention
from sse_kit.errors import (
    EngineRefused,
    EngineUnavailable,
    InvalidSetting,
    Misuse,
    PublishFailed,
    TransportNotRunning,
)
from sse_kit.testing import TransportConformance
from sse_kit.transports import log
from sse_kit.transports.base import Batch, HealthStatus, Position, Publication, Rebase
from sse_kit.transports.memory_log import MemoryLog
from sse_kit.transports.settings import LogSettings, redacted
from tests.transports.engine import Engine, EngineTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sse_kit.transports.base import Page, Transport

pytestmark = pytest.mark.anyio


class TestEngine(TransportConformance):
    """The base keeps every promise over an engine that keeps the log."""

    def setup_method(self) -> None:
        self.engines: dict[str, Engine] = {}

    def make(self, namespace: str) -> Transport:
        return EngineTransport(self.engines.setdefault(namespace, Engine()))

    def make_small(self, namespace: str) -> Transport:
        small = Engine(MemoryLog(Retention(max_records=50)))
        return EngineTransport(self.engines.setdefault(namespace, small))


def publication(number: int) -> Publication:
    return Publication(("t",), b"%d" % number)


async def test_what_waits_goes_as_one_batch() -> None:
    """While one batch is under way the next one gathers."""
    engine = Engine()
    async with EngineTransport(engine) as transport, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(transport.publish, publication(number))
    assert sum(engine.batches) == 100
    assert len(engine.batches) <= 3


@pytest.mark.parametrize("fault", ["lost request", "lost answer", "half", "hang"])
async def test_a_batch_that_failed_is_stored_once(fault: str) -> None:
    """Whatever of a batch arrived, each publication is stored once, and none is lost."""
    engine = Engine()
    engine.faults.extend([fault, fault])
    async with EngineTransport(engine, request_timeout=0.05) as transport:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(transport.publish, publication(number))
        page = await transport.read(0, limit=100)
    assert sorted(int(record.payload) for record in page.records) == list(range(20))


async def test_a_publish_fails_once_its_time_is_over() -> None:
    """After ``publish_timeout`` seconds it is told that nobody knows, and why."""
    engine = Engine()
    async with EngineTransport(engine, publish_timeout=0.05) as transport:
        engine.down = True
        with pytest.raises(PublishFailed, match="down"):
            await transport.publish(Publication(("t",), b"", "key"))


async def test_a_publish_that_was_given_up_is_sent_no_more() -> None:
    """What was cancelled during an outage is not stored when the engine comes back."""
    engine = Engine()
    async with EngineTransport(engine) as transport:
        engine.down = True
        with anyio.move_on_after(0.05) as scope:
            await transport.publish(publication(1))
        await anyio.wait_all_tasks_blocked()
        engine.down = False
        published = await transport.publish(publication(2))
    assert scope.cancelled_caught
    assert published.position.offset == 1


async def test_a_tail_goes_on_after_an_outage() -> None:
    """An outage delays a tail, it ends it not, and loses it nothing."""
    engine = Engine()
    async with EngineTransport(engine) as transport, transport.tail() as feeds:
        engine.down = True
        assert (await transport.health()).status is HealthStatus.DOWN
        engine.log.append(publication(7))
        engine.down = False
        with anyio.fail_after(5):
            feed = await feeds.receive()
        assert (await transport.health()).status is HealthStatus.OK
    assert isinstance(feed, Batch)
    assert feed.records[0].payload == b"7"


async def test_a_tail_can_be_entered_during_an_outage() -> None:
    """Entering waits until the engine tells where now is."""
    engine = Engine()
    async with EngineTransport(engine) as transport:
        engine.faults.extend(["lost page"] * 3)
        with anyio.fail_after(5):
            async with transport.tail() as feeds:
                await transport.publish(publication(7))
                assert isinstance(await feeds.receive(), Batch)


async def test_a_lost_wake_up_costs_time_and_no_record() -> None:
    """What another process stored is found by looking."""
    engine = Engine()
    async with EngineTransport(engine) as transport, transport.tail() as feeds:
        await anyio.wait_all_tasks_blocked()
        engine.log.append(publication(7))
        with anyio.fail_after(5):
            assert isinstance(await feeds.receive(), Batch)


async def test_a_doubt_that_stays_is_looked_into_with_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever was asked does not know the cursor, the engine says that it is right: in a while."""
    doubts, pauses = [None] * 5, list[int]()

    class Doubtful(EngineTransport):
        async def next_page(self, cursor: Position, /) -> Page | None:
            return doubts.pop() if doubts else await super().next_page(cursor)

    def counted() -> Iterator[float]:
        for number in range(100):
            pauses.append(number)
            yield 0.0

    async with Doubtful(Engine()) as transport:
        monkeypatch.setattr(log, "delays", counted)
        async with transport.tail() as feeds:
            await transport.publish(publication(7))
            with anyio.fail_after(5):
                assert isinstance(await feeds.receive(), Batch)
    assert pauses == [0, 1, 2, 3, 4]


async def test_a_new_generation_is_one_rebase() -> None:
    """A tail inside the common history is told of the fork, and goes on in the new epoch."""
    engine = Engine()
    async with EngineTransport(engine) as transport:
        old = [await transport.publish(publication(number)) for number in range(3)]
        async with transport.tail(old[1].position) as feeds:
            engine.log.rewind(2)
            await transport.publish(publication(9))
            with anyio.fail_after(5):
                rebase, batch = await feeds.receive(), await feeds.receive()
    epoch = engine.log.bounds().epoch
    assert rebase == Rebase(old[0].position.epoch, epoch, 2)
    assert isinstance(batch, Batch)
    assert [record.position for record in batch.records] == [Position(epoch, 3)]


async def test_an_engine_that_comes_late_is_waited_for() -> None:
    """Entering tries for ``connect_timeout`` seconds."""
    engine = Engine()
    engine.faults.extend(["no connection"] * 3)
    async with EngineTransport(engine) as transport:
        assert (await transport.publish(publication(1))).position.offset == 1


async def test_an_engine_that_does_not_come_is_an_error() -> None:
    """With a ``connect_timeout`` of 0 it is tried once, and the error says where and why."""
    engine = Engine()
    engine.faults.append("no connection")
    with pytest.raises(EngineUnavailable, match=r"memory-engine.*no connection"):
        async with EngineTransport(engine, connect_timeout=0):
            pytest.fail("there is no engine")
    async with EngineTransport(engine, connect_timeout=0):
        pass  # it holds nothing of the first try


async def test_an_engine_that_refuses_is_not_asked_again() -> None:
    """A wrong password does not become right by waiting."""

    class Refused(EngineTransport):
        async def append(self, *_: object) -> list[object]:  # type: ignore[override]
            raise NotImplementedError

        def connected(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            raise EngineRefused(self.contact.address, "WRONGPASS", "give the right one")

    with anyio.fail_after(5), pytest.raises(EngineRefused, match="WRONGPASS"):
        async with Refused(Engine(), connect_timeout=60.0):
            pytest.fail("it was refused")


async def test_a_transport_is_entered_once_at_a_time() -> None:
    """Entering it a second time is a misuse."""
    async with EngineTransport(Engine()) as transport:
        with pytest.raises(Misuse, match="running already"):
            await transport.__aenter__()


async def test_a_transport_that_was_not_entered_says_so() -> None:
    """Each call that needs the engine raises TransportNotRunning."""
    transport = EngineTransport(Engine())
    with pytest.raises(TransportNotRunning):
        await transport.publish(publication(1))
    with pytest.raises(TransportNotRunning):
        await transport.read(0, limit=1)
    with pytest.raises(TransportNotRunning):
        async with transport.tail():
            pytest.fail("it was not entered")
    assert (await transport.health()).status is HealthStatus.DOWN


async def test_leaving_fails_what_still_waits() -> None:
    """A publish under way when the transport is left is told that nobody knows."""
    engine = Engine()
    failures: list[PublishFailed] = []

    async def publish(transport: EngineTransport) -> None:
        with pytest.raises(PublishFailed) as caught:
            await transport.publish(publication(1))
        failures.append(caught.value)

    async with anyio.create_task_group() as tasks, EngineTransport(engine) as transport:
        engine.down = True
        tasks.start_soon(publish, transport)
        tasks.start_soon(publish, transport)
        await anyio.wait_all_tasks_blocked()
        await lowlevel.checkpoint()
    assert [failure.reason for failure in failures] == ["the transport was left"] * 2


@settings(max_examples=25)
@given(
    faults=st.lists(st.sampled_from(["lost request", "lost answer", "half", "lost page"])),
    cut=st.integers(0, 30),
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whatever_fails_the_log_is_what_was_published(
    backend: str, faults: list[str], cut: int
) -> None:
    """Over any faults, each publication is in the log once, in order, and a tail hands it out."""

    async def run() -> None:
        engine = Engine()
        async with EngineTransport(engine) as transport, transport.tail() as feeds:
            engine.faults.extend(faults[:6])
            async with anyio.create_task_group() as tasks:
                for number in range(30):
                    tasks.start_soon(transport.publish, publication(number))
                    if number == cut:
                        await lowlevel.checkpoint()
            records: list[int] = []
            with anyio.fail_after(10):
                while len(records) < 30:
                    feed = await feeds.receive()
                    assert isinstance(feed, Batch)
                    records += [int(record.payload) for record in feed.records]
        assert sorted(records) == list(range(30))

    anyio.run(run, backend=backend)


@pytest.mark.parametrize(
    "settings",
    [
        {"namespace": "a b"},
        {"namespace": ""},
        {"dedup_window": 0.0},
        {"dedup_window": 10.0, "publish_timeout": 10.0},
        {"request_timeout": -1.0},
    ],
)
def test_a_setting_outside_its_range_is_refused(settings: dict[str, Any]) -> None:
    """At construction, by name."""
    with pytest.raises(InvalidSetting, match=next(iter(settings))):
        LogSettings(**settings)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:1/0?a=b", "redis://user:***@host:1/0?a=b"),
        ("redis://:s@cret@host", "redis://:***@host"),
        ("redis://user:se/cret@host", "redis://user:***@host"),
        ("redis:secret@host", "redis:***@host"),
        ("nats://user:secret@[x", "nats://user:***@[x"),
        ("nats://host:4222", "nats://host:4222"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    """What is logged holds no secret."""
    assert redacted(url) == shown
