"""Broken on purpose: ``publish``, T1 to T4, T10 and T11."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from anyio import lowlevel
from typing_extensions import override

from sse_kit.errors import PayloadTooLarge
from sse_kit.testing.broken_base import BrokenTransport
from sse_kit.transports.base import Position, Publication, Published

if TYPE_CHECKING:
    from sse_kit.transports.memory_log import MemoryLog

FILLER = Publication(("filler",), b"filler")


class AcknowledgesTooEarly(BrokenTransport):
    """Answers with the position that the record will have, and stores it a little later."""

    promise = "T1"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        end = self.log.bounds().end
        assert self._tasks is not None
        self._tasks.start_soon(self._store, publication)
        return Published(Position(end.epoch, end.offset + 1))

    async def _store(self, publication: Publication) -> None:
        await lowlevel.checkpoint()
        self.log.append(publication)


class AnswersWithAnotherPosition(BrokenTransport):
    """Answers with the position before the record: whoever resumes there gets it again."""

    promise = "T1"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        published = await super().publish(publication)
        position = published.position
        return replace(published, position=Position(position.epoch, position.offset - 1))


class CountsByItself(BrokenTransport):
    """Takes offsets from a counter of its own: another process gives out the same."""

    promise = "T2"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._count = 0

    @override
    async def publish(self, publication: Publication, /) -> Published:
        published = await super().publish(publication)
        self._count += 1
        return replace(published, position=Position(published.position.epoch, self._count))


class BurnsAnOffset(BrokenTransport):
    """Takes the next offset before it looks for the key."""

    promise = "T2"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        published = await super().publish(publication)
        if published.duplicate:
            self.log.append(FILLER)
        return published


class ForgetsKeys(BrokenTransport):
    """Stores what is published twice twice."""

    promise = "T3"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        return await super().publish(replace(publication, key=None))


class FoldsKeys(BrokenTransport):
    """Takes keys that differ in case or white space for the same."""

    promise = "T3"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        key = publication.key and publication.key.strip().casefold()
        return await super().publish(replace(publication, key=key))


class AnswersADuplicateWithTheEnd(BrokenTransport):
    """Answers a duplicate with the end of the log, not with the place of the record."""

    promise = "T3"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        published = await super().publish(publication)
        if published.duplicate:
            return replace(published, position=Position(self.log.bounds().epoch, 0))
        return published


class LooksForTheKeyTooEarly(BrokenTransport):
    """Looks for the key in one step and stores the record in another."""

    promise = "T3"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._known: dict[str, Position] = {}

    @override
    async def publish(self, publication: Publication, /) -> Published:
        key = publication.key
        if key in self._known:
            return Published(self._known[key], duplicate=True)
        await lowlevel.checkpoint()
        published = await super().publish(replace(publication, key=None))
        if key is not None:
            self._known[key] = published.position
        return published


class MakesSubjectsOfTopics(BrokenTransport):
    """Replaces what its engine gives a meaning to, so that two topics become one."""

    promise = "T4"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        topics = tuple(topic.replace(":", ".").strip() for topic in publication.topics)
        return await super().publish(replace(publication, topics=topics))


class JoinsTopics(BrokenTransport):
    """Keeps the topics in one field, between commas."""

    promise = "T4"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        topics = tuple(",".join(publication.topics).split(","))
        return await super().publish(replace(publication, topics=topics))


class TakesPayloadsForText(BrokenTransport):
    """Replaces what is not UTF-8."""

    promise = "T4"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        payload = publication.payload.decode("utf-8", "replace").encode()
        return await super().publish(replace(publication, payload=payload))


class StoresHalfWhenCancelled(BrokenTransport):
    """Leaves half a record where a publish is cancelled."""

    promise = "T10"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        try:
            await lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            half = publication.payload[: len(publication.payload) // 2]
            self.log.append(replace(publication, payload=half))
            raise
        return await super().publish(publication)


class ForgetsTheKeyWhenCancelled(BrokenTransport):
    """Stores the record of a publish that is cancelled, but not its key."""

    promise = "T10"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        try:
            await lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            self.log.append(replace(publication, key=None))
            raise
        return await super().publish(publication)


class AcceptsAnything(BrokenTransport):
    """Has a limit and doesn't keep it."""

    promise = "T11"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        return self.log.append(publication)


class SendsBeforeItChecks(BrokenTransport):
    """Raises for a payload over the limit when it is stored already."""

    promise = "T11"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        published = self.log.append(publication)
        if (size := len(publication.payload)) > (limit := self.traits.max_payload or size):
            raise PayloadTooLarge(size, limit)
        return published


class RefusesTheLimit(BrokenTransport):
    """Takes one byte less than it says."""

    promise = "T11"

    @override
    async def publish(self, publication: Publication, /) -> Published:
        if (size := len(publication.payload)) == self.traits.max_payload:
            raise PayloadTooLarge(size, size)
        return await super().publish(publication)
