"""One client's live stream, seen from the application.

A connection has two sources: its *subscription*, which follows the log (see :mod:`sse_kit.hub`),
and its *outbox*, for what :meth:`SSEConnection.send` gives to this connection alone. Whoever writes
the stream waits with :meth:`SSEConnection.wait` and then takes all there is with
:meth:`SSEConnection.take`; waiting takes nothing, so it may be cancelled at any moment.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import anyio

from sse_kit.codec import encode
from sse_kit.config import check_queue
from sse_kit.messages import SSEMessage, check_line
from sse_kit.outgoing import Listener, Outbox, Outgoing, Sent, as_message, sendable
from sse_kit.replay import Follower
from sse_kit.states import (
    ACTIVE,
    STATUS,
    CloseReason,
    ConnectionInfo,
    ConnectionState,
    Role,
    Status,
    check_move,
)
from sse_kit.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sse_kit.hub import Hub
    from sse_kit.replay import Replayer
    from sse_kit.subscription import Subscription
    from sse_kit.transports.base import Position

NOTHING: Mapping[str, Any] = MappingProxyType({})


class SSEConnection:
    """One client's stream: made by a registry, or by ``registry.add_connection`` without HTTP.

    ``connection_id`` and ``connection_type`` are lines of text, ``topics`` what it follows,
    ``metadata`` yours, read-only; ``queue_size`` messages and ``queue_bytes`` bound what ``send``
    may leave waiting.

    Raises:
        InvalidInput: an id or a type that is not one line of text.
        InvalidSetting: a size below 1.

    """

    __slots__ = (
        "_changed",
        "_created",
        "_created_at",
        "_facts",
        "_follower",
        "_listener",
        "_outbox",
        "_queue_bytes",
        "_sent",
        "_since",
        "_state",
        "_touched",
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
        queue_bytes: int = 1024 * 1024,
        last_event_id: str | None = None,
    ) -> None:
        check_queue(queue_size, queue_bytes)
        self.connection_id = check_line("connection_id", connection_id)
        self.connection_type = check_line("connection_type", connection_type)
        self.topics = frozenset(topics)
        self.metadata: Mapping[str, Any] = MappingProxyType(dict(metadata)) if metadata else NOTHING
        self.last_event_id = last_event_id
        self.close_reason: CloseReason | None = None
        self.goodbye: int | None = None
        self.owes_checkpoint = False
        self._state = ConnectionState.CONNECTING
        self._created = self._since = self._touched = time.monotonic()
        self._created_at = time.time()
        self._facts: Mapping[str, Any] = NOTHING
        self.queue_size, self._queue_bytes = queue_size, queue_bytes
        self._sent = 0
        # What most connections never need is made when it is: there may be very many of them.
        self._outbox: Outbox | None = None
        self._unread: list[Outgoing] | None = None  # the next one last
        self._follower: Follower | None = None
        self._changed: Wakeup | None = None
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return f"<SSEConnection {self.connection_id!r} {self.state}>"

    # What it is ------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where it stands."""
        return self._state

    @property
    def status(self) -> Status:
        """Where it stands, with the facts of that state."""
        return STATUS[self.state](since=self._moment(self._since), **self._facts)

    @property
    def created_at(self) -> datetime:
        """When it was made (aware, UTC)."""
        return self._moment(self._created)

    @property
    def touched(self) -> float:
        """When that was (seconds, monotonic)."""
        follows = self.subscription
        return self._touched if follows is None else max(self._touched, follows.touched)

    @property
    def last_activity(self) -> datetime:
        """When something was last sent to it, taken from it, or a heartbeat (aware, UTC)."""
        return self._moment(self.touched)

    @property
    def message_count(self) -> int:
        """How many messages of its topics, and of ``send``, were accepted for it."""
        return self._sent + (self._follower.subscription.accepted if self._follower else 0)

    @property
    def lag(self) -> int:
        """How many records of the log it is behind the head, of whatever topics."""
        return 0 if self._follower is None else self._follower.lag()

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
            queued=len(self._outbox or ()) + (len(follower.subscription.queue) if follower else 0),
            lag=self.lag,
            dropped=follower.subscription.dropped if follower else 0,
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
        message = sendable(data)
        sent = Sent(message, encode(message))
        outbox = self._outbox
        if outbox is None:
            outbox = self._outbox = Outbox(max_items=self.queue_size, max_bytes=self._queue_bytes)
        with anyio.move_on_after(timeout):
            while self.is_active() and not outbox.has_room(sent):
                await outbox.room.wait()
        if not outbox.has_room(sent):
            self.end(CloseReason.SEND_TIMEOUT, error=f"no room for a message in {timeout} s")
        if not self.is_active():
            return False
        outbox.put(sent)
        self._sent += 1
        self.touch()
        self.notify()
        return True

    async def heartbeat(self) -> str:
        """Return a comment line for the stream, and note the activity."""
        self.touch()
        return f": heartbeat {self.connection_id} {self.last_activity.isoformat()}\n\n"

    def close(self) -> None:
        """End it; twice is harmless. An entry made by hand stays until it is removed."""
        self.end(CloseReason.CLOSED)

    def __aiter__(self) -> Self:
        """Iterate over the messages, without HTTP; ends with the connection.

        Messages of topics carry their position as ``id``; a gap comes as its event. Of several who
        iterate each message reaches one.
        """
        return self

    async def __anext__(self) -> SSEMessage:
        """Wait for the next message. Cancelled while it waits, it has taken nothing."""
        while not self._unread:
            await self.wait()
            # Another one who iterates may have taken all, and left some of it here.
            self._unread = self._unread or self.take()[::-1]
            if not self._unread and not self.is_active():
                raise StopAsyncIteration
        return as_message(self._unread.pop())

    # What the registry and the writer do with it -----------------------------------------------

    @property
    def subscription(self) -> Subscription | None:
        """What it follows, and where it stands there."""
        return None if self._follower is None else self._follower.subscription

    def follow(self, hub: Hub, subscription: Subscription, replayer: Replayer | None) -> None:
        """Follow topics of ``hub``; ``subscription`` wakes this connection."""
        self._follower = Follower(hub, subscription, replayer)
        hub.add(subscription)
        self.topics = subscription.topics

    def opened(self) -> None:
        """Note that the stream has started: connected, or catching up after a Last-Event-ID."""
        if self.state is not ConnectionState.CONNECTING:
            return
        if self.last_event_id is None:
            self._move(ConnectionState.CONNECTED)
        else:
            self._move(ConnectionState.RECONNECTING, resumes_from=self.last_event_id)
            self._note_live()

    def end(
        self, reason: CloseReason, *, error: str | None = None, goodbye: int | None = None
    ) -> None:
        """End it for ``reason``; the first call counts. ``goodbye``: milliseconds to come back."""
        if not self.is_active():
            if self.state is ConnectionState.ERROR and reason is CloseReason.CLOSED:
                self._move(ConnectionState.DISCONNECTED, reason=reason)
            return
        self.close_reason, self.goodbye = reason, goodbye
        if error is None:
            self._move(ConnectionState.DISCONNECTED, reason=reason)
        else:
            self._move(ConnectionState.ERROR, reason=reason, error=error)
        if self._follower is not None:
            self._follower.release()
        if self._outbox is not None:
            self._outbox.room.wake()
        self.notify()
        if self._listener is not None:
            self._listener.hurry()

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` told what happens to this connection."""
        self._listener = listener

    async def wait(self) -> None:
        """Wait until :meth:`take` has something or the connection is over. Takes nothing."""
        if self._changed is None:
            self._changed = Wakeup()
        while not self._has_something() and self.is_active():
            await self._changed.wait()

    def take(self) -> list[Outgoing]:
        """Return all that waits: what was sent to it alone, what it follows, a due checkpoint."""
        items: list[Outgoing] = [] if self._outbox is None else [*self._outbox.take()]
        if self._follower is not None and self._advance():
            items += self._follower.subscription.take()
            self.touch()
        if self.owes_checkpoint and (position := self.checkpoint()) is not None:
            self.owes_checkpoint = False
            items.append(position)
        return items

    def checkpoint(self) -> Position | None:
        """Return the position its client may skip to, or None while the log has more for it."""
        return None if self._follower is None else self._follower.checkpoint()

    def notify(self) -> None:
        """Wake whoever waits in :meth:`wait`, and the listener."""
        if self._changed is not None:
            self._changed.wake()
        if self._listener is not None:
            self._listener.wake()

    def touch(self) -> None:
        """Note that something happened on the stream."""
        self._touched = time.monotonic()

    def _has_something(self) -> bool:
        if self._outbox or self._unread or self._advance():
            return True
        return self.owes_checkpoint and self.checkpoint() is not None

    def _advance(self) -> bool:
        """Follow the log as far as possible; tell whether something of it waits."""
        if self._follower is None:
            return False
        if not self.is_active():
            return bool(self._follower.subscription.queue)
        waits = self._follower.advance()
        self._note_live()
        return waits

    def _note_live(self) -> None:
        live = self._follower is None or self._follower.subscription.live
        if live and self.state is ConnectionState.RECONNECTING:
            self._move(ConnectionState.CONNECTED, resumed_from=self.last_event_id)

    def _move(self, target: ConnectionState, **facts: Any) -> None:
        check_move(Role.SERVER, self.state, target)
        self._state, self._facts = target, facts
        self._since = time.monotonic()

    def _moment(self, monotonic: float) -> datetime:
        """Return when it was that the monotonic clock showed so many seconds."""
        return datetime.fromtimestamp(self._created_at + monotonic - self._created, UTC)
