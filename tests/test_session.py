"""A connection as its writer sees it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import (
    ConnectionRegistry,
    ConnectionState,
    ReceivedMessage,
    SSEConnection,
    StreamDecoder,
)
from sse_kit.session import GOODBYES, ConnectionSession
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

RETRY = 2000


@asynccontextmanager
async def following() -> AsyncGenerator[tuple[ConnectionRegistry, ConnectionSession]]:
    """Run a registry, with a connection to the topic "news" and its session."""
    async with ConnectionRegistry() as registry:
        connection = await registry.add_connection("one", topics=["news"])
        yield registry, ConnectionSession(connection, retry=RETRY)


def blocks(frames: bytes) -> list[ReceivedMessage]:
    return StreamDecoder().feed(frames)


async def test_the_opening_has_the_reconnection_time_first() -> None:
    """Jittered; it is there also when nothing else is."""
    session = ConnectionSession(SSEConnection("one"), retry=RETRY)
    (block,) = blocks(session.opening())
    assert block.retry is not None
    assert RETRY <= block.retry <= 1.5 * RETRY


async def test_the_opening_connects_the_connection() -> None:
    """From then on the client counts as being there."""
    connection = SSEConnection("one")
    ConnectionSession(connection, retry=RETRY).opening()
    assert connection.state is ConnectionState.CONNECTED


async def test_a_new_client_gets_a_checkpoint_with_the_opening() -> None:
    """So that it resumes from there, also if nothing ever comes."""
    async with following() as (registry, session):
        _, checkpoint = blocks(session.opening())
        assert checkpoint.id == str(registry.position())
        assert checkpoint.data is None


async def test_the_checkpoint_comes_once() -> None:
    """After that, heartbeats carry the position."""
    async with following() as (_, session):
        session.opening()
        assert session.take() == b""


async def test_what_is_there_already_comes_with_the_opening() -> None:
    """In one write; there is no checkpoint before what it would skip."""
    async with following() as (registry, session):
        position = await registry.publish("news", "x")
        await anyio.wait_all_tasks_blocked()
        _, message, checkpoint = blocks(session.opening())
        assert (message.data, message.id) == ("x", str(position))
        assert checkpoint.id == message.id


async def test_a_wait_is_over_when_there_is_something() -> None:
    """And it takes nothing."""
    async with following() as (registry, session):
        session.opening()
        await registry.publish("news", "x")
        with anyio.fail_after(5):
            await session.wait()
            await session.wait()
        (message,) = blocks(session.take())
        assert message.data == "x"


async def test_a_heartbeat_has_the_position_when_nothing_waits() -> None:
    """The client's cursor moves past what others' topics filled the log with."""
    async with following() as (registry, session):
        session.opening()
        position = await registry.publish("other", "x")
        await anyio.wait_all_tasks_blocked()
        (beat,) = blocks(session.heartbeat())
        assert (beat.comment, beat.id) == ("heartbeat", str(position))


async def test_a_heartbeat_has_no_position_while_something_waits() -> None:
    """It would skip that."""
    async with following() as (registry, session):
        session.opening()
        await registry.publish("news", "x")
        await anyio.wait_all_tasks_blocked()
        (beat,) = blocks(session.heartbeat())
        assert (beat.comment, beat.id) == ("heartbeat", None)


async def test_a_heartbeat_is_activity() -> None:
    """``last_activity`` says when the stream was last known to be there."""
    connection = SSEConnection("one")
    session = ConnectionSession(connection, retry=RETRY)
    session.opening()
    before = connection.last_activity
    session.heartbeat()
    assert connection.last_activity > before


@pytest.mark.parametrize("reason", CloseReason)
async def test_a_goodbye_is_for_clients_that_shall_come_back(reason: CloseReason) -> None:
    """Not for one that left, was replaced, or may not have the stream any more."""
    session = ConnectionSession(SSEConnection("one"), retry=RETRY)
    session.end(reason)
    events = [block.event for block in blocks(session.farewell())]
    assert events.count("bye") == (reason in GOODBYES)
    assert events.count("close") == (reason is CloseReason.KICKED)


async def test_who_was_kicked_is_told_to_stay_away() -> None:
    """By the event on which a page closes its stream for good, with the reason."""
    session = ConnectionSession(SSEConnection("one"), retry=RETRY)
    session.end(CloseReason.KICKED)
    assert session.farewell() == b'event: close\ndata: {"reason": "kicked"}\n\n'


async def test_the_goodbye_spreads_the_clients() -> None:
    """Each is told a time of its own, from the usual one on."""
    times: set[int | None] = set()
    for _ in range(50):
        session = ConnectionSession(SSEConnection("one"), retry=RETRY)
        session.end(CloseReason.DRAINED, spread=60_000)
        (block,) = blocks(session.farewell())
        times.add(block.retry)
    assert len(times) > 25
    assert all(time is not None and RETRY <= time <= RETRY + 60_000 for time in times)


async def test_what_waited_before_the_end_is_still_taken() -> None:
    """A goodbye loses nothing that was queued."""
    async with following() as (registry, session):
        session.opening()
        await registry.publish("news", "x")
        await anyio.wait_all_tasks_blocked()
        session.end(CloseReason.DRAINED)
        assert session.is_over()
        (message,) = blocks(session.take())
        assert message.data == "x"


@pytest.mark.parametrize("told_before", [True, False], ids=["before", "after"])
async def test_the_end_is_told_once(told_before: bool) -> None:  # noqa: FBT001  a parameter
    """Whoever asks later is told at once."""
    told: list[str] = []
    session = ConnectionSession(SSEConnection("one"), retry=RETRY)
    if told_before:
        session.end(CloseReason.CLOSED)
    session.on_end(lambda: told.append("told"))
    session.end(CloseReason.CLOSED)
    session.end(CloseReason.CLIENT_LEFT)
    assert told == ["told"]


async def test_an_error_is_a_fact_of_the_connection() -> None:
    """Its state is ``error``, and its status says which."""
    connection = SSEConnection("one")
    ConnectionSession(connection, retry=RETRY).end(CloseReason.ERROR, error="LookupError()")
    assert connection.state is ConnectionState.ERROR
    assert connection.close_reason is CloseReason.ERROR
