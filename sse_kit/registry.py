"""All connections of this process, and the fan-out to them."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, Unpack

import anyio
from anyio import from_thread

from sse_kit.admission import Admission, Wanted
from sse_kit.asgi import last_event_id
from sse_kit.codec import dump_payload
from sse_kit.config import Options, RegistrySettings
from sse_kit.connection import SSEConnection
from sse_kit.errors import (
    DuplicateConnection,
    RegistryNotRunning,
    RegistryRunning,
    WrongThread,
)
from sse_kit.hooks import Hooks, MessagePublished
from sse_kit.lifespan import Lifespan
from sse_kit.messages import SSEMessage, check_topic
from sse_kit.outgoing import refuse_control
from sse_kit.runtime import running
from sse_kit.shutdown import call_soon
from sse_kit.starlette import EventSourceResponse, TopicResponse, json_endpoint
from sse_kit.states import CloseReason
from sse_kit.table import ConnectionTable
from sse_kit.transports.base import Publication
from sse_kit.transports.memory import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, MutableMapping
    from types import TracebackType

    from sse_kit.hooks import Hook
    from sse_kit.leases import Authorise
    from sse_kit.runtime import Runtime
    from sse_kit.transports.base import Position, Transport

logger = logging.getLogger("sse_kit")

STOP_PATIENCE = 2.0
"""Seconds that streams get to end when the registry is left."""


class HasScope(Protocol):
    """A request: Starlette's, FastAPI's, FastHTML's, or whatever carries an ASGI scope."""

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope."""
        ...


class ConnectionRegistry:
    """All connections of this process; lives as long as the app: ``async with``, or ``lifespan``.

    ``transport`` carries the messages (None: a ``MemoryTransport`` of its own); ``heartbeat`` in
    seconds; ``options`` are those of :class:`~sse_kit.config.RegistrySettings`. ``debug``
    logs every connection at INFO instead of DEBUG; payloads are never logged.

    Raises:
        InvalidSetting: a setting outside its range, or unknown.

    """

    def __init__(
        self,
        transport: Transport | None = None,
        *,
        heartbeat: float = 15.0,
        hooks: Hooks | None = None,
        debug: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self.settings = RegistrySettings(heartbeat=heartbeat, **options)
        self.transport: Transport = MemoryTransport() if transport is None else transport
        self._hooks = hooks or Hooks()
        self._runtime: Runtime | None = None
        self._stack: AsyncExitStack | None = None
        self._table = ConnectionTable(
            level=logging.INFO if debug else logging.DEBUG,
            opened=partial(self._tell, self._hooks.connected),
            closed=partial(self._tell, self._hooks.disconnected),
        )
        self._admission = Admission(self.settings, self._table, follow=self._follow)
        self.stats_endpoint = json_endpoint(self.get_stats)

    # Lifetime --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Enter the transport and follow its log.

        Raises:
            RegistryRunning: it was entered already.
            TransportError: the engine cannot be used.

        """
        if self._stack is not None:
            raise RegistryRunning
        async with AsyncExitStack() as stack:
            parts = running(self.transport, self.settings, self._admission.leases)
            self._runtime = await stack.enter_async_context(parts)
            self._admission.closing = None
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every stream and let go of everything; the registry may be entered again."""
        if self._stack is None:
            return
        self.close()
        with anyio.move_on_after(STOP_PATIENCE, shield=True):
            await self._admission.wait_until_gone()
        for connection in self._table.all():
            self._admission.drop(connection, CloseReason.SERVER_STOP)
        stack, self._stack, self._runtime = self._stack, None, None
        await stack.__aexit__(exc_type, exc, traceback)

    def lifespan(self, app: object = None) -> Lifespan:  # noqa: ARG002  what frameworks pass
        """Return what frameworks take as ``lifespan``: pass this method itself."""
        return Lifespan(self)

    def close(self) -> None:
        """End every stream, and send new ones away; from any thread, returns at once.

        For servers that stop without a signal to this process's main thread; see
        :mod:`sse_kit.shutdown`.
        """
        runtime = self._runtime
        if runtime is not None and threading.get_ident() != runtime.thread:
            call_soon(runtime.token, self.close)
            return
        self._admission.close(CloseReason.SERVER_STOP)

    async def drain(self, *, spread: float = 5.0, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Say goodbye to every stream, and wait up to ``timeout`` seconds until all are gone.

        Each client is asked to come back after a time of its own, over ``spread`` seconds; a new
        stream is sent away in the same manner until the registry is entered again.
        """
        self._admission.close(CloseReason.DRAINED, spread=round(spread * 1000))
        with anyio.move_on_after(timeout):
            await self._admission.wait_until_gone()

    # Streams ---------------------------------------------------------------------------------

    def stream(  # noqa: PLR0913  all but the first two by keyword
        self,
        request: HasScope,
        topics: Iterable[str],
        *,
        connection_type: str = "global",
        metadata: Mapping[str, Any] | None = None,
        connection_id: str | None = None,
        authorise: Authorise | None = None,
    ) -> EventSourceResponse:
        """Return the response that streams ``topics`` to this client, from where it left off.

        A ``connection_id`` that is in use is taken over: the old stream ends. ``authorise`` is
        asked before the stream starts (no: 403) and at every heartbeat (no: the stream ends). The
        connection exists only while the response runs.

        Raises:
            RegistryNotRunning: the registry was not entered.
            InvalidTopic: no topic, or one that is not a line of text.

        """
        self._running("stream()")
        queue_size = self.settings.queue_size
        wanted = Wanted(
            connection_id, connection_type, _topics(topics), metadata, queue_size, authorise
        )
        # A bad argument fails here, in the route, not when the response is run.
        wanted.make(connection_id or "checked")
        enter = partial(self._admission.streaming, wanted, last_event_id(request.scope))
        return TopicResponse(enter, self.settings)

    # Messages --------------------------------------------------------------------------------

    async def publish(
        self,
        topic: str | tuple[str, ...],
        value: object,
        *,
        event: str | None = None,
        key: str | None = None,
    ) -> Position:
        """Append a message to the log, for whoever follows ``topic`` or one of several.

        ``value`` is what :meth:`SSEMessage.of` takes. Returns once the transport took it; waits for
        no client. With a ``key`` of yours a repeated call is stored once.

        Raises:
            RegistryNotRunning: the registry was not entered.
            InvalidTopic, InvalidMessage: what cannot be published; nothing was sent.
            NotPublishable: a message with an ``id``, or with a reserved event name.
            PublishFailed, PayloadTooLarge: by the transport.

        """
        self._running("publish()")
        message = refuse_control(SSEMessage.of(value, event=event))
        topics = _topics(topic)
        payload = dump_payload(message)
        publication = Publication(topics, payload, key or secrets.token_hex(16))
        published = await self.transport.publish(publication)
        told = MessagePublished(published.position, topics, message.event, published.duplicate)
        self._tell(self._hooks.published, told)
        return published.position

    def publish_from_thread(
        self,
        topic: str | tuple[str, ...],
        value: object,
        *,
        event: str | None = None,
        key: str | None = None,
    ) -> Position:
        """Publish from any thread but the event loop's; blocks until the transport took it.

        Raises:
            WrongThread: called from the event loop's own thread.
            RegistryNotRunning: the registry was not entered.

        """
        runtime = self._running("publish_from_thread()")
        if threading.get_ident() == runtime.thread:
            raise WrongThread("publish_from_thread()", "use 'await registry.publish(…)'")
        publish = partial(self.publish, topic, value, event=event, key=key)
        return from_thread.run(publish, token=runtime.token)

    async def send(self, connection_id: str, value: object, *, event: str | None = None) -> bool:
        """Give a message to one connection of this process; see :meth:`SSEConnection.send`.

        Raises:
            UnknownConnection: nobody here has this id.

        """
        return await self._table.get(connection_id).send(SSEMessage.of(value, event=event))

    def position(self) -> Position:
        """Return the local head: what a page rendered now may connect from.

        Raises:
            RegistryNotRunning: the registry was not entered.

        """
        return self._running("position()").hub.position

    # Connections -----------------------------------------------------------------------------

    async def add_connection(
        self,
        conn_id: str | None = None,
        conn_type: str = "global",
        queue_size: int = 100,
        metadata: Mapping[str, Any] | None = None,
        *,
        topics: Collection[str] = (),
    ) -> SSEConnection:
        """Add a connection without HTTP: ``async for message in connection``.

        It stays until :meth:`remove_connection`. Topics need a running registry.

        Raises:
            DuplicateConnection: ``conn_id`` is in use.
            RegistryNotRunning: topics, and the registry was not entered.

        """
        conn_id = conn_id or self._table.next_id(conn_type)
        if self._table.find(conn_id) is not None:
            raise DuplicateConnection(conn_id)
        connection = SSEConnection(
            conn_id,
            connection_type=conn_type,
            topics=_topics(topics) if topics else (),
            metadata=metadata,
            queue_size=queue_size,
        )
        if connection.topics:
            self._running("add_connection(topics=…)")
        self._admission.add(connection)
        connection.opened()
        return connection

    async def remove_connection(self, conn_id: str) -> None:
        """End a connection and forget it; unknown ids are ignored."""
        connection = self._table.find(conn_id)
        if connection is not None:
            self._admission.drop(connection, CloseReason.CLOSED)

    def get_connection(self, conn_id: str) -> SSEConnection | None:
        """Return the connection with this id."""
        return self._table.find(conn_id)

    def get_connections(self, conn_type: str | None = None) -> list[SSEConnection]:
        """Return all connections, or those of one type, oldest first."""
        return self._table.all(conn_type)

    def get_active_connections(self, conn_type: str | None = None) -> list[SSEConnection]:
        """Return those that are connecting, connected or catching up."""
        return [each for each in self.get_connections(conn_type) if each.is_active()]

    def get_stats(self) -> dict[str, Any]:
        """Count: ``total``, ``active``, ``by_type``, ``message_count``, and ``hub``."""
        hub = None
        if self._runtime is not None:
            hub = self._runtime.hub.statistics()._asdict()
            hub["position"] = str(hub["position"])
        return {**self._table.stats(), "hub": hub}

    # Inside ----------------------------------------------------------------------------------

    def _running(self, call: str) -> Runtime:
        if self._runtime is None:
            raise RegistryNotRunning(call)
        return self._runtime

    def _tell(self, hook: Hook[Any] | None, event: object) -> None:
        if self._runtime is not None:
            self._runtime.tell(hook, event)

    def _follow(self, connection: SSEConnection) -> None:
        self._running("following topics").follow(connection)


def _topics(topics: str | Iterable[str]) -> tuple[str, ...]:
    """Return checked topics, each once; one topic may be given by itself."""
    listed = [topics] if isinstance(topics, str) else list(topics)
    return tuple(dict.fromkeys(map(check_topic, listed or [""])))
