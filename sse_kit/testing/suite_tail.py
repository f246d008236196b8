"""The promises of ``tail``, T5 to T9, and of the lifetime, T12."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit.testing.suite import (
    END,
    TOPICS,
    Suite,
    fresh_namespace,
    numbered,
    offsets,
    publish_at_once,
    publish_numbers,
    run_apart,
)
from sse_kit.transports.base import (
    MAX_OFFSET,
    TAIL_BUFFER,
    GapReason,
    Position,
    Publication,
    Record,
    SupportsReplay,
    Transport,
)

if TYPE_CHECKING:
    from sse_kit.testing.suite import TailReader

MANY = 200
"""Records that no tail's stream should hold, if they come one by one."""


class TailPromises(Suite):
    """One test or more for each of T5 to T9."""

    async def test_t5_a_tail_hands_out_what_follows_its_position(self, namespace: str) -> None:
        """T5: wherever a tail starts, it hands out every later record once, in order."""
        async with self.open_history(namespace) as transport:
            await publish_numbers(transport, range(1, 41))
            end = await transport.publish(Publication(TOPICS, END))
            for after in (0, 1, 17, 39, 40):
                async with self.tail(transport, Position(end.position.epoch, after)) as tail:
                    records = await tail.until()
                assert offsets(records) == list(range(after + 1, 41))
                assert [int(record.payload) for record in records] == offsets(records)

    async def test_t5_a_tail_goes_on_where_another_stopped(self, namespace: str) -> None:
        """T5: a tail after the last record that another one handed out continues it."""
        async with self.open_history(namespace) as transport:
            await publish_numbers(transport, range(1, 31))
            end = await transport.publish(Publication(TOPICS, END))
            async with self.tail(transport, Position(end.position.epoch, 0)) as tail:
                records = [await tail.record() for _ in range(11)]
            async with self.tail(transport, records[-1].position) as tail:
                records += await tail.until()
        assert offsets(records) == list(range(1, 31))

    async def test_t5_history_and_live_records_join_without_a_seam(self, namespace: str) -> None:
        """T5: what is published while a tail reads the history comes once, in its place."""
        async with self.open_history(namespace) as transport:
            first = await transport.publish(numbered(1))
            await publish_numbers(transport, range(2, 51))
            records: list[Record] = []
            async with (
                self.tail(transport, Position(first.position.epoch, 0)) as tail,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(publish_numbers, transport, range(51, 101))
                records += [await tail.record() for _ in range(100)]
        assert [int(record.payload) for record in records] == list(range(1, 101))
        assert offsets(records) == list(range(1, 101))

    async def test_t5_a_live_tail_hands_out_everything_in_order(self, namespace: str) -> None:
        """T5: from 32 publishers at once a tail hands out every record once, by offset."""
        async with (
            self.open(namespace) as transport,
            self.open(namespace) as other,
            self.tail(transport) as tail,
        ):
            await publish_at_once([transport, other], range(128))
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        assert offsets(records) == list(range(1, 129))
        assert sorted(int(record.payload) for record in records) == list(range(128))

    async def test_t5_a_reader_that_stops_loses_nothing(self, namespace: str) -> None:
        """T5: a full stream stops the read on the engine, and nothing is dropped."""
        async with self.open_history(namespace) as transport, self.tail(transport) as tail:
            await publish_numbers(transport, range(1, MANY + 1))
            statistics = tail.stream.statistics()
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        assert statistics.current_buffer_used <= statistics.max_buffer_size <= TAIL_BUFFER
        assert offsets(records) == list(range(1, MANY + 1))

    async def test_t6_a_live_tail_hands_out_nothing_older(self, namespace: str) -> None:
        """T6: without a position a tail starts now."""
        async with self.open(namespace) as transport:
            await publish_numbers(transport, range(1, 4))
            async with self.tail(transport) as tail:
                await transport.publish(Publication(TOPICS, END))
                assert await tail.until() == []

    async def test_t6_nothing_is_missed_after_entering(self, namespace: str) -> None:
        """T6: what is published the moment a tail was entered is handed out."""
        async with self.open(namespace) as transport, self.open(namespace) as other:
            for number in range(10):
                async with self.tail(transport) as tail:
                    published = await other.publish(numbered(number))
                    assert offsets([await tail.record()]) == [published.position.offset]

    async def test_t7_a_position_of_another_log_is_one_gap(self, namespace: str) -> None:
        """T7: a tail from a foreign position starts with one gap, then goes on from its resume."""
        async with self.open(namespace) as transport:
            await publish_numbers(transport, range(1, 6))
            async with self.tail(transport, Position("another-log", 3)) as tail:
                await self._assert_goes_on(transport, tail)

    @pytest.mark.parametrize("ahead", [1, MAX_OFFSET - 5])
    async def test_t7_a_position_beyond_the_end_is_one_gap(
        self, namespace: str, ahead: int
    ) -> None:
        """T7: a tail from a position that the log has not reached starts with one gap."""
        async with self.open(namespace) as transport:
            published = [await transport.publish(numbered(number)) for number in range(5)]
            last = published[-1].position
            async with self.tail(transport, Position(last.epoch, last.offset + ahead)) as tail:
                await self._assert_goes_on(transport, tail)

    async def _assert_goes_on(self, transport: Transport, tail: TailReader) -> None:
        gap = await tail.gap()
        end = await transport.publish(Publication(TOPICS, END))
        records = await tail.until()
        assert gap.resume.epoch == end.position.epoch
        assert offsets(records) == list(range(gap.resume.offset + 1, end.position.offset))

    async def test_t7_a_trimmed_position_is_one_gap(self, namespace: str) -> None:
        """T7: a tail from before what is kept starts with one gap that tells how many are gone."""
        async with self.open_history(namespace, small=True) as transport:
            await self.fill_until_trimmed(transport)
            end = await transport.publish(Publication(TOPICS, END))
            async with self.tail(transport, Position(end.position.epoch, 0)) as tail:
                gap = await tail.gap()
                records = await tail.until()
        assert gap.reason is GapReason.TRIMMED
        assert gap.missed == gap.resume.offset > 0
        assert offsets(records) == list(range(gap.resume.offset + 1, end.position.offset))

    async def test_t8_publish_waits_for_no_tail(self, namespace: str) -> None:
        """T8: a tail that nobody reads delays neither publish nor another tail."""
        records: list[Record] = []
        async with (
            self.open(namespace) as transport,
            self.tail(transport),
            self.tail(transport) as tail,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(publish_numbers, transport, range(1, MANY + 1))
            records += [await tail.record() for _ in range(MANY)]
        assert offsets(records) == list(range(1, MANY + 1))

    async def test_t8_every_tail_hands_out_everything(self, namespace: str) -> None:
        """T8: what one tail hands out, another one hands out too."""
        async with (
            self.open(namespace) as transport,
            self.tail(transport) as tail,
            self.tail(transport) as second,
        ):
            await publish_numbers(transport, range(1, 11))
            async with self.tail(transport) as late:
                await transport.publish(Publication(TOPICS, END))
                records = [await tail.until(), await second.until(), await late.until()]
        assert list(map(offsets, records)) == [list(range(1, 11)), list(range(1, 11)), []]

    async def test_t9_leaving_a_tail_ends_no_other(self, namespace: str) -> None:
        """T9: a tail that is left in the middle, read or not, leaves the others going."""
        async with self.open(namespace) as transport, self.tail(transport) as tail:
            async with self.tail(transport) as left:
                await publish_numbers(transport, range(1, MANY // 2))
                await left.record()
            await publish_numbers(transport, range(MANY // 2, MANY + 1))
            records = [await tail.record() for _ in range(MANY)]
        assert offsets(records) == list(range(1, MANY + 1))

    async def test_t9_a_tail_that_was_left_leaves_no_task(self, namespace: str) -> None:
        """T9: after eight tails, left full or idle, there are as many tasks as after one."""
        async with self.open(namespace) as transport:
            await self._enter_and_leave(transport, records=1)
            await anyio.wait_all_tasks_blocked()
            before = len(anyio.get_running_tasks())
            # The idle ones last: nothing that is published later ends what they left behind.
            for records in (*[2 * TAIL_BUFFER] * 4, 0, 0, 0, 0):
                await self._enter_and_leave(transport, records=records)
            with anyio.move_on_after(self.patience):
                while len(anyio.get_running_tasks()) > before:  # noqa: ASYNC110  no event tells
                    await anyio.sleep(0.01)
            assert len(anyio.get_running_tasks()) <= before

    async def _enter_and_leave(self, transport: Transport, *, records: int) -> None:
        async with transport.tail():
            await publish_numbers(transport, range(records))

    async def test_t9_an_error_of_the_body_leaves_a_tail_as_it_is(self, namespace: str) -> None:
        """T9: what the body of a tail raises is neither wrapped nor swallowed."""
        async with self.open(namespace) as transport:
            error = ZeroDivisionError()
            with pytest.raises(ZeroDivisionError) as caught:
                async with transport.tail():
                    raise error
            assert caught.value is error

    async def test_t9_a_cancelled_tail_ends(self, namespace: str) -> None:
        """T9: a tail whose task is cancelled while it waits ends, and the next one works."""
        async with self.open(namespace) as transport:
            async with anyio.create_task_group() as tasks:
                async with transport.tail() as stream:
                    tasks.cancel_scope.cancel()
                    await stream.receive()
                pytest.fail("the cancellation was swallowed")
            async with self.tail(transport) as tail:
                published = await transport.publish(numbered(1))
                assert offsets([await tail.record()]) == [published.position.offset]


class LifetimePromises(Suite):
    """Two tests or more for T12."""

    async def test_t12_a_transport_can_be_entered_again(self, namespace: str) -> None:
        """T12: a transport that was left works when it is entered again, and finds its log."""
        transport = self.make(namespace)
        await self._work(transport, 1)
        await self._work(transport, 2)

    def test_t12_a_transport_can_be_entered_on_another_event_loop(
        self, anyio_backend_name: str, anyio_backend_options: dict[str, Any]
    ) -> None:
        """T12: nothing of a transport belongs to the event loop that it was entered on first."""
        transport = self.make(fresh_namespace())
        for number in (1, 2):
            step = partial(self._work, transport, number)
            run_apart(anyio_backend_name, anyio_backend_options, step)

    async def _work(self, transport: Transport, offset: int) -> None:
        with anyio.fail_after(self.patience):
            async with transport, self.tail(transport) as tail:
                published = await transport.publish(numbered(offset))
                assert (await tail.record()).payload == b"%d" % offset
        if isinstance(transport, SupportsReplay):
            assert published.position.offset == offset

    async def test_t12_an_error_of_the_body_leaves_a_transport_as_it_is(
        self, namespace: str
    ) -> None:
        """T12: what the body of a transport raises is neither wrapped nor swallowed."""
        error = ZeroDivisionError()
        with anyio.fail_after(self.patience), pytest.raises(ZeroDivisionError) as caught:
            async with self.make(namespace) as transport, transport.tail():
                raise error
        assert caught.value is error

    async def test_t12_a_cancelled_transport_ends(self, namespace: str) -> None:
        """T12: a transport whose task is cancelled ends, and can be entered again."""
        transport = self.make(namespace)
        with anyio.fail_after(self.patience):
            async with anyio.create_task_group() as tasks, transport:
                tasks.cancel_scope.cancel()
                await anyio.sleep_forever()
        await self._work(transport, 1)
