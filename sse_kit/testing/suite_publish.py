"""The promises of ``publish``: T1 to T4, T10 and T11."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio import lowlevel
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sse_kit.errors import PayloadTooLarge
from sse_kit.testing.strategies import publications
from sse_kit.testing.suite import (
    END,
    TOPICS,
    Suite,
    fresh_namespace,
    numbered,
    offsets,
    place,
    publish_at_once,
    run_apart,
)
from sse_kit.transports.base import Publication, Published, Record, Transport

LARGEST_TRIED = 256 * 1024 * 1024
"""Bytes; a limit above it is not tried."""

BYTES = bytes(range(256))
HOSTILE = [
    Publication(("*", ">", "a.*.>", "%", "%s", "a%20b", ":", "a:b", ".", "..", "a..b"), b""),
    Publication(("$SYS", "$1", "'; DROP TABLE log; --", '"', "`", ",", "a,b", "|", "\\"), BYTES),
    Publication((" ", "a ", " a", "a", "A", "\t", "\u00e9", "e\u0301", "\u2028", "\x85"), b"\r\n"),
    Publication(("\U0001f4e1", "{a}", "[a]", "a/../b", "#", "?a=b&c", "x" * 200), b"\0"),
    Publication(("twice", "twice"), b'{"v":1}'),
]
ALIKE = (
    "key",
    "KEY",
    "key ",
    " key",
    "key\t",
    "k\u00e9y",
    "ke\u0301y",
    "key:1",
    "key.1",
    "*>%$'\"",
)

# Without shrinking: where a record is lost, every further try costs the whole patience.
FEW = settings(
    max_examples=20,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)


def needs_keys(transport: Transport) -> None:
    """Skip the test if the transport remembers no keys."""
    if not transport.traits.dedup_window:
        pytest.skip(f"{type(transport).__name__} remembers no keys: its dedup_window is 0")


def limit_of(transport: Transport) -> int:
    """Return the largest payload; skip the test if there is none to speak of."""
    limit = transport.traits.max_payload
    if limit is None or limit > LARGEST_TRIED:
        pytest.skip(f"max_payload={limit}: no limit, or too large to try")
    return limit


async def cancel_after(transport: Transport, publication: Publication, *, steps: int) -> None:
    """Publish, and cancel it after so many steps of the event loop."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transport.publish, publication)
        for _ in range(steps):
            await lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


