"""Clients by the bare protocol, whose ``send`` behaves as a test says, on every event loop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.routing import Route

from sse_kit import ConnectionRegistry, Hooks, StreamDecoder
from tests.registry_tools import Recorder, app_of, happens

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from sse_kit import CloseReason, ReceivedMessage
    from sse_kit.testing.call import ASGIApp, Message, Scope

ASYNCIO: dict[str, Any] = {"asyncio": ("asyncio", {})}
if sys.platform != "win32":
    ASYNCIO["uvloop"] = ("asyncio", {"use_uvloop": True})
LOOPS: dict[str, Any] = {**ASYNCIO, "trio": ("trio", {})}
"""Backends of anyio: where the dispatcher writes, and where the stream's own task does."""

IN_MUTANTS = os.environ.get("SSE_KIT_HYPOTHESIS_PROFILE") == "mutants"

PATIENCE = 2.0 if IN_MUTANTS else 10.0
"""Seconds until a test has failed: where a fault was planted, many will."""

LONG = 3600.0
"""Seconds of a timeout that no test waits for."""


class Client:
    """One request: what came of the response, and how it ended.

    ``script`` says how each ``send`` behaves, one after the other; those after that end at once. A
    ``send`` that suspends has taken half of its bytes before, and takes the rest afterwards: so two
    at once, or one of which only a part is run, show in the bytes.
    """

    def __init__(
        self, app: ASGIApp, *script: Behaviour, last_event_id: str = "", topic: str = "news"
    ) -> None:
        self.app = app
        self.script = deque(script)
        self.last_event_id = last_event_id
        self.topic = topic
        self.start: Message | None = None
        self.raw = bytearray()
        self.sends = 0
        self.overlapped = self.left = self.was_reset = self.complete = False
        self.returned = self.was_cancelled = False
        self.failure: Exception | None = None
        self.released = anyio.Event()
        self.scope = anyio.CancelScope()
        self.task: Any = None
        self._asked = self._inside = False
        self._leaves = anyio.Event()

    @property
    def blocks(self) -> list[ReceivedMessage]:
        """What has come, whole blocks."""
        return list(StreamDecoder().feed(bytes(self.raw)))

    @property
    def events(self) -> list[str]:
        """The data of the events that have come."""
        return [block.data for block in self.blocks if block.data is not None]

    @property
    def cursor(self) -> str:
        """The id with which it would come back."""
        decoder = StreamDecoder()
        list(decoder.feed(bytes(self.raw)))
        return decoder.last_event_id or self.last_event_id

    async def run(self) -> None:
        """Make the request, until the app has returned."""
        self.task = asyncio.current_task() if is_asyncio() else None
        try:
            with self.scope:
                await self.app(self._scope(), self.receive, self.send)
        except asyncio.CancelledError:
            self.was_cancelled = True
        except Exception as error:  # noqa: BLE001  the test looks at it
            self.failure = error
        finally:
            self.returned = True

    def leave(self) -> None:
        """Go away, as a closed tab does."""
        self.left = True
        self._leaves.set()

    def reset(self) -> None:
        """Go away so that every later ``send`` raises."""
        self.was_reset = True
        self.leave()

    def release(self) -> None:
        """Let a ``send`` that is held go on."""
        self.released.set()
        self.released = anyio.Event()

    async def receive(self) -> Message:
        """Give the request, then nothing until the client leaves or has all of the response."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the response, as the script says."""
        self.sends += 1
        self.overlapped |= self._inside
        self._inside = True
        try:
            behaviour = self.script.popleft() if self.script else at_once
            await behaviour(self, message)
        finally:
            self._inside = False

    def take(self, message: Message) -> None:
        """Take bytes, if there is still somebody to take them."""
        if self.was_reset:
            raise ConnectionResetError
        if self.left:
            return
        if message["type"] == "http.response.start":
            assert self.start is None
            self.start = message
            return
        assert self.start is not None
        assert not self.complete
        self.raw += message["body"]
        if not message["more_body"]:
            self.complete = True
            self._leaves.set()

    def _scope(self) -> Scope:
        headers = [(b"last-event-id", self.last_event_id.encode())] if self.last_event_id else []
        return {
            "type": "http",
            "method": "GET",
            "path": f"/{self.topic}",
            "raw_path": f"/{self.topic}".encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
        }


Behaviour: TypeAlias = "Callable[[Client, Message], Awaitable[None]]"
"""What one ``send`` does."""


def halves(message: Message) -> tuple[Message, Message]:
    """Cut the bytes of a message in two; a start is not cut, it is taken at the end."""
    if message["type"] == "http.response.start":
        return {"type": "http.response.body", "body": b"", "more_body": True}, message
    body = message["body"]
    middle = (len(body) + 1) // 2
    return (
        {**message, "body": body[:middle], "more_body": True},
        {**message, "body": body[middle:]},
    )


# How a send behaves -------------------------------------------------------------------------------


async def at_once(client: Client, message: Message) -> None:
    """End at the first step."""
    client.take(message)


