"""A stream as a bare ASGI application: headers, writer, heartbeat, disconnect, end.

One task writes; another waits for the client to leave. All that a stream holds is released in
:class:`Responder`'s ``finally``, around everything, so it is also released when the client was gone
before the first byte. (A generator's own ``finally`` would not run then: it was never started.)
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import parse_qs

import anyio

from sse_kit.shutdown import on_server_stop
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

STOP_GRACE = 1.0
"""Seconds that a write under way may still take once the stream was ended."""


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
        """Have ``callback`` called when the session ends."""
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
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return bytes(value).decode("utf-8", "replace") or None
    query = parse_qs(scope["query_string"], errors="replace")
    return query.get(b"last_event_id", [b""])[0].decode("utf-8", "replace") or None


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

    async def run(self, receive: Receive, send: Send, start: Message) -> None:
        """Send ``start`` and the stream; return with the session over, whatever happened.

        A client that leaves or stops reading is no error. What ``feed`` raises, or the session, is
        raised as it is.
        """
        try:
            with on_server_stop(partial(self._session.end, CloseReason.SERVER_STOP)):
                async with self._tasks:
                    self._tasks.start_soon(self._watch_client, receive)
                    if self._feed is not None:
                        self._tasks.start_soon(self._guard, self._feed)
                    await self._guard(partial(self._write, send, start))
                    self._tasks.cancel_scope.cancel()
            if self._failure is not None:
                raise self._failure
        finally:
            # Without an end of its own it was cancelled from outside: by a server that stops.
            self._session.end(CloseReason.SERVER_STOP)

    async def _guard(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part; its failure ends the others, and leaves the task group unwrapped."""
        try:
            await part()
        except Exception as error:  # noqa: BLE001  raised in run()
            self._failure = self._failure or error
            self._session.end(CloseReason.ERROR, error=repr(error))
            self._tasks.cancel_scope.cancel()

    async def _watch_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._session.end(CloseReason.CLIENT_LEFT)
        self._tasks.cancel_scope.cancel()

    async def _write(self, send: Send, start: Message) -> None:
        cut = anyio.CancelScope()
        # The event loop's clock, readable also where no task runs: in a signal's callback.
        offset = anyio.current_time() - time.monotonic()

        def hurry() -> None:
            cut.deadline = time.monotonic() + offset + STOP_GRACE

        self._session.on_end(hurry)
        try:
            with cut:
                await self._write_all(send, start)
        except OSError:
            self._session.end(CloseReason.CLIENT_LEFT)

    async def _write_all(self, send: Send, start: Message) -> None:
        session = self._session
        await send(start)
        await self._send(send, session.opening())
        while chunk := await self._next():
            if not await self._send(send, chunk):
                return
        await send({"type": "http.response.body", "body": session.farewell(), "more_body": False})

    async def _next(self) -> bytes:
        """Return what to write next; empty at the end."""
        session = self._session
        while not (chunk := session.take()) and not session.is_over():
            with anyio.move_on_after(self._settings.heartbeat) as silence:
                await session.wait()
            if silence.cancelled_caught:
                return session.heartbeat()
        return chunk

    async def _send(self, send: Send, chunk: bytes) -> bool:
        """Write; False: the client did not take it in time."""
        with anyio.move_on_after(self._settings.send_timeout) as patience:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if patience.cancelled_caught:
            self._session.end(CloseReason.SEND_TIMEOUT)
        return not patience.cancelled_caught
