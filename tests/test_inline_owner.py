"""The task of a request: recalled from ``receive()``, cancelled at any moment, failing there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_kit import CloseReason
from tests.registry_tools import happens
from tests.writing import (
    APPS,
    LONG,
    LOOPS,
    Behaviour,
    Client,
    at_once,
    bare,
    has,
    held,
    is_asyncio,
    opened,
    publish,
    raises,
    serving,
    settle,
    suspends,
    wrapped_by,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS),
]

MOMENTS = pytest.mark.parametrize("before", [0, 1, 2, 3], ids=["start", "opening", "event", "bye"])


def receiving(app: ASGIApp, wrap: Callable[[Receive], Receive]) -> ASGIApp:
    """Return ``app`` behind a middleware around ``receive``."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, wrap(receive), send)

    return wrapped


async def cancel(client: Client) -> None:
    """Cancel the task of a request as asyncio has it: once."""
    if is_asyncio():
        client.task.cancel()
    else:
        client.scope.cancel()


async def cancel_scope(client: Client) -> None:
    """Cancel what the request runs in, as anyio has it: again and again."""
    client.scope.cancel()


# Cancelled ---------------------------------------------------------------------------------------


@MOMENTS
@pytest.mark.parametrize("how", [cancel, cancel_scope])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("waits", [held, suspends(2), at_once])
@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
async def test_a_request_may_be_cancelled_at_any_moment(
    before: int,
    how: Callable[[Client], Awaitable[None]],
    turns: int,
    waits: Behaviour,
    make: Callable[..., ASGIApp],
) -> None:
    """Its send is cancelled with it, nothing of it is left, and the others go on."""
    async with opened() as (registry, ends):
        other = Client(make(registry))
        client = Client(make(registry), *[at_once] * before, waits)
        async with serving(other, client):
            await publish(registry, "0")
            await settle(turns)
            if before == 3:
                registry.get_connections()[-1].close()
                await settle(turns)
            await how(client)
            await happens(lambda: client.returned)
            assert client.failure is None
            reason = CloseReason.SERVER_STOP if before < 3 else CloseReason.CLOSED
            assert ends.reasons == [reason]
            await publish(registry, "1")
            await has(other, "0", "1")
            assert client.sends <= before + 1 or waits is not held


@pytest.mark.parametrize("how", [cancel, cancel_scope])
async def test_a_request_may_be_cancelled_before_anything_else(
    how: Callable[[Client], Awaitable[None]],
) -> None:
    """Then it was never there."""
    async with opened() as (registry, _):
        client = Client(bare(registry))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.run)
            client.scope.cancel()
        assert how is not None
        assert client.returned
        assert client.sends == 0 or client.start is not None


@pytest.mark.parametrize("how", [cancel, cancel_scope])
async def test_whoever_cancels_a_request_waits_for_the_rest_of_its_send(
    how: Callable[[Client], Awaitable[None]],
) -> None:
    """It may have something to put in order."""
    log: list[str] = []

    async def orderly(_client: Client, _message: Message) -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            with anyio.CancelScope(shield=True):
                await settle()
                log.append("in order")

    async with opened() as (registry, _):
        client = Client(bare(registry), at_once, at_once, orderly)
        async with serving(client):
            await publish(registry, "0")
            await settle()
            await how(client)
            await happens(lambda: client.returned)
            assert log[-1] == "in order"


async def test_a_request_may_be_cancelled_while_it_waits_for_the_rest_of_its_send() -> None:
    """As when its client has left: the rest is finished, and the cancellation is not lost."""
    waiting, go_on = anyio.Event(), anyio.Event()

    async def orderly(_client: Client, _message: Message) -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            with anyio.CancelScope(shield=True):
                waiting.set()
                await go_on.wait()

    async with opened() as (registry, ends):
        client = Client(bare(registry), at_once, at_once, orderly)
        async with serving(client):
            await publish(registry, "0")
            await settle()
            client.leave()
            await waiting.wait()
            await settle()
            await cancel(client)
            await settle()
            assert not client.returned
            go_on.set()
            await happens(lambda: client.returned)
            assert client.was_cancelled or client.scope.cancelled_caught
            assert ends.reasons == [CloseReason.CLIENT_LEFT]


