"""How one client's stream ends, in the middle of whatever its ``send`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import CloseReason
from tests.registry_tools import happens
from tests.writing import (
    APPS,
    BEHAVIOURS,
    LONG,
    LOOPS,
    Behaviour,
    Client,
    at_once,
    held,
    opened,
    publish,
    raises,
    raises_later,
    serving,
    settle,
    suspends,
    wrapped_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS),
    pytest.mark.parametrize("make", APPS.values(), ids=APPS),
]

ENDS: dict[str, tuple[Callable[[], Exception], CloseReason]] = {
    "OSError": (BrokenPipeError, CloseReason.CLIENT_LEFT),
    "TimeoutError": (TimeoutError, CloseReason.SEND_TIMEOUT),
    "RuntimeError": (RuntimeError, CloseReason.ERROR),
}


@pytest.mark.parametrize("wrap", [raises, raises_later], ids=["at once", "later"])
@pytest.mark.parametrize("before", [0, 1, 2, 3], ids=["start", "opening", "event", "farewell"])
@pytest.mark.parametrize(("error", "reason"), ENDS.values(), ids=ENDS)
async def test_a_send_that_raises_ends_its_stream(
    error: Callable[[], Exception],
    reason: CloseReason,
    before: int,
    wrap: Callable[[Exception], Behaviour],
    make: Callable[..., ASGIApp],
) -> None:
    """A client that left or does not read is no error; any other is raised as it is."""
    raised = error()
    async with opened() as (registry, ends):
        client = Client(make(registry), *[at_once] * before, wrap(raised))
        async with serving(client):
            await publish(registry, "0")
            await settle()
            if before == 3:
                await registry.drain(spread=0)
                reason = CloseReason.DRAINED
            await happens(lambda: client.returned)
            assert client.failure is (raised if isinstance(raised, RuntimeError) else None)
            assert ends.reasons == [reason]
            assert client.sends == before + 1
            assert registry.get_connections() == []


@pytest.mark.parametrize("before", [0, 1, 2], ids=["start", "opening", "event"])
async def test_a_send_that_takes_too_long_ends_its_stream(
    before: int, make: Callable[..., ASGIApp]
) -> None:
    """Each has so much time, from when it begins."""
    async with opened(send_timeout=0.02) as (registry, ends):
        client = Client(make(registry), *[at_once] * before, held)
        async with serving(client):
            await publish(registry, "0")
            await happens(lambda: client.returned)
            assert client.failure is None
            assert ends.reasons == [CloseReason.SEND_TIMEOUT]


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_a_timeout_of_a_middleware_ends_the_stream(
    seconds: float, make: Callable[..., ASGIApp]
) -> None:
    """As one that is slow, and no error."""
    timed = wrapped_by(lambda: anyio.fail_after(seconds), held)
    async with opened() as (registry, ends):
        client = Client(make(registry), at_once, at_once, timed)
        async with serving(client):
            await publish(registry, "0")
            await happens(lambda: client.returned)
            assert client.failure is None
            assert ends.reasons == [CloseReason.SEND_TIMEOUT]


@pytest.mark.parametrize("waits", [held, suspends(3), at_once])
@pytest.mark.parametrize("before", [0, 1, 2], ids=["start", "opening", "event"])
@pytest.mark.parametrize("how", [Client.leave, Client.reset])
async def test_a_client_may_leave_at_any_moment(
    how: Callable[[Client], None],
    before: int,
    waits: Behaviour,
    make: Callable[..., ASGIApp],
) -> None:
    """Also while a send waits for it, which a server may never wake again: that is cancelled."""
    async with opened() as (registry, ends):
        client = Client(make(registry), *[at_once] * before, waits)
        async with serving(client):
            await publish(registry, "0")
            how(client)
            await happens(lambda: client.returned)
            assert client.failure is None
            assert ends.reasons == [CloseReason.CLIENT_LEFT]
            assert registry.get_connections() == []


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
async def test_a_farewell_comes_last_after_all_that_waits(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """And the response is complete."""
    async with opened() as (registry, ends):
        client = Client(make(registry), at_once, at_once, held, behaviour, behaviour)
        async with serving(client):
            await publish(registry, "0")
            await settle()
            await publish(registry, "1")
            await settle()
            await registry.drain(spread=0, timeout=0)
            await settle()
            assert client.events == []
            client.release()
            await happens(lambda: client.returned)
            assert client.events[:2] == ["0", "1"]
            assert client.blocks[-1].event == "bye"
            assert len(client.events) == 3
            assert client.complete
            assert ends.reasons == [CloseReason.DRAINED]


@pytest.mark.parametrize("behaviour", [at_once, suspends(1)])
async def test_a_response_is_over_though_the_server_does_not_say_so(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """Nothing comes of ``receive()`` any more, and the request ends."""

    async def never() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def silent(scope: Scope, _: Receive, send: Send) -> None:
        await app(scope, never, send)

    async with opened() as (registry, ends):
        app = make(registry)
        client = Client(silent, at_once, at_once, behaviour)
        async with serving(client):
            registry.get_connections()[0].close()
            await happens(lambda: client.returned)
            assert client.complete
            assert client.failure is None
            assert not client.was_cancelled
            assert ends.reasons == [CloseReason.CLOSED]


async def test_the_rest_of_the_last_send_is_not_cancelled(make: Callable[..., ASGIApp]) -> None:
    """Hypercorn says "disconnect" in the middle of it, and closes the connection afterwards."""

    async def complete_first(client: Client, message: Message) -> None:
        client.take(message)
        await settle()
        client.script.append(at_once)

    async with opened() as (registry, ends):
        client = Client(make(registry), at_once, at_once, complete_first)
        async with serving(client):
            await registry.drain(spread=0)
            await happens(lambda: client.returned)
            assert list(client.script) == [at_once]
            assert ends.reasons == [CloseReason.DRAINED]


@pytest.mark.parametrize("before", [0, 1, 2, 3], ids=["start", "opening", "event", "farewell"])
async def test_a_send_that_waits_does_not_hold_up_the_end_of_the_registry(
    before: int, make: Callable[..., ASGIApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 5: it is given up soon."""
    for module in ("asgi", "inline"):
        monkeypatch.setattr(f"sse_kit.{module}.GRACE", 0.02)
    async with opened(send_timeout=LONG) as (registry, ends):
        client = Client(make(registry), *[at_once] * before, held)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.run)
                await settle()
                await publish(registry, "0")
                await settle()
                registry.close()
    assert ends.reasons == [CloseReason.SERVER_STOP]
    assert client.failure is None
