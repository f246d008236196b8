"""A log in PostgreSQL: for those who have one already, and for the strongest promises.

One row of ``sse_kit.log`` is the namespace. A batch locks it, gives the next offsets, stores the
records and commits, in one statement: so the order of offsets is the order of commits, no offset is
a hole, and ``page`` is one statement too, one view. NOTIFY only says that there is something; what,
the tables say. ``postgres.sql`` has all that the server does.

Each life of the log is an epoch of its own, told by when the postmaster started and by the file of
the table. That is more than a timeline tells, which changes with a promotion or a recovery, but not
when an older copy of the data is started, or a dump restored; and it costs nothing, for a position
of an earlier life is translated.

A process has three connections at most: one writes, one reads, one listens.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import anyio

from sse_kit.errors import PayloadTooLarge, TransportError, TransportNotRunning
from sse_kit.transports.base import (
    MAX_OFFSET,
    Bounds,
    Gap,
    GapReason,
    Health,
    HealthStatus,
    Page,
    Position,
    Published,
    Record,
    Traits,
)
from sse_kit.transports.contact import Contact, needs_asyncio, sentence
from sse_kit.transports.log import LogTransport
from sse_kit.transports.postgres_link import STEPS, Link, run_on
from sse_kit.transports.postgres_settings import PostgresSettings, channel_of, servers
from sse_kit.transports.postgres_texts import in_schema
from sse_kit.transports.presence import SupportsPresence
from sse_kit.transports.setup import SupportsSetup
from sse_kit.transports.writer import delays

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from psycopg import AsyncConnection

    from sse_kit.transports.base import Publication
    from sse_kit.transports.postgres_link import Row
    from sse_kit.transports.postgres_settings import PostgresOptions

PAGE_BYTES = 1024 * 1024
"""Of payload and topics, after which a page ends; a single record may be larger."""

PAGE_RECORDS = 2**31 - 1
CHUNK = 2_048
"""Records and keys that are let go in one transaction."""

JANITOR_EVERY = 1.0
"""Seconds between two looks at what is too old."""

PROBE_EVERY = 15.0
"""Seconds after which a connection that heard nothing is asked whether it lives."""

SETUP_TIMEOUT = 60.0
"""Seconds: tables of an older version may be large."""

QUEUE_IS_LONG = 0.1

PUBLISH = "SELECT * FROM sse_kit.publish(%s, %b, %b, %b, %s, %s, %s, %s, %s, %s)"
PAGE = "SELECT * FROM sse_kit.page(%s, %s, %s, %s, %s)"
MAKE = "SELECT epoch FROM sse_kit.lock(%s, %s)"
FIND = "SELECT * FROM sse_kit.find(%s, %s, %s)"
IS_OVER = "SELECT sse_kit.is_over(%s, %s, %s, %s, %s, %s)"
TRIM = "SELECT sse_kit.trim(%s, %s, %s, %s, %s, %s, %s)"
BEAT = "SELECT sse_kit.beat(%s, %s, %s, %s, %s)"
LEAVE = "SELECT sse_kit.leave(%s, %s, %s)"
NODES = "SELECT * FROM sse_kit.nodes(%s, %s)"
WORRIES = b"""
SELECT pg_catalog.pg_notification_queue_usage(), pg_catalog.current_setting('fsync'),
    pg_catalog.current_setting('full_page_writes')
