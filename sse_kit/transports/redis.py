"""The log in Redis (7.0 or newer) or Valkey (7.2 or newer): one stream for each namespace.

The record with offset ``n`` is the stream's entry ``n-0``, so what is trimmed shows by arithmetic.
A script appends a batch (``redis_publish.lua``); a tail waits in XREAD from its cursor, so that
there is nothing to lose when a connection breaks; no PUB/SUB.

A server that comes back with less than it had would give the same offsets to other records. So
each life of a server has an epoch of its own, and the last offset that it has in common with each
earlier one is kept. The script that appends compares lives in every call: a server's cache of
scripts is no proof of a new life, for a primary that was a replica in between still has it.

What the log cannot prevent it tells: entries that something else wrote take an offset and reach
nobody, entries that something else deleted are a gap.
"""

from __future__ import annotations

import json
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import anyio
from pydantic import Field

from sse_kit.errors import EngineRefused, EngineUnavailable, TransportError, TransportNotRunning
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
    Traits,
)
from sse_kit.transports.contact import Contact, sentence
from sse_kit.transports.log import TAIL_BATCH, LogTransport
from sse_kit.transports.presence import SupportsPresence
from sse_kit.transports.redis_connections import Line, Script, Word
from sse_kit.transports.redis_entries import Pace, View, following
from sse_kit.transports.redis_place import Place
from sse_kit.transports.redis_server import SECTIONS, Server
from sse_kit.transports.settings import LogOptions, LogSettings, redacted

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from anyio.abc import TaskGroup

    from sse_kit.config import Retention
    from sse_kit.transports.base import Publication, Record

LIMIT = "proto-max-bulk-len"
MAX_PAYLOAD = 512 * 1024 * 1024
"""Bytes of one word of a command, as that is set if nobody sets it."""

DEFAULT_PAYLOAD = 16 * 1024 * 1024

LONGEST = 100 * 365 * 86_400.0
"""Seconds that a key may be remembered: the server refuses what is beyond the end of its calendar.
"""

BLOCK = 2.0
"""Seconds that a tail waits in the server before it looks by itself."""

GRACE = 1.5
"""Seconds after which the answer to that counts as lost."""

PUBLISH = Script.named("redis_publish.lua")
NODES = Script.named("redis_nodes.lua")


class RedisSettings(LogSettings):
    """The settings of :class:`RedisTransport`.

    ``max_payload``: bytes; what is larger is refused before it is sent. Redis takes 512 MiB, but a
    server, its replicas and its clients hold it several times.
    """

    dedup_window: Annotated[float, Field(ge=0.001, le=LONGEST)] = 120.0
    max_payload: Annotated[int, Field(ge=1, le=MAX_PAYLOAD)] = DEFAULT_PAYLOAD


class _Watch:
    """Waits for what follows ``after``; ends with it, or when there was nothing for a while."""

    def __init__(self, after: Position) -> None:
        self.after = after
        self.done = anyio.Event()
        self.records: tuple[Record, ...] = ()
        self.error: EngineUnavailable | None = None


