"""Who may stream: authorised, one at a time under an id, not too many, and for how long."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit import (
    CloseReason,
    ConnectionRegistry,
    ConnectionState,
    Hooks,
    SSEConnection,
)
from sse_kit import admission as admission_module
from sse_kit import leases as leases_module
from sse_kit import runtime as runtime_module
from tests.registry_tools import Recorder, happens, logged, probe, texts

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sse_kit.leases import Authorise
    from sse_kit.testing.asgi import ProbeStream

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the leases looked at often."""
    monkeypatch.setattr(runtime_module, "TICK", 0.005)


async def ends(stream: ProbeStream) -> list[str | None]:
    """Return the names of what came until the end, without the opening and comments."""
    blocks = await stream.read_until_end()
    return [block.event for block in blocks if block.data is not None]


def only(registry: ConnectionRegistry) -> SSEConnection:
    """Return the one connection there is."""
    [connection] = registry.get_connections()
    return connection


# Authorisation ------------------------------------------------------------------------------------


async def _async_yes(_: SSEConnection) -> bool:
    await anyio.lowlevel.checkpoint()
    return True


async def _async_no(_: SSEConnection) -> bool:
    await anyio.lowlevel.checkpoint()
    return False


async def _async_failure(_: SSEConnection) -> bool:
    await anyio.lowlevel.checkpoint()
    raise LookupError


def _failure(_: SSEConnection) -> bool:
    raise LookupError


@pytest.mark.parametrize("authorise", [lambda _: True, lambda _: 1, _async_yes])
async def test_a_yes_lets_the_stream_begin(authorise: Authorise) -> None:
    """From a function of either kind; what is true is a yes."""
    async with (
        ConnectionRegistry() as registry,
        probe(registry, authorise=authorise).get("/") as stream,
    ):
        assert stream.status == 200
        await registry.publish("news", "text")
        assert (await stream.next_event()).data == "text"


@pytest.mark.parametrize("authorise", [lambda _: False, lambda _: None, _async_no])
async def test_a_no_is_403_and_leaves_nothing(authorise: Authorise) -> None:
    """The client never was a connection: no hook is told, no topic followed."""
    told = Recorder()
    hooks = Hooks(connected=told, disconnected=told)
    async with (
        ConnectionRegistry(hooks=hooks) as registry,
        probe(registry, authorise=authorise).get("/") as stream,
    ):
        assert stream.status == 403
        assert registry.get_connections() == []
        assert registry.get_stats()["hub"]["subscriptions"] == 0
    assert told.events == []


async def test_an_authoriser_is_shown_the_connection_before_it_is_entered() -> None:
    """With its id, its topics and its metadata; it follows nothing yet."""
    shown: list[tuple[Any, ...]] = []

    def authorise(connection: SSEConnection) -> bool:
        following = registry.get_stats()["hub"]["subscriptions"]
        facts = (connection.connection_id, connection.connection_type, connection.topics)
        shown.append((*facts, dict(connection.metadata), connection.state, following))
        return False

    async with ConnectionRegistry() as registry:
        options = {"connection_id": "mine", "connection_type": "user", "metadata": {"a": 1}}
        async with probe(registry, ["x", "y"], authorise=authorise, **options).get("/"):
            pass
    assert shown == [("mine", "user", {"x", "y"}, {"a": 1}, ConnectionState.CONNECTING, 0)]


async def _never(_: SSEConnection) -> bool:
    await anyio.sleep_forever()
    return True