@pytest.mark.parametrize("how", [cancel, cancel_scope])
@pytest.mark.parametrize("end", ["a failure", "a close", "a client that left"])
async def test_a_request_that_ends_may_be_cancelled_as_well(
    how: Callable[[Client], Awaitable[None]], end: str
) -> None:
    """In the same turn: the cancellation is not taken for the end's own, and is not lost."""
    async with opened() as (registry, _):
        client = Client(bare(registry), at_once, at_once, raises(RuntimeError()))
        async with serving(client):
            if end == "a failure":
                await publish(registry, "0")
                await happens(lambda: client.sends == 3)
            elif end == "a close":
                registry.get_connections()[0].close()
                await checkpoint()
            else:
                client.leave()
            await how(client)
            await happens(lambda: client.returned)
            if is_asyncio() and how is cancel:
                assert client.was_cancelled
                assert client.failure is None
            assert registry.get_connections() == []


# Receiving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
async def test_what_receive_raises_is_raised_as_it_is(make: Callable[..., ASGIApp]) -> None:
    """The stream has ended with an error then."""
    error = RuntimeError()
    broken = anyio.Event()

    def failing(_: Receive) -> Receive:
        async def receive() -> Message:
            await broken.wait()
            raise error

        return receive

    async with opened() as (registry, ends):
        client = Client(receiving(make(registry), failing))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0")
            broken.set()
            await happens(lambda: client.returned)
            assert client.failure is error
            assert ends.reasons == [CloseReason.ERROR]


async def test_messages_that_say_nothing_are_passed_over() -> None:
    """Servers may have more to say than that the client left."""

    def talkative(receive: Receive) -> Receive:
        said = iter(range(5))

        async def wrapped() -> Message:
            await checkpoint()
            if next(said, None) is not None:
                return {"type": "http.request", "body": b"", "more_body": False}
            return await receive()

        return wrapped

    async with opened() as (registry, ends):
        client = Client(receiving(bare(registry), talkative))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0")
            assert ends.reasons == []


@pytest.mark.parametrize("end", ["a failure", "a close"])
async def test_a_receive_may_make_a_message_of_its_cancellation(end: str) -> None:
    """Some do: the request ends all the same, and is not left cancelled."""
    error = RuntimeError()

    def swallowing(receive: Receive) -> Receive:
        async def wrapped() -> Message:
            try:
                return await receive()
            except asyncio.CancelledError:
                return {"type": "http.disconnect"}

        return wrapped

    async def afterwards(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        finally:
            await checkpoint()
            task = asyncio.current_task() if is_asyncio() else None
            went_on.append(0 if task is None else task.cancelling())

    went_on: list[int] = []
    async with opened() as (registry, _):
        app = receiving(bare(registry), swallowing)
        client = Client(afterwards, at_once, at_once, raises(error))
        async with serving(client):
            if end == "a failure":
                await publish(registry, "0")
            else:
                client.script.clear()
                registry.get_connections()[0].close()
            await happens(lambda: client.returned)
            assert client.failure is (error if end == "a failure" else None)
            assert went_on == [0]


@pytest.mark.parametrize("end", ["a failure", "a close"])
@pytest.mark.parametrize("wrap", ["a scope", "a timeout", "nothing"])
async def test_whoever_called_goes_on_after_the_end(end: str, wrap: str) -> None:
    """Its task was brought back from ``receive()``, and nobody can tell by what."""
    went_on: list[int] = []

    def timed(receive: Receive) -> Receive:
        async def wrapped() -> Message:
            if wrap == "a scope":
                with anyio.fail_after(LONG):
                    return await receive()
            if wrap == "a timeout" and is_asyncio():
                async with asyncio.timeout(LONG):
                    return await receive()
            return await receive()

        return wrapped

    async def afterwards(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        finally:
            await settle()
            task = asyncio.current_task() if is_asyncio() else None
            went_on.append(0 if task is None else task.cancelling())

    async with opened() as (registry, _):
        app = receiving(bare(registry), timed)
        client = Client(afterwards, at_once, at_once, wrapped_by(anyio.CancelScope, at_once))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0")
            if end == "a failure":
                client.script.append(raises(OSError()))
                await publish(registry, "1")
            else:
                registry.get_connections()[0].close()
            await happens(lambda: client.returned)
            assert client.failure is None
            assert not client.was_cancelled
            assert went_on == [0]
