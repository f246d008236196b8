"""One client's stream, whose ``send`` and whose end are anything that servers and apps have."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from sse_kit import CloseReason
from tests.registry_tools import happens
from tests.writing import (
    APPS,
    BEHAVIOURS,
    LOOPS,
    Behaviour,
    Client,
    at_once,
    doing,
    has,
    held,
    opened,
    publish,
    serving,
    settle,
    suspends,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS),
    pytest.mark.parametrize("make", APPS.values(), ids=APPS),
]

OPENING = re.compile(rb"retry: \d+\n\nid: \S+\n\n")

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="nobody's")


# What is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
async def test_a_stream_begins_with_its_start_and_one_opening(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """The reconnection time, and the position it would come back with."""
    async with opened() as (registry, _):
        client = Client(make(registry), behaviour, behaviour)
        async with serving(client):
            assert client.start is not None
            assert client.start["status"] == 200
            assert OPENING.fullmatch(bytes(client.raw))
            assert client.cursor == str(registry.position())


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
async def test_every_event_comes_whole_once_and_in_order(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """However each send behaves."""
    async with opened() as (registry, _):
        client = Client(make(registry), *[behaviour] * 8)
        async with serving(client):
            await publish(registry, "0", "1")
            await has(client, "0", "1")
            for number in range(2, 9):
                await publish(registry, f"{number}")
                await settle(number % 3)
            await has(client, *map(str, range(9)))


@pytest.mark.parametrize("first", [0, 1, 2], ids=["start", "opening", "event"])
async def test_what_comes_while_a_send_waits_is_written_after_it(
    first: int, make: Callable[..., ASGIApp]
) -> None:
    """The log's messages in their order, and what was sent to this client alone."""
    async with opened() as (registry, _):
        client = Client(make(registry), *[at_once] * first, held)
        async with serving(client):
            await publish(registry, "0")
            await settle()
            [connection] = registry.get_connections()
            await publish(registry, "1")
            await settle()
            assert await connection.send("alone")
            await publish(registry, "2")
            await settle()
            assert client.events == []
            client.release()
            await happens(lambda: len(client.events) == 4)
            assert sorted(client.events) == ["0", "1", "2", "alone"]
            assert [event for event in client.events if event != "alone"] == ["0", "1", "2"]
            await publish(registry, "3")
            await happens(lambda: client.events[-1] == "3")
            assert not client.overlapped