def suspends(times: int) -> Behaviour:
    """Suspend so many times in the middle."""

    async def behave(client: Client, message: Message) -> None:
        async with halfway(client, message):
            for _ in range(times):
                await checkpoint()

    return behave


async def held(client: Client, message: Message) -> None:
    """Wait in the middle until the test releases it."""
    async with halfway(client, message):
        await client.released.wait()


def raises(error: Exception) -> Behaviour:
    """Raise at the first step."""

    async def behave(_client: Client, _message: Message) -> None:
        raise error

    return behave


def raises_later(error: Exception) -> Behaviour:
    """Raise in the middle, after it suspended."""

    async def behave(client: Client, message: Message) -> None:
        async with halfway(client, message):
            await checkpoint()
            raise error

    return behave


def wrapped_by(wrap: Callable[[], Any], behaviour: Behaviour) -> Behaviour:
    """Behave inside of a context manager, as behind a middleware."""

    async def behave(client: Client, message: Message) -> None:
        context = wrap()
        if hasattr(context, "__aenter__"):
            async with context:
                await behaviour(client, message)
        else:
            with context:
                await behaviour(client, message)

    return behave


def watching(behaviour: Behaviour, into: list[Any]) -> Behaviour:
    """Behave, and note which task it was at the first step and at the end."""

    async def behave(client: Client, message: Message) -> None:
        before = anyio.get_current_task().id
        await behaviour(client, message)
        into.append((before, anyio.get_current_task().id))

    return behave


def doing(action: Callable[[], Awaitable[object]], behaviour: Behaviour = at_once) -> Behaviour:
    """Do something of the application's first: publish, close a stream."""

    async def behave(client: Client, message: Message) -> None:
        await action()
        await behaviour(client, message)

    return behave


@asynccontextmanager
async def halfway(client: Client, message: Message) -> AsyncGenerator[None, None]:
    """Take the first half of a message before the body, the second one after it."""
    first, rest = halves(message)
    if client.start is not None:
        client.take(first)
    yield
    client.take(rest)


BEHAVIOURS: dict[str, Behaviour] = {
    "ends at once": at_once,
    "suspends once": suspends(1),
    "suspends twice": suspends(2),
    "inside of fail_after": wrapped_by(lambda: anyio.fail_after(LONG), suspends(2)),
    "inside of a scope": wrapped_by(anyio.CancelScope, suspends(1)),
    "inside of a task group": wrapped_by(anyio.create_task_group, at_once),
}
"""All that end well."""


# Applications and their clients -------------------------------------------------------------------


def is_asyncio() -> bool:
    """Tell whether it is the event loop in which the dispatcher writes."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def bare(registry: ConnectionRegistry, **options: Any) -> ASGIApp:
    """Return an app that streams the topic ``news``."""
    return app_of(registry, **options)


def routed(registry: ConnectionRegistry, **options: Any) -> ASGIApp:
    """Return a Starlette app with a route that streams the topic in its path."""

    async def events(request: Request) -> Response:
        return registry.stream(request, [request.path_params["topic"]], **options)

    return Starlette(routes=[Route("/{topic}", events)])


APPS: dict[str, Callable[..., ASGIApp]] = {"bare": bare, "routed": routed}


class Ends(Recorder):
    """A hook for connections that close."""

    @property
    def reasons(self) -> list[CloseReason]:
        """Why they did."""
        return [event.reason for event in self.events]


@asynccontextmanager
async def opened(**options: Any) -> AsyncGenerator[tuple[ConnectionRegistry, Ends], None]:
    """Run a registry, and see to it that it leaves neither a connection nor a task."""
    ends = Ends()
    before = tasks()
    registry = ConnectionRegistry(hooks=Hooks(disconnected=ends), **options)
    async with registry:
        yield registry, ends
    await happens(lambda: tasks() == before)
    assert registry.get_connections() == []


def tasks() -> set[Any]:
    """Return all tasks that are there, as far as the event loop tells."""
    return asyncio.all_tasks() if is_asyncio() else set()


@asynccontextmanager
async def serving(*clients: Client, patience: float = PATIENCE) -> AsyncGenerator[None, None]:
    """Run clients beside the body, each open before the next; at its end they leave."""
    with anyio.fail_after(patience):
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(client.run)
                await settle()
            yield
            for client in clients:
                client.leave()
            await happens(lambda: all(client.returned for client in clients))


async def settle(steps: int = 20) -> None:
    """Let everything that can run, run; what waits for the test goes on waiting."""
    for _ in range(steps):
        await checkpoint()


async def publish(registry: ConnectionRegistry, *texts: str, topic: str = "news") -> None:
    """Publish texts, in one turn of the event loop if they are few."""
    for text in texts:
        await registry.publish(topic, text)


async def has(client: Client, *events: str) -> None:
    """Wait until so many events have come: these."""
    await happens(lambda: len(client.events) >= len(events))
    assert client.events == list(events)
    assert not client.overlapped