"""


class PostgresTransport(LogTransport, SupportsPresence, SupportsSetup):
    """Carries messages through PostgreSQL 15 or newer, on asyncio.

    ``url`` is what libpq takes: ``postgresql://user:password@host/database?sslmode=verify-full``.
    The tables are made by :meth:`setup`, once.

    Raises:
        InvalidSetting: a value outside its range, or an URL that is none.

    """

    SQL: ClassVar[str] = "".join(STEPS)
    """What :meth:`setup` runs: the tables and functions."""

    def __init__(self, url: str, **options: Unpack[PostgresOptions]) -> None:
        settings = PostgresSettings(url=url, **options)
        self._server, self._listened = servers(settings)
        traits = Traits(
            shared=True,
            durable=True,
            dedup_window=settings.dedup_window,
            max_payload=settings.max_payload,
        )
        super().__init__(settings, traits, address=self._server.address)
        self.poll = settings.poll or (1.0 if settings.notify else 0.1)
        self._channel = channel_of(settings) if settings.notify else None
        self._ear = Contact(f"LISTEN at {self._listened.address}", timeout=settings.request_timeout)
        self._deaf: str | None = None
        self._writer: Link | None = None
        self._reader: Link | None = None

    async def setup(self) -> None:
        """Make the tables, or bring older ones up to date; what is there already is left alone.

        Raises:
            EngineUnavailable: the server does not answer.
            EngineRefused: this role may not, or the tables are of a newer version.

        """
        await Contact(self._server.address, timeout=SETUP_TIMEOUT).ask(self._server.set_up)

    # Lifetime -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect; see :meth:`LogTransport.__aenter__`.

        Raises:
            WrongEventLoop: this is not asyncio.
            EngineRefused: also where there are no tables: :meth:`setup` makes them.

        """
        needs_asyncio(self, "psycopg")
        return await super().__aenter__()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Open the connections, and keep house."""
        self._writer, self._reader = writer, reader = Link(self._server), Link(self._server)
        try:
            with anyio.fail_after(self.settings.request_timeout):
                await self.page(MAX_OFFSET, 1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_house)
                if self._channel is not None:
                    tasks.start_soon(self._listen, self._channel)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self._writer = self._reader = None
            await writer.close()
            await reader.close()

    async def _listen(self, channel: str) -> None:
        pauses = delays()
        while True:
            try:
                with anyio.fail_after(self.settings.request_timeout):
                    connection = await self._listened.open()
                try:
                    with anyio.fail_after(self.settings.request_timeout):
                        await connection.execute(f'LISTEN "{channel}"'.encode())
                    self._deaf = None
                    self._ear.succeeded()
                    pauses = delays()
                    await self._hear(connection)
                finally:
                    await connection.close()
            except Exception as error:  # noqa: BLE001  an outage, told by health
                self._deaf = sentence(error)
                self._ear.failed(error)
            await anyio.sleep(next(pauses))

    async def _hear(self, connection: AsyncConnection[Row]) -> None:
        """Wake the tails, for ever; never in a transaction, which would hold the engine's queue."""
        self.wake()  # for what nobody heard
        while True:
            async for notification in connection.notifies(timeout=PROBE_EVERY):
                if self._writer is None or notification.pid != self._writer.pid:
                    self.wake()
            with anyio.fail_after(self.settings.request_timeout):
                await connection.execute("SELECT 1")

    async def _keep_house(self) -> None:
        """Let go of what is over the limits, also while nobody publishes."""
        keep = self.settings.retention
        limits = (keep.max_records, keep.max_bytes, keep.max_age, self.settings.dedup_window)
        while True:
            with suppress(TransportError):
                await self.contact.ask(self._trim, limits)
            await anyio.sleep(JANITOR_EVERY)

    async def _trim(self, limits: tuple[float | None, ...]) -> None:
        over = await self._read(IS_OVER, *limits)
        while over[0][0]:
            over = await self._read(TRIM, *limits, CHUNK)

    # Messages -----------------------------------------------------------------------------------

    async def publish(
        self, publication: Publication, /, *, connection: AsyncConnection[Any] | None = None
    ) -> Published:
        """Append to the log; see :meth:`Transport.publish`.

        With a ``connection`` of yours it is part of your transaction: rolled back, it was never
        published; committed, it is, at the position that is returned. Until then nobody else can
        publish in this namespace, so let it be the last step. The transport need not be entered.

        Raises:
            psycopg.Error: the transaction failed; only with a ``connection``.

        """
        if connection is None:
            return await super().publish(publication)
        limit = self._traits.max_payload
        if limit is not None and len(publication.payload) > limit:
            raise PayloadTooLarge(len(publication.payload), limit)
        query, parameters = self._publishing([publication], patience=None)
        return _published(await run_on(connection, query, parameters))[0]

    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        """Store publications in one statement, and so in one transaction."""
        query, parameters = self._publishing(publications, patience=self._server.patience)
        if self._writer is None:
            raise TransportNotRunning
        return _published(await self._writer.ask(query, parameters))

    def _publishing(
        self, publications: Sequence[Publication], *, patience: int | None
    ) -> tuple[bytes, tuple[object, ...]]:
        keep = self.settings.retention
        return in_schema(PUBLISH, self._server.schema), (
            self.settings.namespace,
            ["\n".join(publication.topics) for publication in publications],
            [publication.payload for publication in publications],
            [publication.key for publication in publications],
            self.settings.dedup_window,
            keep.max_records,
            keep.max_bytes,
            keep.max_age,
            self._channel,
            patience,
        )

    # History ------------------------------------------------------------------------------------

    async def page(self, after: int, limit: int, /) -> Page:
        """Read in one statement: records and bounds are one view."""
        what = (after, min(limit, PAGE_RECORDS), PAGE_BYTES)
        rows = await self._read(PAGE, *what)
        if not rows:  # a new log, or one whose row somebody deleted
            await self._read(MAKE)
            rows = await self._read(PAGE, *what)
        epoch, first, last, offset, _, _ = rows[0]
        found = rows if offset is not None else ()
        records = (
            Record(Position(epoch, offset), tuple(topics.split("\n")), payload)
            for _, _, _, offset, topics, payload in found
        )
        return Page(Bounds(epoch, first, last), tuple(records))

    async def find(self, position: Position, /) -> Position | Gap:
        """Find ``position``, which may be of an earlier life of the server."""
        epoch, first, last, common = (await self._read(FIND, position.epoch))[0]
        if common is None:
            return Gap(GapReason.EPOCH, Bounds(epoch, first, last).start)
        if position.offset > common:
            # What is trimmed already is part of this gap, not of a second one.
            return Gap(GapReason.AHEAD, Position(epoch, max(common, first - 1)))
        return Position(epoch, position.offset)

    # Presence -----------------------------------------------------------------------------------

    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        """Say that ``node`` lives."""
        await self._ask(self._read, BEAT, node, json.dumps(dict(counts)), lease)

    async def leave(self, node: str, /) -> None:
        """Take ``node`` away."""
        await self._ask(self._read, LEAVE, node)

    async def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of each node that lives, by the server's clock."""
        rows = await self._ask(self._read, NODES)
        return {node: json.loads(counts) for node, counts in rows}

    # Health -------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Ask the server how it is, and for settings that lose what was acknowledged."""
        health = await super().health()
        if health.status is not HealthStatus.OK:
            return health
        try:
            usage, fsync, full_pages = (await self._ask(self._ask_reader, WORRIES))[0]
        except TransportError as error:
            return Health(HealthStatus.DOWN, str(error))
        worries: list[str] = []
        if self._deaf is not None:
            worries.append(
                f"NOTIFY is not heard, each record may take {self.poll:g} s ({self._deaf})"
            )
        if usage > QUEUE_IS_LONG:
            worries.append(
                f"the queue of NOTIFY is {usage:.0%} full: end who listens in a transaction"
            )
        if "off" in (fsync, full_pages):
            worries.append(
                "a crash of the machine loses messages: set fsync, full_page_writes = on"
            )
        return Health(HealthStatus.DEGRADED, "; ".join(worries)) if worries else health

    async def _read(self, query: str, *parameters: object) -> list[Row]:
        """Ask about this namespace."""
        query_here = in_schema(query, self._server.schema)
        what = (self.settings.namespace, *parameters, self._server.patience)
        return await self._ask_reader(query_here, what)

    async def _ask_reader(self, query: bytes, parameters: Sequence[object] = ()) -> list[Row]:
        if self._reader is None:
            raise TransportNotRunning
        return await self._reader.ask(query, parameters)


def _published(rows: list[Row]) -> list[Published]:
    epoch, offsets, duplicates = rows[0]
    return [
        Published(Position(epoch, offset), duplicate)
        for offset, duplicate in zip(offsets, duplicates, strict=True)
    ]