@pytest.mark.parametrize("behaviour", [at_once, suspends(1)])
async def test_what_is_sent_to_one_client_alone_comes_without_anything_else(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """Each time."""
    async with opened() as (registry, _):
        client, other = Client(make(registry), *[behaviour] * 4), Client(make(registry))
        async with serving(client, other):
            connection = registry.get_connections()[0]
            for number in range(3):
                assert await connection.send(f"{number}")
                await has(client, *map(str, range(number + 1)))
            assert other.events == []


async def test_a_client_that_comes_back_gets_what_it_missed_first(
    make: Callable[..., ASGIApp],
) -> None:
    """Then what is published, with nothing between, nothing twice."""
    async with opened() as (registry, _):
        first = Client(make(registry))
        async with serving(first):
            await publish(registry, "0", "1")
            await has(first, "0", "1")
        await publish(registry, "2", "3")
        second = Client(make(registry), *[suspends(1)] * 4, last_event_id=first.cursor)
        async with serving(second):
            await publish(registry, "4")
            await has(second, "2", "3", "4")


async def test_each_send_has_the_context_of_the_request(make: Callable[..., ASGIApp]) -> None:
    """Not that of whoever published, not that of another client."""
    seen: dict[str, list[str]] = {"a": [], "b": []}

    def named(app: ASGIApp, name: str) -> ASGIApp:
        async def with_variable(scope: Scope, receive: Receive, send: Send) -> None:
            VARIABLE.set(name)
            await app(scope, receive, send)

        return with_variable

    def noting(name: str, behaviour: Behaviour) -> Behaviour:
        async def behave(client: Client, message: Message) -> None:
            seen[name].append(VARIABLE.get())
            await behaviour(client, message)
            seen[name].append(VARIABLE.get())

        return behave

    async with opened() as (registry, _):
        clients = [
            Client(
                named(make(registry), name),
                *[noting(name, at_once), noting(name, suspends(1))] * 3,
            )
            for name in seen
        ]
        VARIABLE.set("the publisher's")
        async with serving(*clients):
            for number in range(4):
                await publish(registry, f"{number}")
                await settle()
            for client in clients:
                await has(client, "0", "1", "2", "3")
    assert seen == {name: [name] * 12 for name in seen}


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
async def test_a_send_sees_one_task_from_its_first_step_to_its_end(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """A task that is there, and the same one when it ends."""
    seen: list[tuple[int, int]] = []
    async with opened() as (registry, _):
        client = Client(make(registry), *[watching(behaviour, seen)] * 4)
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0")
            await publish(registry, "1")
            await has(client, "0", "1")
            await happens(lambda: len(seen) == 4)
    assert all(before == after for before, after in seen)


# What the application does from inside -----------------------------------------------------------


@pytest.mark.parametrize("behaviour", [at_once, suspends(1), suspends(2)])
async def test_a_send_may_publish(behaviour: Behaviour, make: Callable[..., ASGIApp]) -> None:
    """To its own topic: what it has published comes after what it is sending."""
    async with opened() as (registry, _):

        async def again() -> None:
            await publish(registry, "from inside")

        client = Client(make(registry), at_once, at_once, doing(again, behaviour))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0", "from inside")
            await publish(registry, "1")
            await has(client, "0", "from inside", "1")


async def test_a_send_may_publish_more_than_a_burst(make: Callable[..., ASGIApp]) -> None:
    """So that ``publish`` itself suspends."""
    texts = [f"inside {number}" for number in range(100)]
    async with opened() as (registry, _):

        async def many() -> None:
            await publish(registry, *texts)

        client = Client(make(registry), at_once, at_once, doing(many))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0", *texts)


@pytest.mark.parametrize("behaviour", [at_once, suspends(1)])
async def test_a_send_may_give_its_own_connection_a_message(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """It comes next."""
    async with opened() as (registry, _):

        async def more() -> None:
            [connection] = registry.get_connections()
            assert await connection.send("alone")

        client = Client(make(registry), at_once, at_once, doing(more, behaviour))
        async with serving(client):
            await publish(registry, "0")
            await has(client, "0", "alone")


@pytest.mark.parametrize("behaviour", [at_once, suspends(1), suspends(2)])
@pytest.mark.parametrize("before", [0, 1, 2], ids=["start", "opening", "event"])
async def test_a_send_may_close_its_own_connection(
    behaviour: Behaviour, before: int, make: Callable[..., ASGIApp]
) -> None:
    """What is under way is finished, and so is the response."""
    async with opened() as (registry, ends):

        async def close() -> None:
            [connection] = registry.get_connections()
            connection.close()

        client = Client(make(registry), *[at_once] * before, doing(close, behaviour))
        async with serving(client):
            await publish(registry, "0")
            await happens(lambda: client.returned)
            assert client.complete
            assert client.failure is None
            assert client.events == (["0"] if before == 2 else [])
            assert ends.reasons == [CloseReason.CLOSED]


# Heartbeats --------------------------------------------------------------------------------------


def beats(client: Client) -> int:
    return bytes(client.raw).count(b": heartbeat\n")


@pytest.mark.parametrize("behaviour", [at_once, suspends(1), suspends(2)])
async def test_a_silent_stream_has_heartbeats(
    behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """With the position, and between the events, never inside of one."""
    async with opened(heartbeat=0.002) as (registry, _):
        client = Client(make(registry), *[behaviour] * 1000)
        async with serving(client):
            await happens(lambda: beats(client) >= 2)
            await publish(registry, "0")
            await has(client, "0")
            seen = beats(client)
            await happens(lambda: beats(client) >= seen + 2)
            assert client.blocks[-1].id == str(registry.position())
            assert client.events == ["0"]
            assert not client.overlapped


async def test_there_is_no_heartbeat_while_a_send_waits(make: Callable[..., ASGIApp]) -> None:
    """It would come into the middle of it."""
    async with opened(heartbeat=0.002) as (registry, _):
        quick, slow = Client(make(registry)), Client(make(registry), at_once, held)
        async with serving(quick, slow):
            await happens(lambda: beats(quick) >= 5)
            assert slow.sends == 2
            assert beats(slow) == 0
            slow.release()
            await happens(lambda: beats(slow) >= 2)
            assert not slow.overlapped
