"""A stream of the values of an iterator: LLM tokens, progress, anything that comes to an end."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio import to_thread

from sse_kit import frames
from sse_kit.codec import encode
from sse_kit.messages import SSEMessage
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

Content: TypeAlias = AsyncIterable[object] | Iterable[object]
"""Values that :meth:`SSEMessage.of` takes; a sync iterable is run in a worker thread."""

AHEAD = 16
"""Messages that the content may be ahead of its client; then it has to wait."""

CLEANUP = 10.0
"""Seconds that a generator's ``finally`` may take once its client is gone."""

_END = object()


class IteratorSession:
    """One run of an iterator's stream: a :class:`sse_kit.asgi.Session`."""

    def __init__(self, content: Content, *, retry: int, close_event: SSEMessage | None) -> None:
        self.reason: CloseReason | None = None
        self.error: str | None = None
        self._content = content
        self._retry = retry
        self._close_event = close_event
        self._queue: deque[bytes] = deque()
        self._changed = anyio.Event()
        self._room = anyio.Event()
        self._on_end: Callable[[], None] | None = None

    async def feed(self) -> None:
        """Run the content into the queue, at the client's pace; close it whatever happens."""
        values = _values(self._content)
        try:
            async for value in values:
                self._queue.append(encode(SSEMessage.of(value)))
                self._changed.set()
                await self._wait_for_room()
            self.end(CloseReason.FINISHED)
        finally:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLEANUP):
                await _close(values)

    def opening(self) -> bytes:
        """Return the reconnection time."""
        return frames.opening(frames.jittered(self._retry))

    async def wait(self) -> None:
        """Wait until something is queued or the session is over."""
        while not self._queue and not self.is_over():
            self._changed = anyio.Event()
            await self._changed.wait()

    def take(self) -> bytes:
        """Return all that is queued."""
        chunk = b"".join(self._queue)
        self._queue.clear()
        self._room.set()
        return chunk

    def heartbeat(self) -> bytes:
        """Return a comment."""
        return frames.heartbeat()

    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self.reason is not None

    def farewell(self) -> bytes:
        """Return the close event if the content came to its end; else the client shall return."""
        if self.reason is not CloseReason.FINISHED or self._close_event is None:
            return b""
        return encode(self._close_event)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when it ends."""
        self._on_end = callback

    def end(self, reason: CloseReason, *, error: str | None = None) -> None:
        """End it; the first call counts."""
        if self.reason is not None:
            return
        self.reason = reason
        self.error = error
        self._changed.set()
        if self._on_end is not None and reason is not CloseReason.FINISHED:
            self._on_end()

    async def _wait_for_room(self) -> None:
        while len(self._queue) >= AHEAD:
            self._room = anyio.Event()
            await self._room.wait()


async def _close(values: AsyncIterator[object]) -> None:
    close = getattr(values, "aclose", None)
    if close is not None:
        await close()


def _values(content: Content) -> AsyncIterator[object]:
    if isinstance(content, AsyncIterable):
        return aiter(content)
    return _ThreadIterator(iter(content))


class _ThreadIterator:
    """A sync iterator, stepped in a worker thread, so that it may block."""

    def __init__(self, iterator: Iterator[object]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        value = await to_thread.run_sync(next, self._iterator, _END)
        if value is _END:
            raise StopAsyncIteration
        return value

    async def aclose(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            await to_thread.run_sync(close)
