"""Entering and leaving a registry, again and on other event loops; close and drain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

import anyio
import pytest
import trio
from starlette.responses import Response

from sse_kit import (
    Closed,
    CloseReason,
    ConnectionRegistry,
    ConnectionState,
    Hooks,
    MemoryLog,
    MemoryTransport,
    Position,
)
from sse_kit import admission as admission_module
from sse_kit.errors import (
    InvalidSetting,
    RegistryNotRunning,
    RegistryRunning,
    TransportError,
    TransportNotRunning,
)
from sse_kit.testing.asgi import ASGIProbe
from tests.registry_tools import Recorder, happens, probe, request, stay, texts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit.testing.asgi import ProbeStream
    from sse_kit.transports.base import Bounds, Feed, Publication, Published

pytestmark = pytest.mark.anyio


def nothing_is_held(registry: ConnectionRegistry) -> bool:
    return registry.get_connections() == [] and registry.get_stats()["hub"] is None


# Entering -----------------------------------------------------------------------------------------


async def test_a_registry_that_runs_cannot_be_entered() -> None:
    """The run that there is goes on."""
    async with ConnectionRegistry() as registry:
        with pytest.raises(RegistryRunning):
            await registry.__aenter__()
        follower = await registry.add_connection(topics=["news"])
        await registry.publish("news", "text")
        assert await texts(follower, 1) == ["text"]
    assert nothing_is_held(registry)


async def test_a_registry_that_is_being_entered_cannot_be_entered() -> None:
    """Also before the transport has answered."""
    slow = SlowTransport()
    registry = ConnectionRegistry(slow)
    refused: list[type[Exception]] = []

    async def enter() -> None:
        try:
            async with registry:
                pass
        except RegistryRunning as error:
            refused.append(type(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        assert refused == [RegistryRunning]
        slow.may_enter.set()


async def test_a_registry_can_be_entered_again() -> None:
    """What was published before is in its log, and a client that comes back gets it."""
    registry = ConnectionRegistry()
    async with registry:
        first = await registry.publish("news", "one")
    with pytest.raises(RegistryNotRunning):
        await registry.publish("news", "nothing")
    async with registry:
        await registry.publish("news", "two")
        cursor = str(Position(first.epoch, 0))
        async with probe(registry).get("/", last_event_id=cursor) as stream:
            assert [(await stream.next_event()).data for _ in range(2)] == ["one", "two"]


async def _publish_and_receive(registry: ConnectionRegistry) -> list[str | None]:
    async with registry:
        follower = await registry.add_connection(topics=["news"])
        outside = await registry.add_connection(queue_size=1)
        with anyio.move_on_after(0):
            await anext(follower)
        await registry.publish("news", "text")
        assert await outside.send("fits")
        assert not await outside.send("too much", timeout=0)
        async with probe(registry).get("/") as stream:
            await registry.publish("news", "text")
            await stream.next_event()
        return await texts(follower, 2)


def test_a_registry_moves_from_event_loop_to_event_loop() -> None:
    """Nothing of one loop is left in the registry, or in its transport, for the next."""
    registry = ConnectionRegistry()
    for _ in range(2):
        assert asyncio.run(_publish_and_receive(registry)) == ["text", "text"]
        assert trio.run(_publish_and_receive, registry) == ["text", "text"]
    assert nothing_is_held(registry)


def test_a_connection_without_topics_outlives_its_event_loop() -> None:
    """Whoever waited for it in one is no burden in the next."""
    registry = ConnectionRegistry()

    async def wait_in_vain() -> None:
        connection = registry.get_connection("mine") or await registry.add_connection("mine")
        with anyio.move_on_after(0):
            await anext(connection)

    async def receive() -> list[str | None]:
        await registry.send("mine", "text")
        connection = registry.get_connection("mine")
        assert connection is not None
        return await texts(connection, 1)

    asyncio.run(wait_in_vain())
    trio.run(wait_in_vain)
    assert asyncio.run(receive()) == ["text"]


class SlowTransport(MemoryTransport):
    """Enters, and opens its tail, when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_enter = anyio.Event()
        self.may_tail = anyio.Event()
        self.may_tail.set()

    async def __aenter__(self) -> Self:
        """Wait, then enter."""
        await self.may_enter.wait()
        return await super().__aenter__()

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Wait, then follow the log."""
        await self.may_tail.wait()
        async with super().tail(after) as feeds:
            yield feeds


@pytest.mark.parametrize("tail_too", [False, True])
async def test_entering_can_be_cancelled(*, tail_too: bool) -> None:
    """Wherever it waits; the registry can be entered later."""
    slow = SlowTransport()
    if tail_too:
        slow.may_enter.set()
        slow.may_tail = anyio.Event()
    registry = ConnectionRegistry(slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.__aenter__)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert nothing_is_held(registry)
    slow.may_enter.set()
    slow.may_tail.set()
    async with registry:
        await registry.publish("news", "text")


class FailingTransport(MemoryTransport):
    """Fails where it is told to, once."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.left = 0

    def _maybe_fail(self, where: str) -> None:
        if self.where == where:
            self.where = ""
            raise TransportError(where)

    async def __aenter__(self) -> Self:
        """Fail, or enter."""
        self._maybe_fail("enter")
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        """Leave."""
        self.left += 1
        await super().__aexit__(None, None, None)

    async def bounds(self) -> Bounds:
        """Fail, or tell."""
        self._maybe_fail("bounds")
        return await super().bounds()

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Fail, or follow the log."""
        self._maybe_fail("tail")
        async with super().tail(after) as feeds:
            yield feeds


@pytest.mark.parametrize(("where", "left"), [("enter", 0), ("bounds", 1), ("tail", 1)])
async def test_an_engine_that_fails_at_the_start_fails_the_start(where: str, left: int) -> None:
    """By its own error, in no group; what was entered is left, and the next try can succeed."""
    failing = FailingTransport(where)
    registry = ConnectionRegistry(failing)
    with pytest.raises(TransportError, match=where) as caught:
        await registry.__aenter__()
    assert type(caught.value) is TransportError
    assert failing.left == left
    assert nothing_is_held(registry)
    async with registry:
        await registry.publish("news", "text")


# Leaving ------------------------------------------------------------------------------------------


class Oops(Exception):
    """Something of the application's."""