class PublishPromises(Suite):
    """One test or more for each of T1 to T4, T10, T11."""

    async def test_t1_a_publish_returns_the_position_of_its_record(self, namespace: str) -> None:
        """T1: the position that publish returns is that of the record, whoever reads it."""
        async with (
            self.open(namespace) as transport,
            self.open(namespace) as other,
            self.tail(other) as tail,
        ):
            published = [await transport.publish(numbered(number)) for number in range(5)]
            records = [await tail.record() for _ in published]
        assert not any(answer.duplicate for answer in published)
        assert [place(record.position) for record in records] == [
            place(answer.position) for answer in published
        ]
        assert [record.payload for record in records] == [b"0", b"1", b"2", b"3", b"4"]

    async def test_t1_a_publish_returns_after_the_engine_took_it(self, namespace: str) -> None:
        """T1: when publish returns, the record is in the log, whoever looks."""
        async with (
            self.open_history(namespace) as transport,
            self.open_history(namespace) as other,
        ):
            for number in range(5):
                published = await transport.publish(numbered(number))
                assert place((await other.bounds()).end) == place(published.position)

    async def test_t2_offsets_have_no_hole(self, namespace: str) -> None:
        """T2: 32 publishers at once, through two transports, get 1, 2, 3 … of one epoch."""
        async with self.open(namespace) as transport, self.open(namespace) as other:
            published = await publish_at_once([transport, other], range(128))
        every = [position for own in published for position in own]
        assert sorted(position.offset for position in every) == list(range(1, 129))
        assert len({position.epoch for position in every}) == 1
        assert all(a.offset < b.offset for own in published for a, b in pairwise(own))

    async def test_t2_a_refused_publish_takes_no_offset(self, namespace: str) -> None:
        """T2: a payload that is refused leaves no hole."""
        async with self.open(namespace) as transport:
            limit = limit_of(transport)
            first = await transport.publish(numbered(1))
            with pytest.raises(PayloadTooLarge):
                await transport.publish(Publication(TOPICS, bytes(limit + 1)))
            second = await transport.publish(numbered(2))
        assert second.position.offset == first.position.offset + 1

    async def test_t2_a_duplicate_takes_no_offset(self, namespace: str) -> None:
        """T2: a key that is known already leaves no hole."""
        async with self.open(namespace) as transport:
            needs_keys(transport)
            answers = [
                await transport.publish(numbered(1, key="k")),
                await transport.publish(numbered(1, key="k")),
                await transport.publish(numbered(2)),
            ]
        assert [answer.position.offset for answer in answers] == [1, 1, 2]

    async def test_t3_a_key_is_stored_once(self, namespace: str) -> None:
        """T3: a key that is known, to whichever transport, gives the first position."""
        async with (
            self.open(namespace) as transport,
            self.open(namespace) as other,
            self.tail(other) as tail,
        ):
            needs_keys(transport)
            first = await transport.publish(Publication(TOPICS, b"first", "k"))
            again = await transport.publish(Publication(("other",), b"second", "k"))
            elsewhere = await other.publish(Publication(TOPICS, b"third", "k"))
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        assert [answer.duplicate for answer in (first, again, elsewhere)] == [False, True, True]
        assert place(again.position) == place(elsewhere.position) == place(first.position)
        assert [(record.topics, record.payload) for record in records] == [(TOPICS, b"first")]

    async def test_t3_a_key_published_at_once_is_stored_once(self, namespace: str) -> None:
        """T3: of sixteen publishes of one key at the same time one is stored."""
        answers: list[Published] = []

        async def publish(transport: Transport) -> None:
            answers.append(await transport.publish(numbered(1, key="k")))

        async with AsyncExitStack() as stack:
            transport = await stack.enter_async_context(self.open(namespace))
            other = await stack.enter_async_context(self.open(namespace))
            needs_keys(transport)
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(publish, transport)
                    tasks.start_soon(publish, other)
        assert [answer.duplicate for answer in answers].count(False) == 1
        assert {answer.position.offset for answer in answers} == {1}

    async def test_t3_keys_differ_by_every_character(self, namespace: str) -> None:
        """T3: keys that look alike are not the same, and each is known by itself."""
        async with self.open(namespace) as transport:
            needs_keys(transport)
            first = [await transport.publish(numbered(1, key=key)) for key in ALIKE]
            again = [await transport.publish(numbered(1, key=key)) for key in ALIKE]
        assert not any(answer.duplicate for answer in first)
        assert all(answer.duplicate for answer in again)
        assert [place(a.position) for a in again] == [place(a.position) for a in first]

    async def test_t3_without_a_key_nothing_is_a_duplicate(self, namespace: str) -> None:
        """T3: what is published twice without a key is stored twice."""
        async with self.open(namespace) as transport:
            answers = [await transport.publish(numbered(1)) for _ in range(3)]
        assert [answer.duplicate for answer in answers] == [False, False, False]
        assert [answer.position.offset for answer in answers] == [1, 2, 3]

    def test_t4_what_is_published_comes_back_as_it_was(
        self, anyio_backend_name: str, anyio_backend_options: dict[str, Any]
    ) -> None:
        """T4: topics and payload come back byte for byte, whatever they mean to the engine."""

        @FEW
        @given(st.lists(publications(), min_size=1, max_size=8))
        @example(HOSTILE)
        def check(drawn: list[Publication]) -> None:
            run_apart(anyio_backend_name, anyio_backend_options, partial(self._round_trip, drawn))

        check()

    async def _round_trip(self, drawn: list[Publication]) -> None:
        namespace = fresh_namespace()
        async with self.open(namespace) as transport, self.tail(transport) as tail:
            for publication in drawn:
                await transport.publish(publication)
            records = [await tail.record() for _ in drawn]
        expected = [(publication.topics, publication.payload) for publication in drawn]
        assert [(record.topics, record.payload) for record in records] == expected

    async def test_t10_a_cancelled_publish_is_stored_whole_or_not(self, namespace: str) -> None:
        """T10: cancelled at any moment, a publish leaves its whole record or none."""
        sent = {b"payload %d " % n * 20: f"{namespace}-{n}" for n in range(24)}
        async with self.open(namespace) as transport, self.tail(transport) as tail:
            await self._publish_cancelled(transport, sent)
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        self._assert_whole(records, sent)

    async def test_t10_publishing_again_stores_it_once(self, namespace: str) -> None:
        """T10: publishing again after a cancelled publish, stored or not, stores it once."""
        sent = {b"payload %d " % n * 20: f"{namespace}-{n}" for n in range(24)}
        async with self.open(namespace) as transport, self.tail(transport) as tail:
            needs_keys(transport)
            await self._publish_cancelled(transport, sent)
            for payload, key in sent.items():
                await transport.publish(Publication(TOPICS, payload, key))
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        self._assert_whole(records, sent)
        assert len(records) == len(sent)

    async def _publish_cancelled(self, transport: Transport, sent: dict[bytes, str]) -> None:
        for number, (payload, key) in enumerate(sent.items()):
            publication = Publication(TOPICS, payload, key)
            if number % 2:
                await cancel_after(transport, publication, steps=number // 2)
            else:
                with anyio.move_on_after(number * 0.0002):
                    await transport.publish(publication)

    def _assert_whole(self, records: list[Record], sent: dict[bytes, str]) -> None:
        payloads = [record.payload for record in records]
        assert set(payloads) <= sent.keys()
        assert len(set(payloads)) == len(payloads)
        assert {record.topics for record in records} <= {TOPICS}
        assert offsets(records) == list(range(1, len(records) + 1))

    async def test_t11_a_payload_over_the_limit_is_refused(self, namespace: str) -> None:
        """T11: PayloadTooLarge is raised, with the sizes, and nothing was sent."""
        async with self.open(namespace) as transport, self.tail(transport) as tail:
            limit = limit_of(transport)
            with pytest.raises(PayloadTooLarge) as caught:
                await transport.publish(Publication(TOPICS, bytes(limit + 1)))
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
        assert records == []

    async def test_t11_a_payload_of_the_limit_is_taken(self, namespace: str) -> None:
        """T11: ``max_payload`` bytes are not over ``max_payload``."""
        async with self.open(namespace) as transport, self.tail(transport) as tail:
            payload = bytes(limit_of(transport))
            await transport.publish(Publication(TOPICS, payload))
            record = await tail.record()
        assert record.payload == payload
