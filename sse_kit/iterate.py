"""A stream of the values of an iterator: LLM tokens, progress, anything that comes to an end."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.lowlevel import current_token

from sse_kit import frames
from sse_kit.codec import encode
from sse_kit.messages import SSEMessage
from sse_kit.shutdown import call_soon
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

Content: TypeAlias = AsyncIterable[object] | Iterable[object]
"""Values that :meth:`SSEMessage.of` takes; a sync iterable is run in a thread of its own."""

AHEAD = 16
"""Messages that the content may be ahead of its client; then it has to wait."""

CLEANUP = 10.0
"""Seconds that a generator's ``finally`` may take once its client is gone."""

THREAD = "sse-kit iterator"
"""The name of the threads that sync iterables run in."""

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
        """Have ``callback`` called when it ends before its content; at once, if it has."""
        self._on_end = callback
        if self.is_over():
            self._tell_end()

    def end(self, reason: CloseReason, *, error: str | None = None) -> None:
        """End it; the first call counts."""
        if self.reason is not None:
            return
        self.reason = reason
        self.error = error
        self._changed.set()
        self._tell_end()

    def _tell_end(self) -> None:
        if self._on_end is not None and self.reason is not CloseReason.FINISHED:
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
    """A sync iterable, run from beginning to end in a thread of its own.

    Of its own: it may block for as long as it likes without using up the workers that others share,
    and what belongs to one thread (a ``sqlite3`` connection) works in it. A daemon: a call that
    never returns does not keep the process from ending.
    """

    def __init__(self, content: Iterable[object]) -> None:
        self._iterator = iter(content)
        self._token = current_token()
        self._steps: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._busy = False
        self._answered = anyio.Event()
        self._value: object = None
        self._error: BaseException | None = None
        Thread(target=copy_context().run, args=(self._run,), name=THREAD, daemon=True).start()

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        value = await self._do(partial(next, self._iterator, _END))
        if value is _END:
            raise StopAsyncIteration
        return value

    async def aclose(self) -> None:
        """Close the iterator, if it can be; does not wait for a step that still blocks."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            if self._busy:
                self._steps.put(close)
            else:
                await self._do(close)
        self._steps.put(None)

    async def _do(self, step: Callable[[], object]) -> object:
        self._answered = anyio.Event()
        self._busy = True
        self._steps.put(step)
        await self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        while step := self._steps.get():
            value, error = None, None
            try:
                value = step()
            except BaseException as raised:  # noqa: BLE001  raised where it is waited for
                error = raised
            with suppress(RuntimeError):  # the event loop has ended
                call_soon(self._token, partial(self._answer, value, error))

    def _answer(self, value: object, error: BaseException | None) -> None:
        self._value, self._error = value, error
        self._busy = False
        self._answered.set()