@pytest.mark.parametrize("authorise", [_failure, _async_failure, _never])
async def test_without_an_answer_the_client_shall_ask_again(
    authorise: Authorise, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage must not end an EventSource for good, as 403 and 500 do; it gets no message."""
    monkeypatch.setattr(admission_module, "FIRST_ANSWER", 0.01)
    async with (
        ConnectionRegistry() as registry,
        probe(registry, connection_id="mine", authorise=authorise).get("/") as stream,
    ):
        assert stream.status == 200
        await registry.publish("news", "secret")
        assert await ends(stream) == ["bye"]
        assert registry.get_connections() == []
    [record] = logged(caplog)
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert vars(record)["connection_id"] == "mine"


async def test_a_stream_ends_when_its_authoriser_changes_its_mind() -> None:
    """It is asked at every heartbeat; the client may come back, and is then told 403."""
    allowed = True
    closed = Recorder()
    registry = ConnectionRegistry(heartbeat=0.01, hooks=Hooks(disconnected=closed))
    async with registry:
        client = probe(registry, authorise=lambda _: allowed)
        async with client.get("/") as stream:
            await registry.publish("news", "text")
            assert (await stream.next_event()).data == "text"
            allowed = False
            assert await ends(stream) == []
        await happens(lambda: registry.get_connections() == [])
        async with client.get("/") as again:
            assert again.status == 403
    assert [event.reason for event in closed.events] == [CloseReason.REVOKED]


@pytest.mark.parametrize("later", [_failure, _async_failure, _never])
async def test_while_a_stream_runs_no_answer_is_a_no(
    later: Authorise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, so that nothing goes to whom nobody vouches for."""
    monkeypatch.setattr(leases_module, "AUTHORISE_TIMEOUT", 0.01)
    asked: list[SSEConnection] = []

    def authorise(connection: SSEConnection) -> Awaitable[bool] | bool:
        asked.append(connection)
        return True if len(asked) == 1 else later(connection)

    async with ConnectionRegistry(heartbeat=0.01) as registry:
        async with probe(registry, authorise=authorise).get("/") as stream:
            assert await ends(stream) == []
        assert asked[0].close_reason is CloseReason.REVOKED
        assert set(asked) == {asked[0]}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_authoriser_that_waits_for_a_cancelled_task_says_no() -> None:
    """It does not cancel the registry with it."""
    cancelled = False

    async def authorise(_: SSEConnection) -> bool:
        work = asyncio.ensure_future(asyncio.sleep(0))
        if cancelled:
            work.cancel()
        await work
        return True

    async with ConnectionRegistry(heartbeat=0.01) as registry:
        other = await registry.add_connection(topics=["news"])
        async with probe(registry, authorise=authorise).get("/") as stream:
            cancelled = True
            assert await ends(stream) == []
        await registry.publish("news", "text")
        assert await texts(other, 1) == ["text"]


# One id, one stream -------------------------------------------------------------------------------


async def test_a_new_stream_takes_over_the_id_of_an_old_one() -> None:
    """The old one ends, without a goodbye; the entry is the new one's, and it stays."""
    closed = Recorder()
    registry = ConnectionRegistry(hooks=Hooks(disconnected=closed))
    async with registry:
        client = probe(registry, connection_id="mine")
        async with client.get("/") as old:
            first = only(registry)
            async with client.get("/") as new:
                assert await ends(old) == []
                assert only(registry) is not first
                assert first.close_reason is CloseReason.REPLACED
                assert [event.reason for event in closed.events] == [CloseReason.REPLACED]
                await registry.publish("news", "text")
                assert (await new.next_event()).data == "text"
    assert [event.reason for event in closed.events] == [
        CloseReason.REPLACED,
        CloseReason.CLIENT_LEFT,
    ]


async def test_a_stream_takes_over_the_id_of_a_connection_made_by_hand() -> None:
    """Whoever iterates that comes to its end."""
    async with ConnectionRegistry() as registry:
        by_hand = await registry.add_connection("mine", topics=["news"])
        async with probe(registry, connection_id="mine").get("/"):
            assert only(registry) is not by_hand
            assert [message async for message in by_hand] == []


async def test_a_refused_stream_takes_over_nothing() -> None:
    """Else anybody could end anybody's stream."""
    async with (
        ConnectionRegistry() as registry,
        probe(registry, connection_id="mine").get("/") as stream,
    ):
        intruder = probe(registry, connection_id="mine", authorise=lambda _: False)
        async with intruder.get("/") as refused:
            assert refused.status == 403
        await registry.publish("news", "text")
        assert (await stream.next_event()).data == "text"


# Limits -------------------------------------------------------------------------------------------


async def test_over_the_limit_a_client_is_asked_to_come_back() -> None:
    """With 200 and a goodbye; connections made by hand don't count, and a takeover is no more."""
    async with ConnectionRegistry(max_connections=2) as registry:
        await registry.add_connection("by hand")
        client = probe(registry, connection_id="mine")
        async with client.get("/"), probe(registry).get("/") as second:
            async with probe(registry).get("/") as third:
                assert third.status == 200
                blocks = await third.read_until_end()
                assert blocks[-1].event == "bye"
                assert json.loads(blocks[-1].data or "") == {"retry": blocks[-1].retry}
            assert len(registry.get_connections("global")) == 3
            async with client.get("/") as taken_over:
                await registry.publish("news", "text")
                assert (await taken_over.next_event()).data == "text"
            assert (await second.next_event()).data == "text"
        async with probe(registry).get("/") as free:
            await registry.publish("news", "text")
            assert (await free.next_event()).data == "text"


async def test_a_stream_over_its_lifetime_is_asked_to_come_back() -> None:
    """It resumes without a gap."""
    async with ConnectionRegistry(max_lifetime=0.02) as registry:
        async with probe(registry).get("/") as stream:
            assert await ends(stream) == ["bye"]
        await registry.publish("news", "between")
        async with stream.reconnect() as again:
            assert (await again.next_event()).data == "between"


async def test_a_client_that_leaves_before_the_first_byte_leaves_nothing() -> None:
    """It was a connection, so the hooks are told of both ends of it."""
    opened, closed = Recorder(), Recorder()
    hooks = Hooks(connected=opened, disconnected=closed)
    async with ConnectionRegistry(hooks=hooks) as registry:
        async with probe(registry).open("GET", "/") as stream:
            stream.stall()
            await happens(lambda: registry.get_connections() != [])
            stream.disconnect()
        assert registry.get_connections() == []
        assert registry.get_stats()["hub"]["subscriptions"] == 0
        assert registry.get_stats()["hub"]["topics"] == 0
    assert len(opened.events) == len(closed.events) == 1
    assert closed.events[0].reason is CloseReason.CLIENT_LEFT


async def test_many_clients_leave_nothing() -> None:
    """However each of them leaves: before the start, by a reset, in the middle of data."""
    opened, closed = Recorder(), Recorder()
    hooks = Hooks(connected=opened, disconnected=closed)
    async with ConnectionRegistry(hooks=hooks) as registry:
        tasks_before = len(anyio.get_running_tasks())
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(_come_and_go, registry, number)
            for number in range(100):
                await registry.publish("news", f"{number}")
        assert len(anyio.get_running_tasks()) == tasks_before
        stats = registry.get_stats()
        assert stats["total"] == stats["hub"]["subscriptions"] == stats["hub"]["topics"] == 0
    assert len(opened.events) == len(closed.events)
    assert {event.reason for event in closed.events} == {CloseReason.CLIENT_LEFT}


async def _come_and_go(registry: ConnectionRegistry, number: int) -> None:
    async with probe(registry).open("GET", "/") as stream:
        if number % 3:
            await stream.start()
        if number % 4:
            await anyio.lowlevel.checkpoint()
        if number % 2:
            stream.reset()
