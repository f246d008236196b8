"""One client's live stream, seen from the application.

A connection has two sources: its *subscription*, which follows the log (see :mod:`sse_kit.hub`),
and its *outbox*, for what :meth:`SSEConnection.send` gives to this connection alone. Whoever writes
the stream waits with :meth:`SSEConnection.wait` and then takes all there is with
:meth:`SSEConnection.take`; waiting takes nothing, so it may be cancelled at any moment.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import anyio
from pydantic import AwareDatetime, BaseModel, ConfigDict

from sse_kit.config import RegistrySettings
from sse_kit.errors import InvalidInput
from sse_kit.messages import SSEMessage, breaks_line
from sse_kit.outgoing import Outgoing, as_message, refuse_control
from sse_kit.replay import Follower
from sse_kit.states import (
    ACTIVE,
    CloseReason,
    Connected,
    Connecting,
    ConnectionState,
    Disconnected,
    Errored,
    Reconnecting,
    Role,
    Status,
    move,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sse_kit.hub import Hub
    from sse_kit.replay import Replayer
    from sse_kit.subscription import Subscription
    from sse_kit.transports.base import Position


class ConnectionInfo(BaseModel):
    """A connection described to the outside; ``lag`` counts records of the log behind the head."""

    model_config = ConfigDict(frozen=True)

    connection_id: str
    connection_type: str
    topics: tuple[str, ...]
    metadata: dict[str, Any]
    status: Status
    created_at: AwareDatetime
    last_activity: AwareDatetime
    message_count: int
    queued: int
    lag: int


class SSEConnection:
    """One client's stream: made by a registry, or by ``registry.add_connection`` without HTTP.

    ``connection_id`` and ``connection_type`` are lines of text, ``topics`` what it follows,
    ``metadata`` yours; ``created_at`` and ``last_activity`` are aware UTC times; ``message_count``
    counts data messages accepted for it (topics and ``send``).

    Raises:
        InvalidInput: an id or a type that is empty or not one line.

    """

    __slots__ = (
        "_changed",
        "_created",
        "_created_at",
        "_follower",
        "_last_activity",
        "_on_end",
        "_outbox",
        "_room",
        "_sent",
        "_status",
        "_unread",
        "close_reason",
        "connection_id",
        "connection_type",
        "goodbye",
        "last_event_id",
        "metadata",
        "owes_checkpoint",
        "queue_size",
        "topics",
    )

    def __init__(  # noqa: PLR0913  all but the id by keyword
        self,
        connection_id: str,
        *,
        connection_type: str = "global",
        topics: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        queue_size: int = 100,
        last_event_id: str | None = None,
    ) -> None:
        for field, value in (
            ("connection_id", connection_id),
            ("connection_type", connection_type),
        ):
            if not value or breaks_line(value):
                raise InvalidInput(field, value, "is not a line of text", "leave out CR, LF, NUL")
        RegistrySettings(queue_size=queue_size)
        self.connection_id = connection_id
        self.connection_type = connection_type
        self.topics = frozenset(topics)
        self.metadata: Mapping[str, Any] = dict(metadata or {})
        self.last_event_id = last_event_id
        self.close_reason: CloseReason | None = None
        self.goodbye: int | None = None
        self.owes_checkpoint = False
        self._created = time.monotonic()
        self._created_at = self._last_activity = datetime.now(UTC)
        self._status: Status = Connecting()
        self.queue_size = queue_size
        self._sent = 0
        self._outbox: deque[SSEMessage] = deque()
        self._unread: deque[Outgoing] = deque()
        self._follower: Follower | None = None
        self._changed: anyio.Event | None = None
        self._room: anyio.Event | None = None
        self._on_end: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<SSEConnection {self.connection_id!r} {self.state}>"

    # What it is ------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where it stands."""
        return self._status.state

    @property
    def status(self) -> Status:
        """Where it stands, with the facts of that state."""
        return self._status

    @property
    def created_at(self) -> datetime:
        """When it was made (aware, UTC)."""
        return self._created_at

    @property
    def last_activity(self) -> datetime:
        """When something was last accepted for it, or a heartbeat sent (aware, UTC)."""
        return self._last_activity

    @property
    def message_count(self) -> int:
        """How many data messages were accepted for it."""
        followed = self._follower.subscription.accepted if self._follower else 0
        return self._sent + followed

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._created

    def is_active(self) -> bool:
        """Tell whether it is connecting, connected or catching up."""
        return self.state in ACTIVE

    def info(self) -> ConnectionInfo:
        """Describe it, for people and monitors."""
        follower = self._follower
        return ConnectionInfo(
            connection_id=self.connection_id,
            connection_type=self.connection_type,
            topics=tuple(sorted(self.topics)),
            metadata=dict(self.metadata),
            status=self.status,
            created_at=self.created_at,
            last_activity=self.last_activity,
            message_count=self.message_count,
            queued=len(self._outbox) + (len(follower.subscription.queue) if follower else 0),
            lag=follower.lag() if follower else 0,
        )

    # What the application does with it ---------------------------------------------------------

    async def send(self, data: object, timeout: float = 1.0) -> bool:  # noqa: ASYNC109
        """Give ``data`` to this connection alone; local, at most once, not replayed.

        Waits up to ``timeout`` seconds for room. False: the connection is over, or there was no
        room in time, which puts it into the state ``error``.

        Raises:
            InvalidMessage: ``data`` cannot be a message; NotPublishable: one with an ``id``, which
                would move the client's cursor, or with a reserved event name.

        """
        message = refuse_control(SSEMessage.of(data))
        with anyio.move_on_after(timeout):
            while self.is_active() and len(self._outbox) >= self.queue_size:
                self._room = self._room or anyio.Event()
                await self._room.wait()
        if not self.is_active():
            return False
        if len(self._outbox) >= self.queue_size:
            self.end(CloseReason.SEND_TIMEOUT, error=f"no room for a message in {timeout} s")
            return False
        self._outbox.append(message)
        self._sent += 1
        self.touch()
        self.notify()
        return True

    async def heartbeat(self) -> str:
        """Return a comment line for the stream, and note the activity."""
        self.touch()
        return f": heartbeat {self.connection_id} {self._last_activity.isoformat()}\n\n"

    def close(self) -> None:
        """End it; twice is harmless. An entry made by hand stays until it is removed."""
        self.end(CloseReason.CLOSED)

    def __aiter__(self) -> Self:
        """Iterate over the messages, without HTTP; ends with the connection.

        Messages of topics carry their position as ``id``; a gap comes as its event.
        """
        return self

    async def __anext__(self) -> SSEMessage:
        while not self._unread:
            await self.wait()
            self._unread.extend(self.take())
            if not self._unread and not self.is_active():
                raise StopAsyncIteration
        return as_message(self._unread.popleft())

    # What the registry and the writer do with it -----------------------------------------------

    def follow(self, hub: Hub, subscription: Subscription, replayer: Replayer | None) -> None:
        """Follow topics of ``hub``; ``subscription`` wakes this connection."""
        self._follower = Follower(hub, subscription, replayer)
        hub.add(subscription)

    def opened(self) -> None:
        """Note that the stream has started: connected, or catching up after a Last-Event-ID."""
        if self.state is ConnectionState.CONNECTING and self.last_event_id is not None:
            self._move(Reconnecting(resumes_from=self.last_event_id))
        if self.state in {ConnectionState.CONNECTING, ConnectionState.RECONNECTING}:
            self._note_live()

    def end(
        self, reason: CloseReason, *, error: str | None = None, goodbye: int | None = None
    ) -> None:
        """End it for ``reason``; the first call counts. ``goodbye``: milliseconds to come back."""
        if not self.is_active():
            if self.state is ConnectionState.ERROR and error is None:
                self._move(Disconnected(reason=reason))
            return
        self.close_reason = reason
        self.goodbye = goodbye
        failed = None if error is None else Errored(reason=reason, error=error)
        self._move(failed or Disconnected(reason=reason))
        self.release()
        self.notify()
        if self._on_end is not None:
            self._on_end()

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when it ends."""
        self._on_end = callback

    def release(self) -> None:
        """Let go of the subscription, and of whoever waits for room."""
        if self._follower is not None:
            self._follower.release()
        self._make_room()

    async def wait(self) -> None:
        """Wait until :meth:`take` has something or the connection is over. Takes nothing."""
        while self.is_active() and not self._outbox and not self._ready():
            if self.owes_checkpoint and self.checkpoint() is not None:
                return
            self._changed = anyio.Event()
            await self._changed.wait()

    def take(self) -> list[Outgoing]:
        """Return all that waits: what was sent to it alone, what it follows, a due checkpoint."""
        items: list[Outgoing] = list(self._outbox)
        self._outbox.clear()
        self._make_room()
        if self._follower is not None and self._ready():
            items += self._follower.subscription.take()
            self.touch()
        if self.owes_checkpoint and (position := self.checkpoint()) is not None:
            self.owes_checkpoint = False
            items.append(position)
        return items

    def checkpoint(self) -> Position | None:
        """Return the position its client may skip to, or None while anything waits for it."""
        if self._follower is None or self._outbox or self._unread:
            return None
        return self._follower.checkpoint()

    def notify(self) -> None:
        """Wake whoever waits in :meth:`wait`."""
        if self._changed is not None:
            self._changed.set()

    def _ready(self) -> bool:
        if self._follower is None:
            return False
        if not self.is_active():
            return bool(self._follower.subscription.queue)
        ready = self._follower.advance()
        if self.state is ConnectionState.RECONNECTING:
            self._note_live()
        return ready

    def _note_live(self) -> None:
        resumed = self.state is ConnectionState.RECONNECTING
        if resumed and self._follower is not None and self._follower.checkpoint() is None:
            return
        self._move(Connected(resumed_from=self.last_event_id))

    def _move(self, target: Status) -> None:
        self._status = move(Role.SERVER, self._status, target)

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def touch(self) -> None:
        """Note that something happened on the stream."""
        self._last_activity = datetime.now(UTC)
