"""A session that a test fills by hand, and the app that writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from sse_kit.asgi import Responder
from sse_kit.config import StreamSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sse_kit.states import CloseReason
    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
NEVER = StreamSettings(heartbeat=3600, send_timeout=3600)
SOON = StreamSettings(heartbeat=3600, send_timeout=0.01)
BIG = b"x" * 100_000
"""More than a client's window takes: the next write waits until it reads."""


class Script:
    """A session that the test fills by hand."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.ended: list[tuple[CloseReason, str | None]] = []
        self.beats = 0
        self._changed = anyio.Event()
        self._cut: Callable[[], None] | None = None

    def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self._changed.set()

    def opening(self) -> bytes:
        return b"[opening]"

    async def wait(self) -> None:
        while not self.chunks and not self.is_over():
            self._changed = anyio.Event()
            await self._changed.wait()

    def take(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def heartbeat(self) -> bytes:
        self.beats += 1
        return b"[beat]"

    def is_over(self) -> bool:
        return bool(self.ended)

    def farewell(self) -> bytes:
        return b"[farewell]"

    def on_end(self, callback: Callable[[], None]) -> None:
        self._cut = callback
        if self.ended:
            callback()

    def end(self, reason: CloseReason, *, error: str | None = None) -> None:
        if self.ended:
            return
        self.ended.append((reason, error))
        self._changed.set()
        if self._cut is not None:
            self._cut()

    @property
    def reason(self) -> CloseReason:
        ((reason, _),) = self.ended
        return reason


def app_of(
    session: Script,
    settings: StreamSettings = NEVER,
    *,
    feed: Callable[[], Awaitable[None]] | None = None,
) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Responder(session, settings=settings, feed=feed).run(
            scope, receive, send, start=dict(START)
        )

    return app


def sending(app: ASGIApp, wrap: Callable[[Send], Send]) -> ASGIApp:
    """Return ``app`` behind a middleware around ``send``."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, wrap(send))

    return wrapped
