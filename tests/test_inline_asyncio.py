"""What only asyncio has: native tasks, their cancellation and timeouts, awaitables of servers."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from anyio.lowlevel import checkpoint

from sse_kit import CloseReason
from tests.registry_tools import happens
from tests.writing import (
    ASYNCIO,
    LONG,
    Behaviour,
    Client,
    at_once,
    bare,
    has,
    held,
    opened,
    publish,
    serving,
    settle,
    suspends,
    tasks,
    wrapped_by,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO),
]


def sending(app: ASGIApp, wrap: Callable[[Send], Send]) -> ASGIApp:
    """Return ``app`` behind a middleware around ``send``."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, wrap(send))

    return wrapped


class Step:
    """An awaitable that is no coroutine, as granian's are."""

    def __init__(self, send: Send, message: Message, times: int) -> None:
        self._send = send
        self._message = message
        self._times = times

    def __await__(self) -> Generator[Any, None, None]:
        for _ in range(self._times):
            yield
        yield from self._send(self._message).__await__()


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_send_need_not_be_a_coroutine_function(times: int) -> None:
    """It returns an awaitable: ASGI says no more."""
    async with opened() as (registry, _):

        def stepping(send: Send) -> Send:
            return lambda message: Step(send, message, times)

        client = Client(sending(bare(registry), stepping))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0")
            await publish(registry, "1")
            await has(client, "0", "1")


async def test_a_send_that_raises_before_it_has_an_awaitable_ends_its_stream() -> None:
    """Its own, and no other."""
    async with opened() as (registry, ends):
        error = RuntimeError()

        def failing(send: Send) -> Send:
            def wrapped(message: Message) -> Awaitable[None]:
                if message.get("body", b"").endswith(b"data: 0\n\n"):
                    raise error
                return send(message)

            return wrapped

        client, other = Client(sending(bare(registry), failing)), Client(bare(registry))
        async with serving(client, other):
            await publish(registry, "0")
            await has(other, "0")
            await happens(lambda: client.returned)
            assert client.failure is error
            assert ends.reasons == [CloseReason.ERROR]


@pytest.mark.parametrize("times", [0, 1])
@pytest.mark.parametrize("before", [0, 1, 2], ids=["start", "opening", "event"])
async def test_a_send_that_ends_cancelled_ends_its_stream(before: int, times: int) -> None:
    """Nobody has cancelled the request, so that is not cancelled."""

    async def cancelled(_client: Client, _message: Message) -> None:
        for _ in range(times):
            await checkpoint()
        raise asyncio.CancelledError

    async with opened() as (registry, ends):
        other = Client(bare(registry))
        client = Client(bare(registry), *[at_once] * before, cancelled)
        async with serving(client, other):
            await publish(registry, "0")
            await happens(lambda: client.returned)
            assert not client.was_cancelled
            assert client.failure is None
            assert ends.reasons == [CloseReason.CLIENT_LEFT]
            await publish(registry, "1")
            await has(other, "0", "1")


@pytest.mark.parametrize("behaviour", [at_once, suspends(1), suspends(2)])
async def test_a_timeout_of_asyncio_around_each_send_is_nothing_to_a_quick_one(
    behaviour: Behaviour,
) -> None:
    """It finds the task that it has set out with."""
    timed = wrapped_by(lambda: asyncio.timeout(LONG), behaviour)
    async with opened() as (registry, _):
        clients = [Client(bare(registry), *[timed] * 5) for _ in range(3)]
        async with serving(*clients):
            await publish(registry, "0")
            await settle()
            await publish(registry, "1", "2")
            for client in clients:
                await has(client, "0", "1", "2")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("seconds", [0, 0.005])
async def test_a_timeout_of_asyncio_ends_the_stream_that_has_set_it(
    seconds: float, place: int
) -> None:
    """Of several that wait at once."""
    async with opened() as (registry, ends):
        clients = [Client(bare(registry), at_once, at_once, held) for _ in range(3)]
        clients[place].script[-1] = wrapped_by(lambda: asyncio.timeout(seconds), held)
        async with serving(*clients):
            await publish(registry, "0")
            await happens(lambda: clients[place].returned)
            assert clients[place].failure is None
            assert ends.reasons == [CloseReason.SEND_TIMEOUT]
            for client in clients:
                client.release()
            del clients[place]
            await publish(registry, "1")
            for client in clients:
                await has(client, "0", "1")


async def test_a_send_may_start_tasks_and_wait_for_them() -> None:
    """Which end with it, when the client leaves in the same turn in which it begins."""
    started: list[asyncio.Task[None]] = []

    async def with_task(client: Client, _message: Message) -> None:
        client.leave()
        async with asyncio.TaskGroup() as group:
            started.append(group.create_task(asyncio.sleep(LONG)))

    async with opened() as (registry, ends):
        clients = [Client(bare(registry), at_once, at_once, with_task) for _ in range(3)]
        async with serving(*clients):
            await publish(registry, "0")
            await happens(lambda: all(client.returned for client in clients))
            assert len(started) == 3
            assert all(task.cancelled() for task in started)
            assert ends.reasons == [CloseReason.CLIENT_LEFT] * 3


async def test_a_client_leaves_in_the_turn_in_which_its_send_suspends() -> None:
    """So the request's task runs before the one that finishes the send has begun."""
    log: list[str] = []

    async def orderly(client: Client, _message: Message) -> None:
        task = asyncio.current_task()
        client.leave()
        try:
            async with asyncio.timeout(LONG):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("the same" if task is asyncio.current_task() else "another")
            raise

    async with opened() as (registry, _):
        clients = [Client(bare(registry), at_once, at_once, orderly) for _ in range(4)]
        async with serving(*clients):
            await publish(registry, "0")
            await happens(lambda: all(client.returned for client in clients))
            assert all(client.failure is None for client in clients)
    assert log == ["the same"] * 4


async def test_a_stream_that_is_idle_has_one_task() -> None:
    """The request's own: what a send has needed beside it is over with it."""
    async with opened() as (registry, _):
        before = tasks()
        clients = [Client(bare(registry), *[suspends(2)] * 4) for _ in range(5)]
        async with serving(*clients):
            await publish(registry, "0")
            for client in clients:
                await has(client, "0")
            await happens(lambda: len(tasks() - before) == 5 + 1)  # and one that is spare


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
async def test_a_loop_with_eager_tasks_changes_nothing() -> None:
    """Nor does a send that starts some."""
    loop = asyncio.get_running_loop()

    async def starts(client: Client, message: Message) -> None:
        await asyncio.ensure_future(suspends(1)(client, message))

    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  3.12
    try:
        async with opened() as (registry, _):
            clients = [Client(bare(registry), *[starts] * 3) for _ in range(3)]
            async with serving(*clients):
                await publish(registry, "0")
                await settle()
                await publish(registry, "1", "2")
                for client in clients:
                    await has(client, "0", "1", "2")
    finally:
        loop.set_task_factory(None)