async def test_an_error_of_the_body_leaves_as_it_is() -> None:
    """In no group, with its own cause and context."""
    error = Oops()
    with pytest.raises(Oops) as caught:
        async with ConnectionRegistry():
            raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_a_group_of_the_body_leaves_as_it_is() -> None:
    """It is not wrapped once more."""
    with pytest.raises(ExceptionGroup) as caught:
        async with ConnectionRegistry(), anyio.create_task_group():
            raise Oops
    assert [type(error) for error in caught.value.exceptions] == [Oops]


async def test_leaving_ends_connections_and_lets_go_of_them() -> None:
    """Made by hand or by a stream; those who iterate come to the end of it."""
    closed = Recorder()
    registry = ConnectionRegistry(hooks=Hooks(disconnected=closed))
    async with anyio.create_task_group() as tasks:
        leaving = await tasks.start(stay, registry)
        by_hand = await registry.add_connection("by hand", topics=["news"])
        async with probe(registry, connection_id="stream").get("/") as stream:
            await registry.publish("news", "text")
            assert (await stream.next_event()).data == "text"
            leaving.cancel()
            assert [block.event for block in await stream.read_until_end()] == ["bye"]
            assert [message.data async for message in by_hand] == ["text"]
    assert nothing_is_held(registry)
    reasons = {event.connection_id: event.reason for event in closed.events}
    assert reasons == {"by hand": CloseReason.SERVER_STOP, "stream": CloseReason.SERVER_STOP}


