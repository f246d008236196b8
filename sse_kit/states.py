"""The states of a connection, the facts of each, and the one table of legal moves.

Theory of operation. A server's connection is ``connecting`` until its response has started, then
``connected``; or ``reconnecting``, if the client came with a Last-Event-ID, until it has been sent
all that it missed. A client's connection starts the same way, falls back to ``reconnecting`` when
the stream breaks, and may start again after ``error`` and ``disconnected``. For a server both are
the end of this connection: a client that comes back is a new one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sse_kit.errors import IllegalMove


class ConnectionState(StrEnum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ERROR = "error"
    RECONNECTING = "reconnecting"


class Role(StrEnum):
    """Whose end of the connection it is."""

    SERVER = "server"
    CLIENT = "client"


class CloseReason(StrEnum):
    """Why a stream ended."""

    FINISHED = "finished"
    """The content came to its end."""

    CLOSED = "closed"
    """``connection.close()``, or ``registry.remove_connection``."""

    CLIENT_LEFT = "client_left"
    """The client went away."""

    REPLACED = "replaced"
    """A new stream took over the connection id."""

    DRAINED = "drained"
    """``registry.drain()``: the client was told to come back later."""

    SERVER_STOP = "server_stop"
    """The server was told to stop, or the registry was left."""

    LIFETIME = "lifetime"
    """The stream reached its longest lifetime."""

    LIMIT = "limit"
    """Refused: the process has as many connections as it may."""

    REVOKED = "revoked"
    """The authoriser said no."""

    KICKED = "kicked"
    """Somebody in charge ended it: the client is told to stay away."""

    SEND_TIMEOUT = "send_timeout"
    """The client did not read."""

    OVERFLOW = "overflow"
    """The client read too slowly for a stream that has ``Disconnect`` as its policy."""

    ERROR = "error"
    """The content, or a message to the connection, failed."""


ACTIVE = frozenset(
    {ConnectionState.CONNECTING, ConnectionState.CONNECTED, ConnectionState.RECONNECTING}
)


def _now() -> datetime:
    return datetime.now(UTC)


class _Status(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime = Field(default_factory=_now)


class Connecting(_Status):
    """The response has not started."""

    state: Literal[ConnectionState.CONNECTING] = ConnectionState.CONNECTING


class Connected(_Status):
    """Live; ``resumed_from`` is the Last-Event-ID it came with, if any."""

    state: Literal[ConnectionState.CONNECTED] = ConnectionState.CONNECTED
    resumed_from: str | None = None


class Disconnected(_Status):
    """Ended in good order."""

    state: Literal[ConnectionState.DISCONNECTED] = ConnectionState.DISCONNECTED
    reason: CloseReason = CloseReason.CLOSED


class Errored(_Status):
    """Ended because something failed; ``error`` is a sentence."""

    state: Literal[ConnectionState.ERROR] = ConnectionState.ERROR
    reason: CloseReason = CloseReason.ERROR
    error: str


class Reconnecting(_Status):
    """Catching up after ``resumes_from``, the Last-Event-ID."""

    state: Literal[ConnectionState.RECONNECTING] = ConnectionState.RECONNECTING
    resumes_from: str = ""


Status = Annotated[
    Connecting | Connected | Disconnected | Errored | Reconnecting, Field(discriminator="state")
]
"""The state with its own facts; ``since`` is when it was entered (aware, UTC)."""

_S = ConnectionState
_BOTH = frozenset(Role)
_CLIENT = frozenset({Role.CLIENT})

MOVES: dict[ConnectionState, dict[ConnectionState, frozenset[Role]]] = {
    _S.CONNECTING: {
        _S.CONNECTED: _BOTH,
        _S.RECONNECTING: _BOTH,
        _S.ERROR: _BOTH,
        _S.DISCONNECTED: _BOTH,
    },
    _S.CONNECTED: {
        _S.RECONNECTING: _CLIENT,
        _S.ERROR: _BOTH,
        _S.DISCONNECTED: _BOTH,
    },
    _S.RECONNECTING: {
        _S.CONNECTED: _BOTH,
        _S.ERROR: _BOTH,
        _S.DISCONNECTED: _BOTH,
    },
    _S.ERROR: {
        _S.CONNECTING: _CLIENT,
        _S.DISCONNECTED: _BOTH,
    },
    _S.DISCONNECTED: {
        _S.CONNECTING: _CLIENT,
    },
}
"""``MOVES[source][target]``: the roles that may go there. What is not here is illegal."""


STATUS: dict[ConnectionState, type[Status]] = {
    _S.CONNECTING: Connecting,
    _S.CONNECTED: Connected,
    _S.DISCONNECTED: Disconnected,
    _S.ERROR: Errored,
    _S.RECONNECTING: Reconnecting,
}
"""The model of each state."""


def check_move(role: Role, source: ConnectionState, target: ConnectionState) -> None:
    """Refuse a move that a connection in that role may not make.

    Raises:
        IllegalMove: the table has no such move.

    """
    if role not in MOVES[source].get(target, frozenset()):
        raise IllegalMove(role.value, source.value, target.value)


class ConnectionInfo(BaseModel):
    """A connection described to the outside.

    ``lag`` counts records of the log behind the head, ``dropped`` what a policy left out.
    """

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
    dropped: int
