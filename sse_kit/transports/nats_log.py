"""The stream of a namespace: made if it is new, seen to be ours, written, read, searched.

Nothing here follows a consumer, which would have a state to lose. Everybody reads from a cursor, by
direct gets, which any server of the stream answers and which leave nothing behind. What only the
leader knows, where the log ends, is asked of it alone.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio

from sse_kit.errors import EngineRefused
from sse_kit.transports.base import Bounds, Gap, GapReason, Page, Position, Published
from sse_kit.transports.nats_link import ApiError, NoStream, Request, answer_of
from sse_kit.transports.nats_pace import Pace
from sse_kit.transports.nats_stream import (
    KEY_HEADER,
    UPDATABLE,
    bounds_of,
    differences,
    log_config,
    moment_after,
    new_epoch,
    pack_key,
    pack_topics,
    record_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_kit.transports.base import Publication, Record
    from sse_kit.transports.nats_client import Answer
    from sse_kit.transports.nats_link import Link
    from sse_kit.transports.nats_stream import Json, Names, NatsSettings

LAG = 0.005
"""Seconds until a replica that has not yet what its leader has is asked again."""

OLDEST = (2, 11)

NOT_FOUND, NAME_TAKEN = 10059, 10058
NEVER = frozenset({10039, 10074, 10076})
"""JetStream is not enabled for the account; replicas without a cluster; not enabled at all."""


class NatsLog:
    """A log over ``link``; ``address`` is for people. Whatever fails raises."""

    def __init__(self, link: Link, names: Names, settings: NatsSettings, *, address: str) -> None:
        self.link = link
        self.epoch = ""
        self._names = names
        self._settings = settings
        self._address = address
        self._pace = Pace(settings.request_timeout, largest=settings.max_size)

    # The stream ---------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the stream, or see that it is ours and set as it should be.

        Raises:
            EngineRefused: it is not, or the server is none for us.

        """
        self._check_server()
        try:
            info = await self.info()
        except NoStream:
            reason = "JetStream does not answer"
            remedy = "start nats-server with JetStream (-js), and enable it for the account"
            raise EngineRefused(self._address, reason, remedy) from None
        found = self.differences(info)
        if not found.keys() <= UPDATABLE:
            raise self._not_ours(found)
        if found:
            wanted = log_config(self._names, self.epoch, self._settings)
            await self.make("UPDATE", {**info["config"], **wanted})

    def _check_server(self) -> None:
        major, minor = self.link.version
        if (major, minor) < OLDEST:
            reason = f"it is nats-server {major}.{minor}"
            raise EngineRefused(self._address, reason, "run nats-server 2.11 or later")
        limit, wanted = self.link.max_payload, self._settings.max_message
        if limit < wanted:
            reason = f"its max_payload is {limit}"
            remedy = f"set max_payload: {wanted} there, or max_message={limit} here"
            raise EngineRefused(self._address, reason, remedy)

    def differences(self, info: Json) -> Json:
        """Return how the stream is set where that is not as we wish."""
        return differences(log_config(self._names, self.epoch, self._settings), info["config"])

    async def info(self) -> Json:
        """Ask for the stream, and make it if there is none: a new log begins."""
        try:
            info = await self.link.api(f"STREAM.INFO.{self._names.log}")
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            info = await self.make("CREATE", log_config(self._names, new_epoch(), self._settings))
        subjects = info["config"].get("subjects") or [""]
        epoch = self._names.epoch(subjects[0])
        if epoch is None or len(subjects) > 1:
            raise self._not_ours({"subjects": subjects})
        self.epoch = epoch
        return info

    async def make(self, verb: str, config: Json) -> Json:
        """Make a stream (CREATE), or set it anew (UPDATE)."""
        name = config["name"]
        try:
            return await self.link.api(f"STREAM.{verb}.{name}", **config)
        except ApiError as error:
            if error.code == NAME_TAKEN:  # by another process, at the same time
                return await self.link.api(f"STREAM.INFO.{name}")
            if error.status == HTTPStatus.BAD_REQUEST or error.code in NEVER:
                remedy = f"change the settings here, or have NATS allow stream {name} as they say"
                raise EngineRefused(self._address, str(error), remedy) from error
            raise

    def _not_ours(self, found: Json) -> EngineRefused:
        reason = f"stream {self._names.log} has {listed(found)}"
        return EngineRefused(self._address, reason, "delete it, or use another namespace")

    # Writing ------------------------------------------------------------------------------------

    async def append(self, publications: Sequence[Publication]) -> Sequence[Published]:
        """Publish all without waiting for each, wait for every answer, then wake the others."""
        epoch = self.epoch
        subject = self._names.records(epoch)
        requests = [
            Request(
                subject,
                pack_topics(each.topics) + each.payload,
                {KEY_HEADER: pack_key(each.key or "")},
            )
            for each in publications
        ]
        try:
            answers = await self.link.ask(requests)
        except NoStream:
            await self.info()
            raise
        published = [_published(epoch, answer) for answer in answers]
        with suppress(Exception):  # what is stored is stored: the others look by themselves
            await self.link.tell()
        return published

    # Reading ------------------------------------------------------------------------------------

    async def bounds(self) -> Bounds:
        """Ask the leader what is kept."""
        info = await self.info()
        return bounds_of(info, self.epoch)

    async def fetch(self, first: int, limit: int) -> tuple[list[Record], bool]:
        """Read records without a hole from ``first`` on, or from the first one kept after it.

        Also tells whether whoever answered has no more.
        """
        async with self._pace.asking() as read:
            query = {"seq": first, "batch": limit, "max_bytes": read.size}
            answers = await self.link.get(self._names.log, **query)
            read.got = sum(len(answer.data) for answer in answers)
        records: list[Record] = []
        for headers, data in answers:
            record = record_of(self._names, headers, data)
            if records and record.position.offset != records[-1].position.offset + 1:
                return records, False  # somebody has taken records out of the middle
            records.append(record)
        return records, not answers or answers[-1].headers.get("Nats-Num-Pending") == "0"

    async def page(self, after: int, limit: int) -> Page:
        """Read up to ``limit`` records after ``after``, and what is kept (R2)."""
        while True:
            bounds = await self.bounds()
            if after >= bounds.last or bounds.first > bounds.last:
                return Page(bounds, ())
            records, _ = await self.fetch(after + 1, limit)
            if records and records[0].position.epoch == bounds.epoch:
                return Page(_widened(bounds, after, records), tuple(records))
            await anyio.sleep(LAG)

    async def after(self, cursor: Position, limit: int) -> tuple[Page, bool] | None:
        """Read up to ``limit`` records after ``cursor``; None: it is not what the log holds there.

        Also tells whether this is the end, as far as anybody knows. The record at the cursor is
        read again: so each page proves that it continues what came before.
        """
        try:
            records, is_all = await self.fetch(max(cursor.offset, 1), limit + 1)
            if records and records[0].position.offset == cursor.offset:
                if _differ(records[0].position, cursor):
                    return None
                del records[0]
                if not records and not is_all:  # the next one is large, or was taken out
                    records, is_all = await self.fetch(cursor.offset + 1, limit)
        except NoStream:  # not yet again, or no more: then it is made anew
            return await self._after_all(cursor)
        if not records:
            return await self._after_all(cursor)
        first, last = records[0].position, records[-1].position
        page = Page(Bounds(first.epoch, first.offset, last.offset, last.mark), tuple(records))
        # Another replica may have more, and what woke us may have been about that.
        return page, is_all and self._settings.replicas == 1

    async def _after_all(self, cursor: Position) -> tuple[Page, bool] | None:
        bounds = await self.bounds()
        is_there = bounds.first <= bounds.last == cursor.offset
        if is_there and _differ(bounds.end, cursor):
            return None
        is_end = bounds.last <= cursor.offset
        if not is_end:
            await anyio.sleep(LAG)
        return Page(bounds, ()), is_end

    # Searching ----------------------------------------------------------------------------------

    async def find(self, position: Position) -> Position | Gap:
        """Find a position in the present epoch (R3), by its mark where it has one."""
        bounds = await self.bounds()
        if position.epoch != bounds.epoch:
            return Gap(GapReason.EPOCH, bounds.start)
        if position.offset <= bounds.last and await self._holds(position, bounds):
            return position
        if position.mark is None:
            return Gap(GapReason.AHEAD, bounds.end)
        fork = await self._fork_before(position.mark, bounds)
        if fork is None or fork >= position.offset:
            return Gap(GapReason.EPOCH, bounds.start)
        return Gap(GapReason.AHEAD, await self._position(fork, bounds))

    async def _holds(self, position: Position, bounds: Bounds) -> bool:
        """Tell whether the log holds that record; what is trimmed is taken as it is."""
        if position.mark is None or position.offset < bounds.first:
            return True
        return not _differ(await self._position(position.offset, bounds), position)

    async def _fork_before(self, mark: str, bounds: Bounds) -> int | None:
        """Return the last offset that was stored up to when the lost record was; None: who knows.

        What a server stores after it has lost something it stores later than all that it lost.
        """
        moment = moment_after(mark)
        if moment is None:
            return None
        answers = await self.link.get(self._names.log, start_time=moment, batch=1)
        if not answers:
            return bounds.last
        return record_of(self._names, *answers[0]).position.offset - 1

    async def _position(self, offset: int, bounds: Bounds) -> Position:
        """Return the position of an offset with its mark, if it is kept."""
        if offset == bounds.last:
            return bounds.end
        if offset < bounds.first:
            return bounds.start
        records, _ = await self.fetch(offset, 1)
        if not records:
            message = "a replica lags behind"
            raise ConnectionError(message)
        position = records[0].position
        return position if position.offset == offset else Position(bounds.epoch, offset)


def _published(epoch: str, answer: Answer) -> Published:
    said = answer_of(answer)
    return Published(Position(epoch, said["seq"]), duplicate=said.get("duplicate", False))


def _widened(bounds: Bounds, after: int, records: Sequence[Record]) -> Bounds:
    """Return the bounds as they were when the records were read, a moment later."""
    first, last = records[0].position.offset, records[-1].position
    if first == after + 1:
        first = bounds.first
    end = max(bounds.end, last, key=lambda position: position.offset)
    return Bounds(bounds.epoch, max(first, bounds.first), end.offset, end.mark)


def _differ(one: Position, other: Position) -> bool:
    """Tell whether two positions of the same offset are of different records."""
    return one.mark is not None is not other.mark and one.mark != other.mark


def listed(settings: Json) -> str:
    """Return settings as they are told to people."""
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())
