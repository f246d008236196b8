"""A connection as its writer sees it: bytes instead of messages, and the words around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_kit import frames
from sse_kit.outgoing import as_frame
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.connection import SSEConnection
    from sse_kit.outgoing import Listener
    from sse_kit.subscription import Subscription

GOODBYES = frozenset(
    {CloseReason.DRAINED, CloseReason.SERVER_STOP, CloseReason.LIFETIME, CloseReason.LIMIT}
)
"""Ends after which the client is asked to come back."""


@dataclass(frozen=True, slots=True)
class _OnEnd:
    hurry: Callable[[], None]

    def wake(self) -> None:
        """Do nothing: the writer waits for it."""


class ConnectionSession:
    """One run of a registry's stream, for :class:`sse_kit.asgi.Responder`; ``retry`` in ms."""

    __slots__ = ("_retry", "connection")

    def __init__(self, connection: SSEConnection, *, retry: int) -> None:
        self.connection = connection
        self._retry = retry
        connection.owes_checkpoint = True

    @property
    def subscription(self) -> Subscription | None:
        """What the connection follows."""
        return self.connection.subscription

    def opening(self) -> bytes:
        """Return the reconnection time, and what is there already."""
        self.connection.opened()
        return frames.opening(frames.jittered(self._retry)) + self.take()

    async def wait(self) -> None:
        """Wait until something waits to be written or the connection is over."""
        await self.connection.wait()

    def take(self) -> bytes:
        """Return all that waits to be written."""
        return b"".join(map(as_frame, self.connection.take()))

    def heartbeat(self) -> bytes:
        """Return a comment, with a checkpoint if nothing waits for the client."""
        self.connection.touch()
        return frames.heartbeat(self.connection.checkpoint())

    def is_over(self) -> bool:
        """Tell whether the connection has ended."""
        return not self.connection.is_active()

    def farewell(self) -> bytes:
        """Return the goodbye, if the client shall come back; the close event, if it shall not."""
        if self.connection.close_reason is CloseReason.KICKED:
            return frames.close(CloseReason.KICKED)
        goodbye = self.connection.goodbye
        return b"" if goodbye is None else frames.bye(goodbye)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the connection ends; at once, if it has."""
        self.listen(_OnEnd(callback))

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` told what happens to the connection; at once, if it has ended."""
        self.connection.listen(listener)
        if self.is_over():
            listener.hurry()

    def end(
        self, reason: CloseReason, *, error: str | None = None, spread: int | None = None
    ) -> None:
        """End the connection; ``spread``: milliseconds over which its clients come back."""
        goodbye = frames.jittered(self._retry, spread) if reason in GOODBYES else None
        self.connection.end(reason, error=error, goodbye=goodbye)
