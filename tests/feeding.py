"""Feeding the session of an iterator, as a response does it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from sse_kit import SSEMessage
from sse_kit.iterate import IteratorSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sse_kit.iterate import Content


class NoMore(Exception):
    pass


CLOSE = SSEMessage("", event="close")
PATIENCE = 5.0


def session_of(content: Content, *, close_event: SSEMessage | None = CLOSE) -> IteratorSession:
    return IteratorSession(content, retry=2000, close_event=close_event)


@asynccontextmanager
async def fed(content: Content) -> AsyncGenerator[IteratorSession]:
    """Feed a session beside the body; at the body's end the feed is cancelled, as by a client."""
    session = session_of(content)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.feed)
            yield session
            tasks.cancel_scope.cancel()


async def read(session: IteratorSession) -> bytes:
    """Return all to the end, as a writer that is never slow."""
    taken = b""
    while not session.is_over():
        await session.wait()
        taken += session.take()
    return taken + session.take()