async def test_leaving_waits_for_a_stalled_client_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its entry is gone all the same."""
    monkeypatch.setattr(admission_module, "STOP_PATIENCE", 0.01)
    registry = ConnectionRegistry()
    async with anyio.create_task_group() as tasks:
        leaving = await tasks.start(stay, registry)
        async with probe(registry).get("/") as stream:
            stream.stall()
            await registry.publish("news", "text")
            await anyio.wait_all_tasks_blocked()
            leaving.cancel()
            await happens(lambda: nothing_is_held(registry))


async def test_a_publish_that_outlives_the_registry_is_the_callers_to_handle() -> None:
    """What the transport says is what it gets; hooks are told no more."""
    published = Recorder()
    transport = WaitingTransport()
    registry = ConnectionRegistry(transport, hooks=Hooks(published=published.asynchronous()))
    async with anyio.create_task_group() as tasks:
        async with registry:
            tasks.start_soon(registry.publish, "news", "text")
            await anyio.wait_all_tasks_blocked()
        transport.may_publish.set()
    assert transport.log.bounds().last == 1
    assert published.events == []


class WaitingTransport(MemoryTransport):
    """Publishes when it may."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        super().__init__(log=log)
        self.may_publish = anyio.Event()

    async def publish(self, publication: Publication, /) -> Published:
        """Wait, then publish."""
        await self.may_publish.wait()
        return await super().publish(publication)


async def test_a_transport_that_was_left_says_so() -> None:
    """Who kept it from the run before cannot tail it."""
    transport = MemoryTransport()
    async with ConnectionRegistry(transport):
        pass
    with pytest.raises(TransportNotRunning):
        async with transport.tail():
            pass


# close() ------------------------------------------------------------------------------------------


def _in_a_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def _in_a_signal(call: Callable[[], None]) -> None:
    previous = signal.signal(signal.SIGUSR1, lambda *_: call())
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)


@pytest.mark.parametrize("somewhere", [lambda call: call(), _in_a_thread, _in_a_signal])
async def test_close_ends_every_stream_from_anywhere(
    somewhere: Callable[[Callable[[], None]], None],
) -> None:
    """In the event loop, in a thread, in a signal's handler; new streams are sent away."""
    async with ConnectionRegistry() as registry:
        by_hand = await registry.add_connection()
        async with probe(registry).get("/") as stream:
            somewhere(registry.close)
            assert (await stream.next_event()).event == "bye"
            await stream.read_until_end()
        async with probe(registry).get("/") as late:
            assert [block.event for block in await late.read_until_end()] == [None, "bye"]
        assert registry.get_connections() == [by_hand]
        assert by_hand.is_active()


@pytest.mark.parametrize("end", ["close", "drain", "leave"])
async def test_what_shall_end_with_the_streams_can_wait_for_that(end: str) -> None:
    """From before the registry is entered; while it goes on, nobody is woken."""
    registry = ConnectionRegistry()
    woken: list[str] = []

    async def wait(name: str) -> None:
        await registry.wait_closed()
        woken.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "before")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(registry)
            tasks.start_soon(wait, "meanwhile")
            await anyio.wait_all_tasks_blocked()
            assert woken == []
            if end == "close":
                registry.close()
            elif end == "drain":
                await registry.drain()
            else:
                await stack.aclose()
            await wait("after")
            await anyio.wait_all_tasks_blocked()
            assert sorted(woken) == ["after", "before", "meanwhile"]


async def test_close_without_a_run_does_nothing() -> None:
    """Before, and after; the next run takes streams."""
    registry = ConnectionRegistry()
    registry.close()
    async with registry:
        pass
    registry.close()
    async with registry, probe(registry).get("/") as stream:
        await registry.publish("news", "text")
        assert (await stream.next_event()).data == "text"


# drain() ------------------------------------------------------------------------------------------


async def _goodbye(stream: ProbeStream) -> int:
    blocks = await stream.read_until_end()
    assert blocks[-1].event == "bye"
    retry: int = json.loads(blocks[-1].data or "")["retry"]
    assert blocks[-1].retry == retry
    return retry