class RedisTransport(LogTransport, SupportsPresence):
    """Carries messages over Redis or Valkey, on asyncio and on trio.

    ``url`` is ``redis://user:password@host:6379/0``, ``rediss://`` for TLS, ``valkey://`` and
    ``valkeys://`` for the same, or ``unix:///path?db=0``; a ``%`` in a user or password is
    written ``%25``. ``ssl`` says whom to trust, by default whom the system trusts.

    Raises:
        InvalidSetting: a URL or a setting that cannot be used.

    """

    def __init__(
        self,
        url: str,
        *,
        ssl: ssl.SSLContext | None = None,
        max_payload: int = DEFAULT_PAYLOAD,
        **options: Unpack[LogOptions],
    ) -> None:
        settings = RedisSettings(max_payload=max_payload, **options)
        self._place = Place.parse(url, ssl)
        traits = Traits(
            shared=True,
            durable=True,
            dedup_window=settings.dedup_window,
            max_payload=settings.max_payload,
        )
        super().__init__(settings, traits, address=redacted(url))
        self._most = settings.max_payload
        # A question takes up to three answers, and each line bounds its own.
        self.contact = Contact(self.contact.address, timeout=3 * settings.request_timeout)
        prefix = f"{{ssekit:{settings.namespace}}}:"
        self._meta, self._log, self._forks, spare, self._nodes, self._key = (
            f"{prefix}{name}" for name in ("meta", "log", "forks", "spare", "nodes", "k:")
        )
        self._keys = (self._meta, self._log, self._forks, spare)
        self._arguments = (round(settings.dedup_window * 1_000), *_bounds(settings.retention))
        self._pace = Pace(settings.request_timeout)
        self._tasks: TaskGroup
        self._watch: _Watch | None = None
        self._seen: Position | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Connect, and see that the server can be used."""
        tasks = await anyio.create_task_group().__aenter__()
        try:
            patience = self.settings.request_timeout
            self._tasks, self._seen = tasks, None
            lines: list[Line] = []
            self._writer, self._reader, self._waiter = (
                Line(
                    tasks,
                    self._place,
                    address=self.contact.address,
                    timeout=timeout,
                    beside=lines,
                )
                for timeout in (patience, patience, BLOCK + GRACE)
            )
            await self._check()
            yield
        finally:
            # Told of no error: so that the body's own leaves as it is.
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    async def _check(self) -> None:
        (info,) = await self._reader.ask(SECTIONS)
        Server.parse(info).check(self.contact.address)
        await self._check_limit()
        await self._put_in_order()
        await self._look(MAX_OFFSET, 1)  # how large records are, before the first are asked for
        await self._writer.ask(("PING",))
        await self._waiter.ask(("XREAD", "STREAMS", self._log, "$"))

    async def _check_limit(self) -> None:
        """Refuse a server that would cut the connection at a payload which the traits allow."""
        try:
            (found,) = await self._reader.ask(("CONFIG", "GET", LIMIT))
        except EngineRefused:
            return  # not every user, and not every service, may ask
        limit = int(found.get(LIMIT.encode(), MAX_PAYLOAD))
        if limit < self._most:
            remedy = f"set it to {self._most} or more, or give max_payload={limit}"
            raise EngineRefused(self.contact.address, f"{LIMIT} is {limit}", remedy)

    # Messages -----------------------------------------------------------------------------------

    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        """Append a batch in one call of the script."""
        keys = [f"{self._key}{publication.key}" for publication in publications]
        words = [
            word
            for publication in publications
            for word in ("\n".join(publication.topics), publication.payload)
        ]
        epoch, *answers = await self._publish(self._writer, keys, words)
        return [
            Published(Position(epoch.decode(), offset), duplicate=bool(known))
            for offset, known in zip(answers[::2], answers[1::2], strict=True)
        ]

    async def _publish(
        self, line: Line, keys: Sequence[str] = (), words: Sequence[Word] = ()
    ) -> list[Any]:
        return await PUBLISH.run(
            line, (*self._keys, *keys), (secrets.token_urlsafe(6), *self._arguments, *words)
        )

    async def _put_in_order(self) -> None:
        """Publish nothing: the script begins the log, or mends what others did to it."""
        await self._publish(self._reader)

    # History ------------------------------------------------------------------------------------

    async def page(self, after: int, limit: int, /) -> Page:
        """Read records and bounds in one transaction."""
        return (await self._view(after, limit)).page(after)

    async def _view(self, after: int, limit: int, epoch: str = "") -> View:
        view = await self._look(after, limit, epoch)
        if not view.in_order:
            await self._put_in_order()
            view = await self._look(after, limit, epoch)
        return view

    async def _look(self, after: int, limit: int, asked: str = "") -> View:
        with self._pace.asking() as entries:
            count = self._pace.most(limit)
            (epoch, first, last, size), fork, kept, found = await self._reader.view(
                ("HMGET", self._meta, "epoch", "first", "last", "size"),
                ("HGET", self._forks, asked),
                ("XLEN", self._log),
                ("XRANGE", self._log, f"{after + 1}-0", "+", "COUNT", count),
            )
            entries.extend(found)
        self._pace.mean = int(size or 0) / max(1, int(last or 0))
        return View(
            epoch=epoch and epoch.decode(),
            first=int(first or 1),
            last=int(last or 0),
            fork=None if fork is None else int(fork),
            kept=kept,
            entries=entries,
        )

    async def find(self, position: Position, /) -> Position | Gap:
        """Find ``position`` by the forks."""
        view = await self._view(MAX_OFFSET, 1, position.epoch)
        bounds = view.page(MAX_OFFSET).bounds
        fork = bounds.last if position.epoch == bounds.epoch else view.fork
        if fork is None:
            return Gap(GapReason.EPOCH, bounds.start)
        if position.offset > fork:
            # What is trimmed already is part of this gap, not of a second one.
            return Gap(GapReason.AHEAD, Position(bounds.epoch, max(fork, bounds.start.offset)))
        return Position(bounds.epoch, position.offset)

    async def next_page(self, cursor: Position, /) -> Page:
        """Wait in the server for what follows ``cursor``, if that is where the log ends."""
        place = Position(cursor.epoch, cursor.offset)
        if place != self._seen:
            page = await self._ask(self.page, cursor.offset, TAIL_BATCH)
            self._seen = page.bounds.end
            if place != self._seen:
                return page
        watch = self._running_watch(place)
        await watch.done.wait()
        if watch.error is not None:
            self._seen = None
            raise watch.error
        if watch.after != place or not watch.records:
            return await self._ask(self.page, cursor.offset, TAIL_BATCH)
        self.contact.succeeded()
        self._seen = watch.records[-1].position
        return Page(Bounds(place.epoch, place.offset + 1, self._seen.offset), watch.records)

    def _running_watch(self, place: Position) -> _Watch:
        """Return the watch that all tails share; each stands at the end, or will look again."""
        if self._watch is None:
            self._watch = _Watch(place)
            self._tasks.start_soon(self._keep, self._watch)
        return self._watch

    async def _keep(self, watch: _Watch) -> None:
        try:
            watch.records = await self._wait(watch.after)
        except Exception as error:  # noqa: BLE001  told to all who wait
            watch.error = EngineUnavailable(self.contact.address, sentence(error))
        finally:
            self._watch = None
            watch.done.set()

    async def _wait(self, after: Position) -> tuple[Record, ...]:
        """Return what follows; nothing, if that is not simply the next records."""
        with self._pace.asking() as entries:
            blocking = ("COUNT", self._pace.most(TAIL_BATCH), "BLOCK", round(BLOCK * 1_000))
            streams = ("STREAMS", self._log, f"{after.offset}-0")
            (answer,) = await self._waiter.ask(("XREAD", *blocking, *streams))
            entries.extend(answer[self._log.encode()] if answer else [])
        return following(after, entries)

    # Presence -----------------------------------------------------------------------------------

    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        """Say that ``node`` lives; see :class:`SupportsPresence`."""
        words = (node, round(lease * 1_000), json.dumps(counts))
        await self._ask(NODES.run, self._reader, (self._nodes,), words)

    async def leave(self, node: str, /) -> None:
        """Take ``node`` away."""
        await self._ask(self._reader.ask, ("HDEL", self._nodes, node))

    async def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of each node that lives, by the server's clock."""
        living = await self._ask(NODES.run, self._reader, (self._nodes,), ())
        pairs = zip(living[::2], living[1::2], strict=True)
        return {node.decode(): json.loads(counts) for node, counts in pairs}

    # Health -------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Ask for the end of the log, and for what endangers it."""
        health = await super().health()
        if health.status is not HealthStatus.OK:
            return health
        try:
            (info,) = await self._ask(self._reader.ask, SECTIONS)
        except (TransportError, TransportNotRunning) as error:
            return Health(HealthStatus.DOWN, str(error))
        warnings = Server.parse(info).warnings()
        if not warnings:
            return health
        return Health(HealthStatus.DEGRADED, "; ".join((health.detail, *warnings)))


def _bounds(retention: Retention) -> tuple[Word, Word, Word]:
    """Return records, bytes and milliseconds to keep; an empty word is no bound."""
    age = retention.max_age
    milliseconds = None if age is None else max(1, round(age * 1_000))
    bounds = (retention.max_records, retention.max_bytes, milliseconds)
    records, size, time = ("" if bound is None else bound for bound in bounds)
    return records, size, time
