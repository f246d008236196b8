"""All connections of this process, and the fan-out to them."""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import anyio
from anyio import get_cancelled_exc_class

from sse_kit.admission import Admission, Wanted
from sse_kit.asgi import last_event_id
from sse_kit.config import DrainSettings, Options, RegistrySettings
from sse_kit.connection import SSEConnection
from sse_kit.errors import (
    DuplicateConnection,
    NoPresence,
    PublishFailed,
    RegistryNotRunning,
)
from sse_kit.hooks import Hooks, MessagePublished
from sse_kit.lifespan import Lifespan, Reenterable
from sse_kit.messages import SSEMessage
from sse_kit.outgoing import publication, sendable, topics_of
from sse_kit.overflow import CATCH_UP, policies_of
from sse_kit.runtime import running
from sse_kit.starlette import EventSourceResponse, TopicResponse, json_endpoint
from sse_kit.states import CloseReason
from sse_kit.table import ConnectionTable
from sse_kit.transports.memory import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable, Mapping

    from sse_kit.admission import HasScope
    from sse_kit.config import Overflow
    from sse_kit.hooks import Closed, Opened
    from sse_kit.leases import Authorise
    from sse_kit.overflow import Policies
    from sse_kit.runtime import Runtime
    from sse_kit.transports.base import Position, Transport


