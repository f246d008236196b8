"""What is read from a stream of Redis: entries, and the records in them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sse_kit.transports.base import MAX_OFFSET, Bounds, Page, Position, Record
from sse_kit.transports.log import TAIL_BATCH

if TYPE_CHECKING:
    from collections.abc import Generator

Entry: TypeAlias = tuple[bytes, list[bytes]]
"""The id of an entry, and its fields: name, value, name …"""


PAGE_BYTES = 1024 * 1024
"""Bytes of payload to ask for at once, as records go: the server holds what it answers."""

FIRST = 16


class Pace:
    """How many entries to ask for: fewer after an answer that did not come in ``patience`` seconds.

    So large records come over a slow network too, if need be one by one. ``mean``: bytes of a
    record, in all of the log.
    """

    def __init__(self, patience: float) -> None:
        self.mean = 0.0
        self._recent = 0.0
        self._count = FIRST
        self._quick = patience / 4

    def most(self, limit: int) -> int:
        """Return how many of up to ``limit`` entries to ask for."""
        size = max(1.0, self.mean, self._recent)
        return min(limit, self._count, max(1, int(PAGE_BYTES / size)))

    @contextmanager
    def asking(self) -> Generator[list[Entry]]:
        """Note whether what is asked inside came, and how soon; its entries go into the list."""
        start = time.monotonic()
        entries: list[Entry] = []
        try:
            yield entries
        except BaseException:
            self._count = max(1, self.most(TAIL_BATCH) // 4)
            raise
        if entries:
            self._recent = sum(len(fields[-1]) for _, fields in entries) / len(entries)
        # What was not asked for, or is not there, tells nothing of the network.
        if len(entries) >= self._count and time.monotonic() - start < self._quick:
            self._count = min(TAIL_BATCH, 2 * self._count)


class View(NamedTuple):
    """What one look at the log has shown; ``entries``: ids and fields of what follows an offset.

    ``fork``: the last offset that the epoch which was asked about has in common with the present.
    """

    epoch: str | None
    first: int
    last: int
    fork: int | None
    kept: int
    entries: list[Entry]

    @property
    def in_order(self) -> bool:
        """Whether there is a log, and nothing behind its last record."""
        return self.epoch is not None and all(
            offset_of(id_) <= self.last for id_, _ in self.entries
        )

    def page(self, after: int) -> Page:
        """Return the run of records after ``after``; what is missing there counts as trimmed."""
        offsets = [offset_of(id_) for id_, _ in self.entries if offset_of(id_) <= self.last]
        following = offsets[0] if offsets else self.last + 1
        first = self.first if self.kept else self.last + 1
        if after < self.last and following > max(after + 1, first):
            first = following
        epoch = self.epoch or ""
        records = tuple(
            Record(Position(epoch, offset), *content_of(fields))
            for number, (offset, (_, fields)) in enumerate(zip(offsets, self.entries, strict=False))
            if offset == following + number
        )
        return Page(Bounds(epoch, first, self.last), records)


def following(after: Position, entries: list[Entry]) -> tuple[Record, ...]:
    """Return the records right after ``after``, of its epoch, up to the first other entry."""
    records: list[Record] = []
    for id_, fields in entries:
        position = Position(after.epoch, after.offset + len(records) + 1)
        if offset_of(id_) != position.offset or fields[:2] != [b"epoch", after.epoch.encode()]:
            break
        records.append(Record(position, *content_of(fields)))
    return tuple(records)


def offset_of(id_: bytes) -> int:
    """Return the offset of an entry; one that is not ours comes after all that are."""
    number, _, sequence = id_.partition(b"-")
    return int(number) if sequence == b"0" else MAX_OFFSET + 1


def content_of(fields: list[bytes]) -> tuple[tuple[str, ...], bytes]:
    """Return topics and payload of an entry that the script wrote."""
    topics, payload = fields[7], fields[9]
    return tuple(topics.decode().split("\n")), payload
