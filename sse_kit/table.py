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
        self._ended = Ended()

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
        self._ended.note(connection, reason)
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

    def active(self) -> dict[str, int]:
        """Count the active connections by type."""
        return dict(Counter(each.connection_type for each in self.all() if each.is_active()))

    def stats(self) -> dict[str, Any]:
        """Count: ``total``, ``active``, ``by_type``, ``message_count``, ``dropped``, ``ended``."""
        everyone = self.all()
        return {
            "total": len(everyone),
            "active": sum(each.is_active() for each in everyone),
            "by_type": dict(Counter(each.connection_type for each in everyone)),
            "message_count": sum(each.message_count for each in everyone),
            "dropped": sum(map(_dropped, everyone)),
            "ended": self._ended.stats(),
        }


class Ended:
    """What is remembered of the connections that are gone: counts, which only grow."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()
        self._messages = self._dropped = 0

    def note(self, connection: SSEConnection, reason: CloseReason) -> None:
        """Count one, which was dropped for ``reason`` if it had not ended before."""
        self._reasons[connection.close_reason or reason] += 1
        self._messages += connection.message_count
        self._dropped += _dropped(connection)

    def stats(self) -> dict[str, Any]:
        """Count: ``total``, ``by_reason``, ``message_count``, ``dropped``."""
        return {
            "total": self._reasons.total(),
            "by_reason": dict(self._reasons),
            "message_count": self._messages,
            "dropped": self._dropped,
        }


def _dropped(connection: SSEConnection) -> int:
    follows = connection.subscription
    return 0 if follows is None else follows.dropped


def _facts(connection: SSEConnection) -> dict[str, Any]:
    return {
        "connection_id": connection.connection_id,
        "connection_type": connection.connection_type,
        "topics": sorted(connection.topics),
    }
