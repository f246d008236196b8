"""The promises of a history: R1 to R3. Skipped for a transport that is no ``SupportsReplay``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import lowlevel

from sse_kit.testing.suite import (
    Replaying,
    Suite,
    numbered,
    offsets,
    place,
    publish_at_once,
    publish_numbers,
)
from sse_kit.transports.base import MAX_OFFSET, Bounds, Gap, GapReason, Position

if TYPE_CHECKING:
    from sse_kit.transports.base import Page


def assert_follows(page: Page, after: int, limit: int) -> None:
    """Assert that ``page`` is what R2 promises of a read in the kept part of the log."""
    kept = offsets(page.records)
    assert kept == list(range(after + 1, after + 1 + len(kept)))
    assert len(kept) <= limit
    assert (kept == []) == (after >= page.bounds.last)
    assert after + len(kept) <= max(page.bounds.last, after)
    assert {record.position.epoch for record in page.records} <= {page.bounds.epoch}


class ReplayPromises(Suite):
    """One test or more for each of R1 to R3."""

    async def test_r1_a_new_log_is_empty(self, namespace: str) -> None:
        """R1: a log in which nothing is has bounds 1 and 0."""
        async with self.open_history(namespace) as transport:
            bounds = await transport.bounds()
        assert (bounds.first, bounds.last) == (1, 0)

    async def test_r1_bounds_tell_the_first_and_the_last_record(self, namespace: str) -> None:
        """R1: the bounds grow with the log, for all that look, and the epoch stays."""
        async with (
            self.open_history(namespace) as transport,
            self.open_history(namespace) as other,
        ):
            epoch = (await transport.bounds()).epoch
            for number in range(1, 6):
                await transport.publish(numbered(number))
                expected = Bounds(epoch, 1, number)
                assert await transport.bounds() == await other.bounds() == expected

    async def test_r1_bounds_follow_the_trim(self, namespace: str) -> None:
        """R1: the first kept offset is that of the first record that can be read."""
        async with self.open_history(namespace, small=True) as transport:
            published = await self.fill_until_trimmed(transport)
            bounds = await transport.bounds()
            page = await transport.read(bounds.first - 1, limit=1)
        assert bounds.last == published
        assert offsets(page.records) == [bounds.first]

    @pytest.mark.parametrize("limit", [1, 7, 1_000])
    async def test_r2_pages_join_without_a_hole(self, namespace: str, limit: int) -> None:
        """R2: page after page, of any size, gives every record once, in order."""
        async with self.open_history(namespace) as transport:
            await publish_numbers(transport, range(1, 31))
            payloads: list[int] = []
            while len(payloads) < 30:  # noqa: PLR2004  all that was published
                page = await transport.read(len(payloads), limit=limit)
                assert_follows(page, len(payloads), limit)
                payloads += [int(record.payload) for record in page.records]
        assert payloads == list(range(1, 31))

    @pytest.mark.parametrize("after", [5, 6, MAX_OFFSET - 1])
    async def test_r2_nothing_follows_the_end(self, namespace: str, after: int) -> None:
        """R2: at the end of the log and beyond it a page is empty, and its bounds tell why."""
        async with self.open_history(namespace) as transport:
            await publish_numbers(transport, range(1, 6))
            page = await transport.read(after, limit=10)
        assert page.records == ()
        assert (page.bounds.first, page.bounds.last) == (1, 5)

    async def test_r2_records_and_bounds_are_of_one_view(self, namespace: str) -> None:
        """R2: while 32 publishers write, no page has a hole or a record beyond its bounds."""
        async with (
            self.open_history(namespace) as transport,
            self.open_history(namespace) as other,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(publish_at_once, [other], range(128))
            after = 0
            while after < 128:  # noqa: PLR2004  all that is published
                page = await transport.read(after, limit=1_000)
                assert_follows(page, after, 1_000)
                after += len(page.records)
                await lowlevel.checkpoint()

    async def test_r2_what_is_trimmed_shows(self, namespace: str) -> None:
        """R2: a read from before what is kept has bounds that begin later."""
        async with self.open_history(namespace, small=True) as transport:
            await self.fill_until_trimmed(transport)
            page = await transport.read(0, limit=10)
        assert page.bounds.first - 1 > 0

    async def test_r3_a_position_of_the_log_is_found(self, namespace: str) -> None:
        """R3: every position from before the first record to the last one is itself."""
        async with self.open_history(namespace) as transport:
            epoch = (await transport.bounds()).epoch
            positions = [Position(epoch, 0)]
            positions += [(await transport.publish(numbered(n))).position for n in range(3)]
            found = [await transport.locate(position) for position in positions]
        assert [place(self._found(position)) for position in found] == list(map(place, positions))

    async def test_r3_a_trimmed_position_is_found(self, namespace: str) -> None:
        """R3: a position older than what is kept is still one of this log."""
        async with self.open_history(namespace, small=True) as transport:
            await self.fill_until_trimmed(transport)
            old = Position((await transport.bounds()).epoch, 0)
            assert place(self._found(await transport.locate(old))) == place(old)

    @pytest.mark.parametrize("offset", [0, 2, 7, MAX_OFFSET])
    async def test_r3_a_position_of_another_log_is_a_gap(self, namespace: str, offset: int) -> None:
        """R3: of an epoch that nobody knows the whole present log is unseen."""
        async with self.open_history(namespace) as transport:
            await publish_numbers(transport, range(1, 6))
            gap = await self._missing(transport, Position("another-log", offset))
            bounds = await transport.bounds()
        assert (gap.reason, place(gap.resume)) == (GapReason.EPOCH, place(bounds.start))

    @pytest.mark.parametrize("offset", [6, 7, MAX_OFFSET])
    async def test_r3_a_position_beyond_the_end_is_a_gap(self, namespace: str, offset: int) -> None:
        """R3: what the log has not reached resumes at its end."""
        async with self.open_history(namespace) as transport:
            await publish_numbers(transport, range(1, 6))
            bounds = await transport.bounds()
            gap = await self._missing(transport, Position(bounds.epoch, offset))
        assert (gap.reason, place(gap.resume)) == (GapReason.AHEAD, place(bounds.end))

    def _found(self, located: Position | Gap) -> Position:
        assert isinstance(located, Position)
        return located

    async def _missing(self, transport: Replaying, position: Position) -> Gap:
        located = await transport.locate(position)
        assert isinstance(located, Gap)
        return located