async def test_draining_asks_each_client_to_come_back_at_its_own_time() -> None:
    """Over the spread, after the usual time; it returns when all are gone."""
    registry = ConnectionRegistry(retry=1_000)
    async with registry, AsyncExitStack() as streams:
        clients = [await streams.enter_async_context(probe(registry).get("/")) for _ in range(20)]
        await registry.drain(spread=60)
        assert registry.get_connections() == []
        retries = [await _goodbye(client) for client in clients]
    assert all(1_000 <= retry <= 61_000 for retry in retries)
    assert max(retries) - min(retries) > 10_000
    assert len(set(retries)) > 10


async def test_while_draining_new_streams_are_sent_away_in_the_same_manner() -> None:
    """They leave nothing, and the next run takes them."""
    registry = ConnectionRegistry(retry=0)
    async with registry:
        await registry.drain(spread=60)
        retries = []
        for _ in range(20):
            async with probe(registry).get("/") as late:
                retries.append(await _goodbye(late))
        assert max(retries) > 3_000
        assert registry.get_connections() == []
    async with registry, probe(registry).get("/") as stream:
        await registry.publish("news", "text")
        assert (await stream.next_event()).data == "text"


async def test_draining_waits_for_a_stalled_client_no_longer_than_it_may() -> None:
    """The stream is told, and ends when it can."""
    async with ConnectionRegistry() as registry, probe(registry).get("/") as stream:
        stream.stall()
        await registry.publish("news", "text")
        await anyio.wait_all_tasks_blocked()
        await registry.drain(timeout=0.01)
        [connection] = registry.get_connections()
        assert connection.close_reason is CloseReason.DRAINED
        assert connection.state is ConnectionState.DISCONNECTED
        stream.resume()
        assert await _goodbye(stream)
        await happens(lambda: registry.get_connections() == [])


async def test_two_may_drain_at_once() -> None:
    """Both return when all are gone."""
    async with ConnectionRegistry() as registry, probe(registry).get("/") as stream:
        stream.stall()
        await registry.publish("news", "text")
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(lambda: registry.drain(timeout=60))
                await anyio.wait_all_tasks_blocked()
                stream.resume()


@pytest.mark.parametrize(
    "how", [{"spread": -1}, {"spread": 10**6}, {"spread": float("nan")}, {"timeout": -1}], ids=str
)
async def test_a_drain_without_sense_is_refused(how: dict[str, float]) -> None:
    """Before anybody is sent away."""
    async with ConnectionRegistry() as registry, probe(registry).get("/") as stream:
        with pytest.raises(InvalidSetting):
            await registry.drain(**how)
        await registry.publish("news", "text")
        assert (await stream.next_event()).data == "text"


# Responses ----------------------------------------------------------------------------------------


async def test_a_response_that_is_never_run_leaves_nothing() -> None:
    """No entry, no subscription, no hook."""
    opened = Recorder()
    async with ConnectionRegistry(hooks=Hooks(connected=opened)) as registry:
        response = registry.stream(request(), ["news"], connection_id="mine")
        assert isinstance(response, Response)
        assert registry.get_connections() == []
        assert registry.get_stats()["hub"]["subscriptions"] == 0
    assert opened.events == []


async def test_a_response_that_is_run_after_the_registry_was_left_says_goodbye() -> None:
    """And leaves nothing."""
    registry = ConnectionRegistry()
    async with registry:
        response = registry.stream(request(), ["news"])
    async with ASGIProbe(response).get("/") as stream:
        assert await _goodbye(stream)
    assert nothing_is_held(registry)


async def test_hooks_are_told_in_pairs_over_a_run() -> None:
    """A connection from before the run is part of neither side."""
    opened, closed = Recorder(), Recorder()
    registry = ConnectionRegistry(hooks=Hooks(connected=opened, disconnected=closed))
    await registry.add_connection("before")
    async with registry:
        await registry.add_connection("inside")
    assert [event.connection_id for event in opened.events] == ["inside"]
    assert [event.connection_id for event in closed.events] == ["inside"]
    assert all(isinstance(event, Closed) for event in closed.events)
