"""The registry, its connections and its responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, assert_type

from starlette.applications import Starlette
from starlette.routing import Route

from sse_kit import (
    Closed,
    CloseReason,
    ConnectionRegistry,
    ConnectionState,
    EventSourceResponse,
    Hooks,
    MemoryTransport,
    Opened,
    Position,
    SSEConnection,
    SSEMessage,
    StreamClosed,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

registry = ConnectionRegistry(MemoryTransport(), heartbeat=15.0, debug=True, queue_size=10)


async def publish() -> None:
    """Publish from the loop, from a thread, and to one connection."""
    assert_type(await registry.publish("topic", "text"), Position)
    assert_type(await registry.publish(("one", "two"), {"any": "value"}, event="tick"), Position)
    assert_type(await registry.publish("topic", SSEMessage("text"), key="once"), Position)
    assert_type(registry.publish_from_thread("topic", "text", key="once"), Position)
    assert_type(registry.position(), Position)
    assert_type(await registry.send("user_1", "text"), bool)
    assert_type(registry.get_stats(), dict[str, Any])
    await registry.drain(spread=5.0, timeout=10.0)
    registry.close()
    await registry.publish(b"topic", "text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await registry.publish("topic", "text", "tick")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await registry.send(1, "text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ConnectionRegistry("memory://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def lifetime() -> None:
    """Enter it by itself, or give it to an app."""
    async with registry as entered:
        assert_type(entered, ConnectionRegistry)
    async with registry.lifespan() as nothing:
        assert_type(nothing, None)
    async for nothing in registry.lifespan():
        assert_type(nothing, None)
    Starlette(
        lifespan=registry.lifespan,
        routes=[Route("/events", events), Route("/sse/connections", registry.stats_endpoint)],
    )


async def events(request: Request) -> Response:
    """Stream topics to a client."""
    response = registry.stream(
        request, ["topic"], connection_type="user", metadata={"user": 7}, connection_id="user_7"
    )
    assert_type(response, EventSourceResponse)
    registry.stream(request)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    registry.stream(request, ["topic"], "user")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return response


async def tokens(_: Request) -> EventSourceResponse:
    """Stream what a generator yields."""

    async def values() -> AsyncIterator[str]:
        yield "text"

    def closed(end: StreamClosed) -> None:
        assert_type(end.reason, CloseReason)
        assert_type(end.error, str | None)

    EventSourceResponse(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    EventSourceResponse(values(), 200)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return EventSourceResponse(values(), retry=2_000, on_close=closed, close_event=None)


async def connections() -> None:
    """Use a connection without HTTP."""
    connection = await registry.add_connection("mine", "job", 10, {"job": 7}, topics=["topic"])
    assert_type(connection, SSEConnection)
    assert_type(connection.connection_id, str)
    assert_type(connection.connection_type, str)
    assert_type(connection.topics, frozenset[str])
    assert_type(connection.metadata, Mapping[str, Any])
    assert_type(connection.created_at, datetime)
    assert_type(connection.last_activity, datetime)
    assert_type(connection.message_count, int)
    assert_type(connection.state, ConnectionState)
    assert_type(connection.is_active(), bool)
    assert_type(await connection.send("text", timeout=1.0), bool)
    assert_type(await connection.heartbeat(), str)
    async for message in connection:
        assert_type(message, SSEMessage)
    assert_type(registry.get_connection("mine"), SSEConnection | None)
    assert_type(registry.get_connections("job"), list[SSEConnection])
    assert_type(registry.get_active_connections(), list[SSEConnection])
    await registry.remove_connection("mine")
    connection.state = ConnectionState.ERROR  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def hooks() -> None:
    """Be told of connections, by functions of either kind."""

    def opened(event: Opened) -> None:
        assert_type(event.last_event_id, str | None)

    async def closed(event: Closed) -> None:
        assert_type(event.reason, CloseReason)
        assert_type(event.duration, float)

    ConnectionRegistry(hooks=Hooks(connected=opened, disconnected=closed))
    Hooks(connected=closed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Hooks(opened)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
