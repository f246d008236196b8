"""Server-Sent Events for Python: typed, lossless, from one process to a cluster."""

from importlib import import_module
from typing import TYPE_CHECKING

from sse_kit.asgi import last_event_id
from sse_kit.codec import StreamDecoder, encode
from sse_kit.config import CatchUp, Disconnect, DropOldest, NewestOnly, Retention
from sse_kit.connection import SSEConnection
from sse_kit.errors import SSEKitError
from sse_kit.hooks import Closed, Hooks, MessagePublished, Opened
from sse_kit.messages import ReceivedMessage, SSEMessage
from sse_kit.outgoing import publication
from sse_kit.registry import ConnectionRegistry
from sse_kit.starlette import EventSourceResponse, StreamClosed
from sse_kit.states import CloseReason, ConnectionInfo, ConnectionState
from sse_kit.transports.base import Gap, GapReason, Position, SupportsReplay, Transport
from sse_kit.transports.memory import MemoryTransport
from sse_kit.transports.memory_log import MemoryLog
from sse_kit.transports.presence import SupportsPresence

if TYPE_CHECKING:
    from sse_kit.fasthtml import (
        cleanup_sse_on_unload,
        create_connection_manager_script,
        create_reconnection_script,
        create_sse_element,
    )
    from sse_kit.transports.urls import transport_from_url
else:
    # FastHTML takes half a second to import, engines need their clients: only who asks does that.
    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value


_LAZY = {
    "cleanup_sse_on_unload": "sse_kit.fasthtml",
    "create_connection_manager_script": "sse_kit.fasthtml",
    "create_reconnection_script": "sse_kit.fasthtml",
    "create_sse_element": "sse_kit.fasthtml",
    "transport_from_url": "sse_kit.transports.urls",
}

__all__ = (
    "CatchUp",
    "CloseReason",
    "Closed",
    "ConnectionInfo",
    "ConnectionRegistry",
    "ConnectionState",
    "Disconnect",
    "DropOldest",
    "EventSourceResponse",
    "Gap",
    "GapReason",
    "Hooks",
    "MemoryLog",
    "MemoryTransport",
    "MessagePublished",
    "NewestOnly",
    "Opened",
    "Position",
    "ReceivedMessage",
    "Retention",
    "SSEConnection",
    "SSEKitError",
    "SSEMessage",
    "StreamClosed",
    "StreamDecoder",
    "SupportsPresence",
    "SupportsReplay",
    "Transport",
    "cleanup_sse_on_unload",
    "create_connection_manager_script",
    "create_reconnection_script",
    "create_sse_element",
    "encode",
    "last_event_id",
    "publication",
    "transport_from_url",
)
