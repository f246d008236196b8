"""The entries of a registry: which connections there are, and what is told of each."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from sse_kit.errors import UnknownConnection
from sse_kit.hooks import Closed, Opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.connection import SSEConnection
    from sse_kit.states import CloseReason

logger = logging.getLogger(__name__)


class ConnectionTable:
    """Connections by id, oldest first; each one's beginning and end are told, and logged.

    The log is written at ``level``, with the facts of the connection beside the message.
    """

    def __init__(self, *, level: int, tell: Callable[[Opened | Closed], None]) -> None:
        self._level = level
        self._tell = tell
        self._connections: dict[str, SSEConnection] = {}
        self._counter = 0

    def next_id(self, connection_type: str) -> str:
        """Make an id that is free: the type and a number."""
        while True:
            self._counter += 1
            connection_id = f"{connection_type}_{self._counter}"
            if connection_id not in self._connections:
                return connection_id

    def find(self, connection_id: str) -> SSEConnection | None:
        """Return the connection with this id, if any."""
        return self._connections.get(connection_id)

    def get(self, connection_id: str) -> SSEConnection:
        """Return the connection with this id.

        Raises:
            UnknownConnection: there is none.

        """
        if connection_id not in self._connections:
            raise UnknownConnection(connection_id)
        return self._connections[connection_id]

    def all(self, connection_type: str | None = None) -> list[SSEConnection]:
        """Return all connections, or those of one type."""
        everyone = self._connections.values()
        return [each for each in everyone if connection_type in {None, each.connection_type}]

    def add(self, connection: SSEConnection) -> None:
        """Enter a connection under its id, which is free."""
        self._connections[connection.connection_id] = connection
        if logger.isEnabledFor(self._level):
            logger.log(self._level, "connected", extra=_facts(connection))
        opened = Opened(
            connection.connection_id,
            connection.connection_type,
            connection.topics,
            connection.metadata,
            connection.last_event_id,
        )
        self._tell(opened)

    def drop(self, connection: SSEConnection, reason: CloseReason) -> None:
        """End it and forget it, wherever it stands; twice is harmless."""
        connection.end(reason)
        if self._connections.get(connection.connection_id) is not connection:
            return
        del self._connections[connection.connection_id]
        closed = Closed(
            connection.connection_id,
            connection.connection_type,
            connection.topics,
            connection.metadata,
            connection.close_reason or reason,
            connection.age,
            connection.message_count,
        )
        if logger.isEnabledFor(self._level):
            facts = {**_facts(connection), "reason": closed.reason, "duration": closed.duration}
            logger.log(self._level, "disconnected", extra=facts)
        self._tell(closed)

    def stats(self) -> dict[str, Any]:
        """Count: ``total``, ``active``, ``by_type``, ``message_count``, ``dropped``."""
        everyone = self.all()
        return {
            "total": len(everyone),
            "active": sum(each.is_active() for each in everyone),
            "by_type": dict(Counter(each.connection_type for each in everyone)),
            "message_count": sum(each.message_count for each in everyone),
            "dropped": sum(each.subscription.dropped for each in everyone if each.subscription),
        }


def _facts(connection: SSEConnection) -> dict[str, Any]:
    return {
        "connection_id": connection.connection_id,
        "connection_type": connection.connection_type,
        "topics": sorted(connection.topics),
    }
