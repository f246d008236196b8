"""NATS JetStream: one stream for each namespace, asyncio only.

Whoever has published a batch wakes the others with an empty message, and they read; a wake-up that
is lost costs :attr:`NatsTransport.poll` seconds. What a stream looks like is in
:mod:`~sse_kit.transports.nats_stream`, how it is read in :mod:`~sse_kit.transports.nats_log`, and
what becomes of a lost connection in :mod:`~sse_kit.transports.nats_link`.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

import anyio
from pydantic import ValidationError

from sse_kit.errors import (
    InvalidSetting,
    PayloadTooLarge,
    TransportError,
    TransportNotRunning,
)
from sse_kit.transports.base import Health, HealthStatus, Page, Position, Traits
from sse_kit.transports.contact import needs_asyncio
from sse_kit.transports.log import CLOSE_TIMEOUT, TAIL_BATCH, LogTransport
from sse_kit.transports.nats_client import servers_of, without_user
from sse_kit.transports.nats_link import ApiError, Link, NoStream, Request, answer_of
from sse_kit.transports.nats_log import NOT_FOUND, NatsLog, listed
from sse_kit.transports.nats_stream import (
    RESERVED,
    SECOND,
    Beat,
    Names,
    NatsOptions,
    NatsSettings,
    bounds_of,
    nanoseconds,
    nodes_config,
    size_of,
)
from sse_kit.transports.presence import SupportsPresence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from sse_kit.transports.base import Gap, Publication, Published
    from sse_kit.transports.nats_stream import Json

MANY = 1000
"""Nodes that are read at once."""


class NatsTransport(LogTransport, SupportsPresence):
    """Carries messages over NATS JetStream (nats-server 2.11 or later); asyncio only.

    ``url`` is ``nats://[user:password@|token@]host[:port]`` or ``tls://…``, or several servers of
    a cluster, separated by commas; who we are is the same for all.

    Raises:
        InvalidSetting: a URL of another kind, or a setting outside its range.

    """

    def __init__(self, url: str, **options: Unpack[NatsOptions]) -> None:
        settings = self.nats = NatsSettings(**options)
        self._servers = servers_of(url)
        _check(settings)
        self._names = Names(settings.namespace)
        traits = Traits(
            shared=True,
            durable=settings.storage == "file",
            dedup_window=settings.window,
            max_payload=settings.max_size - RESERVED,
        )
        address = ",".join(map(without_user, self._servers))
        super().__init__(settings, traits, address=address)
        self._current: NatsLog | None = None
        # Where the log ended, and how often this had been woken then: nobody told of more since.
        self._end_seen: tuple[Position, int] | None = None

    # Lifetime -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect; see :meth:`LogTransport.__aenter__`.

        Raises:
            WrongEventLoop: this is not asyncio, on which nats-py runs.

        """
        needs_asyncio(self, "nats-py")
        return await super().__aenter__()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Connect, make the stream or see that it is ours, and stay connected."""
        settings = self.nats
        link = Link(
            self._servers,
            self.contact,
            timeout=settings.request_timeout,
            tls=settings.ssl,
            credentials=None if settings.credentials is None else str(settings.credentials),
            subject=self._names.wake,
            wake=self.wake,
        )
        await link.connect()
        try:
            log = NatsLog(link, self._names, settings, address=self.contact.address)
            with anyio.fail_after(settings.request_timeout):
                await log.prepare()
            self._current = log
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(link.run)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self._current = None
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await link.close()

    @property
    def _log(self) -> NatsLog:
        if self._current is None:
            raise TransportNotRunning
        return self._current

    # The log ------------------------------------------------------------------------------------

    async def publish(self, publication: Publication, /) -> Published:
        """Append to the log; see :meth:`Transport.publish`.

        Raises:
            PayloadTooLarge: also if key and topics leave less room than ``traits.max_payload``.

        """
        over = size_of(publication) - self.nats.max_size
        if over > 0:
            size = len(publication.payload)
            raise PayloadTooLarge(size, max(size - over, 0))
        return await super().publish(publication)

    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        """Store them, each once by its key."""
        return await self._log.append(publications)

    async def page(self, after: int, limit: int, /) -> Page:
        """Read records, and what is kept."""
        return await self._log.page(after, limit)

    async def find(self, position: Position, /) -> Position | Gap:
        """Find a position, by its mark where it has one."""
        return await self._log.find(position)

    async def next_page(self, cursor: Position, /) -> Page | None:
        """Return what follows, once there is more; None: the log holds another record there."""
        if self._end_seen == (cursor, self._wakes):
            with anyio.move_on_after(self.poll):
                await self._wakeup.wait()
        wakes = self._wakes
        found = await self._ask(self._log.after, cursor, TAIL_BATCH)
        if found is None:
            return None
        page, is_end = found
        if is_end:
            self._end_seen = (page.records[-1].position if page.records else cursor, wakes)
        return page

    async def health(self) -> Health:
        """Tell how the engine is: also whether the stream is as it was, and its replicas are."""
        try:
            info = await self._ask(self._info)
        except (TransportError, TransportNotRunning) as error:
            return Health(HealthStatus.DOWN, str(error))
        place = f"{self.contact.address}, {bounds_of(info, self._log.epoch).end}"
        if problem := self._problem(info):
            return Health(HealthStatus.DEGRADED, f"{place}: {problem}")
        return Health(HealthStatus.OK, place)

    async def _info(self) -> Json:
        return await self._log.info()

    def _problem(self, info: Json) -> str | None:
        if found := self._log.differences(info):
            return f"its stream was changed ({listed(found)}): change it back, or restart with that"
        replicas = info.get("cluster", {}).get("replicas", ())
        if late := [each["name"] for each in replicas if not each.get("current")]:
            return f"replicas lag or are gone ({', '.join(late)}): see to those servers"
        return None

    # Presence -----------------------------------------------------------------------------------

    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        """Store the latest beat of ``node``; the server forgets it when its lease is over."""
        await self._ask(self._beat, node, Beat(lease=lease, counts=dict(counts)))

    async def _beat(self, node: str, beat: Beat) -> None:
        headers = {"Nats-TTL": f"{max(math.ceil(beat.lease), 1)}s"}
        request = Request(self._names.node(node), beat.model_dump_json().encode(), headers)
        try:
            answers = await self._log.link.ask([request])
        except NoStream:
            await self._log.make("CREATE", nodes_config(self._names, self.nats))
            answers = await self._log.link.ask([request])
        answer_of(answers[0])

    async def leave(self, node: str, /) -> None:
        """Take its beat away."""
        await self._ask(self._leave, node)

    async def _leave(self, node: str) -> None:
        subject = self._names.node(node)
        await self._api_of_nodes("PURGE", filter=subject)

    async def nodes(self) -> dict[str, dict[str, int]]:
        """Read all beats; which lease is over the time of the server tells."""
        return await self._ask(self._nodes)

    async def _nodes(self) -> dict[str, dict[str, int]]:
        info = await self._api_of_nodes("INFO")
        if info is None:
            return {}
        now, first, living = nanoseconds(info["ts"]), 1, dict[str, dict[str, int]]()
        while answers := await self._log.link.get(self._names.nodes, seq=first, batch=MANY):
            for headers, data in answers:
                with suppress(ValidationError):  # it is no beat: somebody else's
                    beat = Beat.model_validate_json(data)
                    if nanoseconds(headers["Nats-Time-Stamp"]) + beat.lease * SECOND > now:
                        living[headers["Nats-Subject"].rpartition(".")[2]] = beat.counts
            first = int(answers[-1].headers["Nats-Sequence"]) + 1
        return living

    async def _api_of_nodes(self, verb: str, **query: object) -> Json | None:
        """Ask for the stream of beats; None: there is none yet."""
        try:
            return await self._log.link.api(f"STREAM.{verb}.{self._names.nodes}", **query)
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            return None


def _check(settings: NatsSettings) -> None:
    keeps, file = settings.retention.max_bytes, settings.credentials
    if keeps is not None and keeps < 2 * RESERVED:
        remedy = f"keep {2 * RESERVED} bytes or more: key and topics of a message count too"
        raise InvalidSetting("retention.max_bytes", keeps, "is less than a message", remedy)
    if file is not None and not Path(file).is_file():
        remedy = "give the path of the file that nsc or your provider made"
        raise InvalidSetting("credentials", file, "is no file", remedy)
