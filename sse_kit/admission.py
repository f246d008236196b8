"""Who may stream, and for how long an entry stands: exactly as long as the response runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from sse_kit.connection import SSEConnection
from sse_kit.leases import Authorise, Leases, is_allowed
from sse_kit.session import ConnectionSession
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from sse_kit.config import RegistrySettings
    from sse_kit.table import ConnectionTable


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a route asked for: checked in the route, made into a connection when it is run."""

    connection_id: str | None
    connection_type: str
    topics: tuple[str, ...]
    metadata: Mapping[str, Any] | None
    queue_size: int
    authorise: Authorise | None

    def make(self, connection_id: str, last_event_id: str | None = None) -> SSEConnection:
        """Make the connection.

        Raises:
            InvalidInput: an id or a type that is not a line of text.

        """
        return SSEConnection(
            connection_id,
            connection_type=self.connection_type,
            topics=self.topics,
            metadata=self.metadata,
            queue_size=self.queue_size,
            last_event_id=last_event_id,
        )


class Admission:
    """Lets streams in and out; ``add`` and ``drop`` keep the table and what hangs on it."""

    def __init__(
        self,
        settings: RegistrySettings,
        table: ConnectionTable,
        *,
        follow: Callable[[SSEConnection], None],
    ) -> None:
        self.closing: CloseReason | None = CloseReason.SERVER_STOP
        self.leases = Leases(recheck=settings.heartbeat, max_lifetime=settings.max_lifetime)
        self._settings = settings
        self._table = table
        self._follow = follow
        self._gone = anyio.Event()

    def add(self, connection: SSEConnection) -> None:
        """Enter a connection, and let it follow its topics."""
        if connection.topics:
            self._follow(connection)
        self._table.add(connection)

    def drop(self, connection: SSEConnection, reason: CloseReason) -> None:
        """End a connection and forget it; twice is harmless."""
        self.leases.discard(connection)
        self._table.drop(connection, reason)
        if not self.leases:
            self._gone.set()

    def close(self, reason: CloseReason, *, spread: int | None = None) -> None:
        """End every stream and send new ones away; ``spread`` as in :meth:`Leases.end_all`."""
        self.closing = reason
        self.leases.end_all(reason, spread=spread)

    async def wait_until_gone(self) -> None:
        """Wait until no stream is left."""
        while self.leases:
            self._gone = anyio.Event()
            await self._gone.wait()

    @asynccontextmanager
    async def streaming(
        self, wanted: Wanted, last_event_id: str | None
    ) -> AsyncGenerator[ConnectionSession | None, None]:
        """Keep an entry for the time of one response; None: not authorised."""
        connection_id = wanted.connection_id or self._table.next_id(wanted.connection_type)
        connection = wanted.make(connection_id, last_event_id)
        if not await is_allowed(connection, wanted.authorise):
            yield None
            return
        session = ConnectionSession(connection, retry=self._settings.retry)
        refusal = self._refusal(connection_id)
        if refusal is not None:
            session.end(refusal)
            yield session
            return
        predecessor = self._table.find(connection_id)
        if predecessor is not None:
            self.drop(predecessor, CloseReason.REPLACED)
        try:
            self.add(connection)
            self.leases.add(connection, session, wanted.authorise)
            yield session
        finally:
            self.drop(connection, CloseReason.SERVER_STOP)

    def _refusal(self, connection_id: str) -> CloseReason | None:
        if self.closing is not None:
            return self.closing
        limit = self._settings.max_connections
        replaces = self._table.find(connection_id) is not None
        if limit is not None and len(self._table) >= limit and not replaces:
            return CloseReason.LIMIT
        return None
