"""Who may stream, and for how long an entry stands: exactly as long as the response runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import anyio

from sse_kit import frames
from sse_kit.asgi import Responder
from sse_kit.connection import SSEConnection
from sse_kit.inline import InlineWriter
from sse_kit.leases import Authorise, Leases, ask
from sse_kit.messages import check_line
from sse_kit.session import ConnectionSession
from sse_kit.states import CloseReason
from sse_kit.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from sse_kit.config import RegistrySettings
    from sse_kit.dispatch import Dispatcher
    from sse_kit.overflow import Policies
    from sse_kit.table import ConnectionTable

STOP_PATIENCE = 2.0
"""Seconds that streams get to end when the registry is left."""

FIRST_ANSWER = 5.0
"""Seconds an authoriser may take before the stream starts: a server that stops waits for it."""


class HasScope(Protocol):
    """A request: Starlette's, FastAPI's, FastHTML's, or whatever carries an ASGI scope."""

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a route asked for: checked in the route, made into a connection when it is run.

    Raises:
        InvalidInput: an id or a type that is not one line of text.

    """

    connection_id: str | None
    connection_type: str
    topics: tuple[str, ...]
    metadata: Mapping[str, Any] | None
    last_event_id: str | None
    settings: RegistrySettings
    policies: Policies | None
    authorise: Authorise | None

    def __post_init__(self) -> None:
        check_line("connection_type", self.connection_type)
        if self.connection_id is not None:
            check_line("connection_id", self.connection_id)

    def make(self, connection_id: str) -> SSEConnection:
        """Make the connection."""
        return SSEConnection(
            connection_id,
            connection_type=self.connection_type,
            topics=self.topics,
            metadata=self.metadata,
            queue_size=self.settings.queue_size,
            queue_bytes=self.settings.queue_bytes,
            last_event_id=self.last_event_id,
        )


class _Closing(NamedTuple):
    reason: CloseReason
    spread: int | None


class Admission:
    """Lets streams in and out; ``add`` and ``drop`` keep the table and what hangs on it."""

    def __init__(
        self,
        settings: RegistrySettings,
        table: ConnectionTable,
        *,
        follow: Callable[[SSEConnection, Policies | None], None],
    ) -> None:
        self.leases = Leases(recheck=settings.heartbeat, max_lifetime=settings.max_lifetime)
        self._settings = settings
        self._table = table
        self._follow = follow
        self._closing: _Closing | None = None
        self._closed = Wakeup()
        self._dispatcher: Dispatcher | None = None
        self._dropped = Wakeup()

    def open(self, dispatcher: Dispatcher | None) -> None:
        """Let streams in; the dispatcher, if there is one, writes for them."""
        self._dispatcher = dispatcher
        self._closing = None

    def close(self, reason: CloseReason, *, spread: int | None = None) -> None:
        """End every stream and send new ones away; ``spread`` as in :meth:`Leases.end_all`."""
        self._closing = _Closing(reason, spread)
        self._closed.wake()
        self.leases.end_all(reason, spread=spread)

    async def wait_closed(self) -> None:
        """Wait until the registry ends its streams: by ``close``, ``drain``, or as it is left.

        For a stream beside them that shall end with them; at once, while new ones are sent away.
        """
        while self._closing is None:
            await self._closed.wait()

    async def wait_until_gone(self) -> None:
        """Wait until no stream is left."""
        while self.leases:
            await self._dropped.wait()

    async def end(self) -> None:
        """End every stream, wait for them a while, also when cancelled, and forget everyone."""
        self.close(CloseReason.SERVER_STOP)
        with anyio.move_on_after(STOP_PATIENCE, shield=True):
            await self.wait_until_gone()
        for connection in self._table.all():
            self.drop(connection, CloseReason.SERVER_STOP)
        self._dispatcher = None

    def add(self, connection: SSEConnection, policies: Policies | None) -> None:
        """Enter a connection, and let it follow its topics."""
        if connection.topics:
            self._follow(connection, policies)
        self._table.add(connection)

    def drop(self, connection: SSEConnection, reason: CloseReason) -> None:
        """End a connection and forget it; twice is harmless."""
        self.leases.discard(connection)
        self._table.drop(connection, reason)
        self._dropped.wake()

    async def enter(self, wanted: Wanted) -> ConnectionSession | None:
        """Make the entry of one response, until :meth:`leave`; None: not authorised."""
        connection_id = wanted.connection_id or self._table.next_id(wanted.connection_type)
        connection = wanted.make(connection_id)
        session = await self._receive(connection, wanted.authorise)
        if session is None or session.is_over():
            return session
        predecessor = self._table.find(connection_id)
        if predecessor is not None:
            self.drop(predecessor, CloseReason.REPLACED)
        self.add(connection, wanted.policies)
        self.leases.add(session, wanted.authorise)
        return session

    def leave(self, session: ConnectionSession) -> None:
        """Forget what :meth:`enter` made."""
        self.drop(session.connection, CloseReason.SERVER_STOP)

    def responder(self, session: ConnectionSession) -> Responder | InlineWriter:
        """Return who writes the session: inline, where there is a dispatcher."""
        if self._dispatcher is None:
            return Responder(session, settings=self._settings)
        return InlineWriter(session, self._dispatcher)

    async def _receive(
        self, connection: SSEConnection, authorise: Authorise | None
    ) -> ConnectionSession | None:
        """Return its session, over already if the client shall come back later."""
        session = ConnectionSession(connection, retry=self._settings.retry)
        if authorise is not None:
            allowed = await ask(connection, authorise, timeout=FIRST_ANSWER)
            if allowed is False:
                return None
            if allowed is None:
                # Any status but 200 would end an EventSource for good: it shall ask again.
                goodbye = frames.jittered(self._settings.retry)
                connection.end(CloseReason.ERROR, error="the authoriser failed", goodbye=goodbye)
        if self._closing is not None:
            session.end(self._closing.reason, spread=self._closing.spread)
        elif self._is_full(connection.connection_id):
            session.end(CloseReason.LIMIT)
        return session

    def _is_full(self, connection_id: str) -> bool:
        limit = self._settings.max_connections
        replaces = self._table.find(connection_id) is not None
        return limit is not None and len(self.leases) >= limit and not replaces