class ConnectionRegistry(Reenterable):
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
        self.debug = debug
        self._hooks = hooks or Hooks()
        self._runtime: Runtime | None = None
        super().__init__()
        level = logging.INFO if debug else logging.DEBUG
        self._table = ConnectionTable(level=level, tell=self._tell)
        self._admission = Admission(self.settings, self._table, follow=self._follow)
        self.wait_closed = self._admission.wait_closed
        self.stats_endpoint = json_endpoint(self.get_stats)

    # Lifetime --------------------------------------------------------------------------------

    @asynccontextmanager
    async def _live(self) -> AsyncGenerator[None, None]:
        """Enter the transport and follow its log; end every stream afterwards.

        Raises:
            TransportError: the engine cannot be used.

        """
        leases = self._admission.leases
        async with running(
            self.transport, self.settings, leases, hooks=self._hooks, count=self._table.active
        ) as runtime:
            self._runtime = runtime
            self._admission.open(runtime.dispatcher)
            try:
                yield
                await self._admission.end()
                await runtime.hooks.finish()
            finally:
                self._runtime = None

    def lifespan(self, app: object = None) -> Lifespan:  # noqa: ARG002  what frameworks pass
        """Return what frameworks take as ``lifespan``: pass this method itself."""
        return Lifespan(self)

    def close(self) -> None:
        """End every stream, and send new ones away; from any thread or signal, returns at once.

        For servers that stop without a signal to the main thread: see :mod:`sse_kit.shutdown`.
        What shall end with the streams awaits ``wait_closed()``.
        """
        if self._runtime is not None:
            self._runtime.call_soon(partial(self._admission.close, CloseReason.SERVER_STOP))

    async def drain(self, *, spread: float = 5.0, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Say goodbye to every stream, and wait up to ``timeout`` seconds until all are gone.

        Each client is asked to come back after a time of its own, over ``spread`` seconds; a new
        stream is sent away in the same manner until the registry is entered again.

        Raises:
            InvalidSetting: a ``spread`` that is not between 0 and a day, a negative ``timeout``.

        """
        how = DrainSettings(spread=spread, timeout=timeout)
        self._admission.close(CloseReason.DRAINED, spread=round(how.spread * 1000))
        with anyio.move_on_after(how.timeout):
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
        overflow: Overflow | Mapping[str, Overflow] = CATCH_UP,
    ) -> EventSourceResponse:
        """Return the response that streams ``topics`` to this client, from where it left off.

        A ``connection_id`` that is in use is taken over: the old stream ends. ``authorise`` is
        asked before the stream starts (no: 403; no answer: the client is asked to come back) and at
        every heartbeat (no, or no answer: the stream ends). ``overflow``: what to do if the client
        reads too slowly, by event name or for all. Only a running response is a connection.

        Raises:
            RegistryNotRunning: the registry was not entered.
            InvalidTopic: no topic, or one that is not a line of text.
            InvalidInput: an id or a type that is not a line of text; an ``overflow`` that is none.

        """
        self._running("stream()")
        wanted = Wanted(
            connection_id=connection_id,
            connection_type=connection_type,
            topics=topics_of(topics),
            metadata=metadata,
            last_event_id=last_event_id(request.scope),
            settings=self.settings,
            policies=policies_of(overflow),
            authorise=authorise,
        )
        return TopicResponse(self._admission, wanted, self.settings)

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
            InvalidInput: a ``key`` that is not a line of 1 to 256 bytes; nothing was sent.
            NotPublishable: a message with an ``id``, or with a reserved event name.
            PublishFailed, PayloadTooLarge: by the transport.

        """
        runtime = self._running("publish()")
        message = sendable(value, event=event)
        sent = publication(topic, message, key=key)
        published = await self.transport.publish(sent)
        if self._runtime is runtime:
            told = MessagePublished(
                published.position, sent.topics, message.event, published.duplicate
            )
            runtime.hooks.tell(told)
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
            RegistryNotRunning: the registry was not entered, or its event loop is over.
            PublishFailed: its event loop ended meanwhile; and all else that ``publish`` raises.

        """
        runtime = self._running("publish_from_thread()")
        key = secrets.token_hex(16) if key is None else key

        async def publish() -> Position:
            try:
                return await self.publish(topic, value, event=event, key=key)
            except get_cancelled_exc_class() as error:
                raise PublishFailed(key, "the event loop is over") from error

        return runtime.run_from_thread("publish_from_thread()", publish)

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

    async def add_connection(  # noqa: PLR0913  the first four are the origin's
        self,
        conn_id: str | None = None,
        conn_type: str = "global",
        queue_size: int = 100,
        metadata: Mapping[str, Any] | None = None,
        *,
        topics: Collection[str] = (),
        overflow: Overflow | Mapping[str, Overflow] = CATCH_UP,
    ) -> SSEConnection:
        """Add a connection without HTTP: ``async for message in connection``.

        It stays until :meth:`remove_connection`, or until the registry is left. Topics need a
        running registry; ``overflow`` is that of :meth:`stream`.

        Raises:
            DuplicateConnection: ``conn_id`` is in use.
            InvalidInput: an id, a type or a topic that is not a line of text.
            RegistryNotRunning: topics, and the registry was not entered.

        """
        policies = policies_of(overflow)
        conn_id = self._table.next_id(conn_type) if conn_id is None else conn_id
        if self._table.find(conn_id) is not None:
            raise DuplicateConnection(conn_id)
        connection = SSEConnection(
            conn_id,
            connection_type=conn_type,
            topics=topics_of(topics) if topics else (),
            metadata=metadata,
            queue_size=queue_size,
            queue_bytes=self.settings.queue_bytes,
        )
        self._admission.add(connection, policies)
        connection.opened()
        return connection

    async def remove_connection(
        self, conn_id: str, reason: CloseReason = CloseReason.CLOSED
    ) -> None:
        """End a connection and forget it; unknown ids are ignored. ``KICKED`` asks to stay away."""
        if (connection := self._table.find(conn_id)) is not None:
            self._admission.drop(connection, reason)

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
        """Count what there is, what has ``ended``, and what the ``hub`` knows (README)."""
        hub = None if self._runtime is None else self._runtime.stats()
        return {**self._table.stats(), "hub": hub}

    async def cluster_stats(self) -> dict[str, Any]:
        """Count ``nodes`` (processes), ``active`` connections and these ``by_type``, everywhere.

        Every process of the transport's namespace tells its own, under a lease of
        ``presence_lease`` seconds: one that crashed is counted for that long.

        Raises:
            RegistryNotRunning: the registry was not entered.
            NoPresence: the transport cannot count across processes.
            TransportError: the engine does not answer.

        """
        presence = self._running("cluster_stats()").presence
        if presence is None:
            raise NoPresence(type(self.transport).__name__)
        return await presence.stats()

    # Inside ----------------------------------------------------------------------------------

    def _running(self, call: str) -> Runtime:
        if self._runtime is None:
            raise RegistryNotRunning(call)
        return self._runtime

    def _follow(self, connection: SSEConnection, policies: Policies | None) -> None:
        self._running("a connection with topics").follow(connection, policies)

    def _tell(self, event: Opened | Closed) -> None:
        if self._runtime is not None:
            self._runtime.hooks.tell(event)
