"""A stream as a bare ASGI application: headers, writer, heartbeat, disconnect, end.

One task writes; another waits for the client to leave. All that a stream holds is released in
:class:`Responder`'s ``finally``, around everything, so it is also released when the client was gone
before the first byte. (A generator's own ``finally`` would not run then: it was never started.)

The moment at which writing is given up is one cancel scope's deadline: it is set anew before each
write, and once the session has ended it is brought forward, for good.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import parse_qs

import anyio

from sse_kit.shutdown import GRACE, on_server_stop
from sse_kit.stalled import Line, end_full
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from sse_kit.config import StreamSettings

    Scope: TypeAlias = MutableMapping[str, Any]
    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

HEADERS = {
    # Without buffering or rewriting by proxies (nginx reads the last one), and never stored.
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
"""What every stream is sent with; no ``Connection``, which HTTP/2 forbids (RFC 9113, 8.2.2)."""


class Session(Protocol):
    """One run of a stream, as its writer sees it."""

    def opening(self) -> bytes:
        """Return the first bytes; asked once, after the response has started."""
        ...

    async def wait(self) -> None:
        """Wait until :meth:`take` returns something or the session is over; takes nothing."""
        ...

    def take(self) -> bytes:
        """Return all that waits to be written; empty if nothing does."""
        ...

    def heartbeat(self) -> bytes:
        """Return what is written when nothing else was for a while."""
        ...

    def is_over(self) -> bool:
        """Tell whether the session has ended; what waits is still taken."""
        ...

    def farewell(self) -> bytes:
        """Return the last bytes."""
        ...

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the session is cut short; at once, if it was already."""
        ...

    def end(self, reason: CloseReason, *, error: str | None = None) -> None:
        """End the session; the first call counts."""
        ...


def last_event_id(scope: Scope) -> str | None:
    """Return the id that the client came back with, or None.

    The header's bytes are UTF-8 (HTML standard, section 9.2.4), not the Latin-1 that frameworks
    make of headers. Where there is none: the query parameter ``last_event_id``, which is how a page
    connects from the position it was rendered at. An empty one is none.
    """
    for name, value in scope.get("headers", ()):
        if name == b"last-event-id":
            return bytes(value).decode("utf-8", "replace") or None
    # Not as bytes: parse_qs takes those for ASCII.
    if not scope.get("query_string"):
        return None
    query: str = scope["query_string"].decode("utf-8", "replace")
    return parse_qs(query, errors="replace").get("last_event_id", [None])[0]


async def respond_to_head(send: Send, start: Message) -> None:
    """Answer HEAD: the headers a stream would have, and no stream."""
    await send(start)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Responder:
    """One answer to one request: writes a session to its end.

    ``feed``, if given, is run beside the writer until it returns or the stream is over: it is what
    fills a session that does not fill by itself.
    """

    def __init__(
        self,
        session: Session,
        *,
        settings: StreamSettings,
        feed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._session = session
        self._settings = settings
        self._feed = feed
        self._failure: Exception | None = None
        self._tasks = anyio.create_task_group()
        self._writing = anyio.CancelScope()
        self._last_moment = math.inf
        self._finishing = False
        # The event loop's clock, readable also where no task runs: in a signal's callback.
        self._clock_offset = anyio.current_time() - time.monotonic()

    async def run(self, scope: Scope, receive: Receive, send: Send, *, start: Message) -> None:
        """Send ``start`` and the stream; return with the session over, whatever happened.

        A client that leaves or stops reading is no error. What ``feed`` raises, or the session, is
        raised as it is, once what was there before is written; the response is left incomplete
        then, so that the client can tell.
        """
        line = Line(scope, receive)
        try:
            with on_server_stop(partial(self._session.end, CloseReason.SERVER_STOP), line):
                async with self._tasks:
                    self._tasks.start_soon(self._guard, partial(self._watch_client, receive))
                    if self._feed is not None:
                        self._tasks.start_soon(self._guard, self._feed)
                    await self._guard(partial(self._write, send, start, line))
                    self._tasks.cancel_scope.cancel()
            if self._failure is not None:
                raise self._failure
        finally:
            # Without an end of its own it was cancelled from outside: by a server that stops.
            self._session.end(CloseReason.SERVER_STOP)

    async def _guard(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part; its failure ends the session, and leaves the task group unwrapped."""
        try:
            await part()
        except Exception as error:  # noqa: BLE001  raised in run()
            self._failure = self._failure or error
            self._session.end(CloseReason.ERROR, error=repr(error))

    async def _watch_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._session.end(CloseReason.CLIENT_LEFT)
        if self._finishing:
            # Servers say so too once they have all of the response: hypercorn in the middle of the
            # last send(), whose rest must not be cancelled.
            self._hurry()
        else:
            self._tasks.cancel_scope.cancel()

    def _hurry(self) -> None:
        """Give up writing soon; also called where no task runs."""
        self._last_moment = time.monotonic() + self._clock_offset + GRACE
        self._writing.deadline = min(self._writing.deadline, self._last_moment)

    async def _write(self, send: Send, start: Message, line: Line) -> None:
        self._session.on_end(self._hurry)
        stalled = False
        try:
            with self._writing:
                await self._write_all(send, start)
        except TimeoutError:  # of a middleware around send()
            stalled = True
        except OSError:
            self._session.end(CloseReason.CLIENT_LEFT)
        if stalled or self._writing.cancelled_caught:
            self._session.end(CloseReason.SEND_TIMEOUT)
            end_full([line])

    async def _write_all(self, send: Send, start: Message) -> None:
        session = self._session
        await self._send(send, start)
        await self._send(send, _body(session.opening()))
        while chunk := await self._next():
            await self._send(send, _body(chunk))
        if self._failure is None:
            self._finishing = True
            await self._send(send, _body(session.farewell(), more=False))

    async def _next(self) -> bytes:
        """Return what to write next; empty at the end."""
        session = self._session
        while not (chunk := session.take()) and not session.is_over():
            with anyio.move_on_after(self._settings.heartbeat) as silence:
                await session.wait()
            if silence.cancelled_caught:
                return session.heartbeat()
        return chunk

    async def _send(self, send: Send, message: Message) -> None:
        patience = anyio.current_time() + self._settings.send_timeout
        self._writing.deadline = min(patience, self._last_moment)
        await send(message)
        self._writing.deadline = self._last_moment


def _body(chunk: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
