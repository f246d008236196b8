"""What is in a stream of ours: topics, payloads, keys, strangers, and how much of it stays."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import ConnectionRegistry
from sse_kit.codec import load_payload
from sse_kit.config import Retention
from sse_kit.errors import InvalidSetting, MalformedPayload, PayloadTooLarge
from sse_kit.testing.strategies import publications
from sse_kit.testing.suite import TOPICS, fresh_namespace, numbered, offsets
from sse_kit.transports.base import GapReason, Position, Publication
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.nats_stream import (
    HEADER,
    KEY_HEADER,
    LARGEST,
    Names,
    mark_of,
    moment_after,
    nanoseconds,
    pack_key,
    pack_topics,
    record_of,
    size_of,
)
from tests.transports.nats.tools import api, plain_client, until
from tests.transports.tools import PATIENCE, numbers, publish, reading

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.testing.engines.plugin import OwnNats

NAMES = Names("ns")
STAMP = "2026-11-25T23:12:32.10715745Z"
MIB = 1024 * 1024
DEEP = b"[" * 5000 + b"\nx"
"""JSON that Python's own parser ends with RecursionError."""


def headers(**others: str) -> dict[str, str]:
    """Return what the server tells of a record."""
    known = {"Subject": NAMES.records("e"), "Sequence": "7", "Time-Stamp": STAMP}
    return {f"Nats-{name.replace('_', '-')}": value for name, value in {**known, **others}.items()}


# The bytes -------------------------------------------------------------------------------------


@given(publications())
def test_a_message_is_a_line_of_topics_and_the_payload(publication: Publication) -> None:
    """Whatever is in them comes back, and the size is what the server will count."""
    data = pack_topics(publication.topics) + publication.payload
    record = record_of(NAMES, headers(), data)
    assert (record.topics, record.payload) == (publication.topics, publication.payload)
    key = pack_key(publication.key or "k" * 16)
    assert size_of(publication) == HEADER + len(key) + len(data)


@given(st.binary() | st.text().map(str.encode) | st.from_regex(r"(?s)\[.*\]\n.*").map(str.encode))
def test_a_message_of_somebody_else_is_malformed(data: bytes) -> None:
    """It keeps its place, reaches nobody, and no message of ours can be read out of it."""
    record = record_of(NAMES, headers(), data)
    assert record.position == Position("e", 7, mark_of(STAMP))
    if not record.topics:
        with pytest.raises(MalformedPayload):
            load_payload(record.payload)


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b"{}", b'"t"', b"[1]", b'["t",""]', b'["a\\nb"]', b"[", b"\xff", b"NaN"),
        *(b"[" * 5000, b'{"a":' * 5000, b"[%s]" % (b"1" * 5000)),
    ],
    ids=lambda line: line[:8],
)
def test_what_are_no_topics_is_malformed(line: bytes) -> None:
    """Also if a payload of ours follows."""
    record = record_of(NAMES, headers(), line + b'\n{"v":1,"data":"x"}')
    assert record.topics == ()
    assert record.payload.startswith(b"foreign: ")


@given(st.text(), st.text())
def test_keys_keep_their_difference(one: str, other: str) -> None:
    """In characters that a header can carry, none of which NATS would strip."""
    packed, second = pack_key(one), pack_key(other)
    assert (one == other) == (packed == second)
    assert packed.isascii()
    assert packed.isprintable()
    assert " " not in packed


@given(st.integers(0, 2**62))
def test_a_mark_is_a_moment(moment: int) -> None:
    """The one after which whatever is stored is of another history."""
    after = moment_after(f"{moment:x}")
    assert after is not None
    assert nanoseconds(after) == moment + 1


@pytest.mark.parametrize(
    ("stamp", "fraction"),
    [("12:00:00Z", 0), ("12:00:00.1Z", 100_000_000), ("12:00:00.000000001Z", 1)],
)
def test_the_server_leaves_zeros_out(stamp: str, fraction: int) -> None:
    """A stamp has nine digits or fewer behind the point, or none."""
    assert nanoseconds(f"2026-01-01T{stamp}") % 10**9 == fraction


@given(st.text())
def test_any_mark_may_come_from_a_client(mark: str) -> None:
    """What is none of ours is no moment; it never raises."""
    after = moment_after(mark)
    assert after is None or nanoseconds(after) > 0


# In the server ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_topics_in_a_header_are_limited(nats_engine: Reachable, namespace: str) -> None:
    """The naive way: NATS refuses 64 KiB of headers, and strips them; a line of data is free."""
    topics = tuple(f" {number:060} " for number in range(1100))
    async with plain_client(nats_engine.url) as client:
        await api(client, f"STREAM.CREATE.{namespace}", name=namespace, subjects=[namespace])
        naive = await client.request(namespace, b"", headers={"Topics": json.dumps(topics)})
        assert "exceeds maximum" in json.loads(naive.data)["error"]["description"]
        await api(client, f"STREAM.DELETE.{namespace}")
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        await transport.publish(Publication(topics, b"x"))
        (record,) = (await transport.read(0, limit=1)).records
    assert record.topics == topics


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [64 * 1024, MIB])
async def test_the_limit_is_the_server_s(own_nats: OwnNats, namespace: str, limit: int) -> None:
    """A message of exactly ``max_payload`` with its header is taken; one byte more is not sent."""
    engine = own_nats(config={"max_payload": str(limit)})
    keep = Retention(max_bytes=None)
    async with NatsTransport(
        engine.url, namespace=namespace, max_message=limit, retention=keep
    ) as transport:
        keyed = Publication(TOPICS, b"", "k")
        room = limit - size_of(keyed)
        await transport.publish(Publication(TOPICS, b"", "empty"))
        await transport.publish(Publication(TOPICS, bytes(transport.traits.max_payload or 0), "l"))
        async with plain_client(engine.url) as client:
            subject = Names(namespace).records((await transport.bounds()).epoch)
            data = pack_topics(TOPICS) + bytes(room)
            largest = client.request(subject, data, headers={KEY_HEADER: "k"})
            assert b'"seq"' in (await largest).data.replace(b" ", b"")
        for payload, topics in ((bytes(limit), TOPICS), (b"", ("t" * 200,) * (limit // 200))):
            with pytest.raises(PayloadTooLarge):
                await transport.publish(Publication(topics, payload))
        epoch = (await transport.bounds()).epoch
        async with reading(transport, Position(epoch, 0)) as tail:
            sizes = [len((await tail.record()).payload) for _ in range(3)]
    assert sizes == [0, transport.traits.max_payload, room]


@pytest.mark.anyio
async def test_files_take_no_larger_record(own_nats: OwnNats, namespace: str) -> None:
    """Whatever the server's ``max_payload``: so that is the most that a setting may ask for."""
    engine = own_nats(config={"max_payload": str(64 * MIB)})
    async with NatsTransport(engine.url, namespace=namespace, max_message=LARGEST) as transport:
        await transport.publish(Publication(TOPICS, bytes(transport.traits.max_payload or 0)))
        async with plain_client(engine.url) as client:
            subject = Names(namespace).records((await transport.bounds()).epoch)
            naive = await client.request(subject, bytes(32 * MIB), timeout=PATIENCE)
            assert "too large" in json.loads(naive.data)["error"]["description"]
    with pytest.raises(InvalidSetting, match="max_message"):
        NatsTransport(engine.url, max_message=32 * MIB)


@pytest.mark.anyio
async def test_many_large_records_come_in_pages(nats_engine: Reachable, namespace: str) -> None:
    """A read brings what fits into it, and the next one the rest; a tail all of them."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        large = transport.traits.max_payload or 0
        for number in range(20):
            await transport.publish(Publication(TOPICS, bytes(large), str(number)))
        page = await transport.read(0, limit=99)
        assert 0 < len(page.records) < 20
        epoch = page.bounds.epoch
        async with reading(transport, Position(epoch, 0)) as tail:
            assert [(await tail.record()).position.offset for _ in range(20)] == list(range(1, 21))


@pytest.mark.anyio
async def test_what_is_not_ours_is_skipped_counted_and_logged_once(
    nats_engine: Reachable, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its offset is consumed: what follows is handed out with its own."""
    caplog.set_level(logging.WARNING, "sse_kit")
    registry = ConnectionRegistry(NatsTransport(nats_engine.url, namespace=namespace))
    async with registry, plain_client(nats_engine.url) as client:
        connection = await registry.add_connection(topics=["t"])
        first = await registry.publish("t", "ours")
        strange = (b"", b"no line", b'["t"]\nno message', b'["t"]\n{"v":9,"data":"later"}', DEEP)
        for data in strange:
            await client.publish(Names(namespace).records(first.epoch), data)
        await client.flush()
        last = await registry.publish("t", "ours too")
        messages = [await anext(connection), await anext(connection)]
        stats = registry.get_stats()["hub"]
    assert [message.data for message in messages] == ["ours", "ours too"]
    assert last.offset == first.offset + len(strange) + 1
    assert stats["malformed"] == len(strange)
    assert caplog.text.count("malformed record") == 1


@pytest.mark.anyio
async def test_a_status_in_a_message_ends_no_read(nats_engine: Reachable, namespace: str) -> None:
    """What follows it comes as well, although it is not there yet."""
    async with (
        NatsTransport(nats_engine.url, namespace=namespace) as transport,
        plain_client(nats_engine.url) as client,
    ):
        subject = Names(namespace).records((await transport.bounds()).epoch)
        await client.request(subject, b"", headers={"Status": "503"})
        for number in range(2):
            await transport.publish(Publication(TOPICS, bytes(MIB // 3), str(number)))
        page = await transport.read(0, limit=9)
    assert offsets(page.records) == [1, 2, 3]


@pytest.mark.anyio
async def test_a_hole_is_told(nats_engine: Reachable, namespace: str) -> None:
    """Somebody took a record out of the middle: what is left is not joined in silence."""
    async with (
        NatsTransport(nats_engine.url, namespace=namespace) as transport,
        plain_client(nats_engine.url) as client,
    ):
        positions = await publish(transport, range(1, 8))
        log = Names(namespace).log
        await api(client, f"STREAM.MSG.DELETE.{log}", seq=4)
        page = await transport.read(1, limit=9)
        assert offsets(page.records) == [2, 3]
        assert (await transport.read(3, limit=9)).bounds.first == 5
        async with reading(transport, positions[1]) as tail:
            assert await numbers(tail, 1) == [3]
            gap = await tail.gap()
            assert (gap.reason, gap.resume.offset, gap.missed) == (GapReason.TRIMMED, 4, 1)
            assert await numbers(tail, 3) == [5, 6, 7]


# What stays ------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    "keep",
    [Retention(max_records=10), Retention(max_records=None, max_bytes=10_000)],
    ids=["records", "bytes"],
)
async def test_retention_by_count_and_by_bytes(
    nats_engine: Reachable, namespace: str, keep: Retention
) -> None:
    """The oldest go, and their going shows."""
    async with NatsTransport(nats_engine.url, namespace=namespace, retention=keep) as transport:
        for number in range(60):
            await transport.publish(Publication(TOPICS, b"%0500d" % number))
        bounds = await transport.bounds()
        page = await transport.read(0, limit=99)
    assert bounds.last == 60
    assert 10 <= bounds.last - bounds.first + 1 <= 20
    assert offsets(page.records) == list(range(bounds.first, 61))


@pytest.mark.anyio
async def test_retention_by_age(nats_engine: Reachable, namespace: str) -> None:
    """An empty log remembers where it was, and its end keeps its mark."""
    url, keep = nats_engine.url, Retention(max_age=1.1)
    async with NatsTransport(
        url, namespace=namespace, retention=keep, publish_timeout=1.0
    ) as transport:
        positions = await publish(transport, range(3))
        marked = (await transport.bounds()).end

        async def is_empty() -> bool:
            bounds = await transport.bounds()
            return bounds.first > bounds.last

        async with reading(transport, Position(marked.epoch, 0)) as tail:
            assert await numbers(tail, 3) == [0, 1, 2]
            await until(is_empty)
            assert await transport.locate(marked) == marked
            assert await transport.locate(positions[0]) == positions[0]
            assert (await publish(transport, [3]))[0].offset == 4
            assert await numbers(tail, 1) == [3]
        assert transport.traits.dedup_window == 1.1


@pytest.mark.anyio
async def test_a_key_is_known_for_the_window(nats_engine: Reachable, namespace: str) -> None:
    """After it the same key is another publication."""
    url = nats_engine.url
    async with NatsTransport(
        url, namespace=namespace, dedup_window=1.1, publish_timeout=1.0
    ) as transport:
        assert not (await transport.publish(numbered(1, key="k"))).duplicate
        assert (await transport.publish(numbered(1, key="k"))).duplicate

        async def is_forgotten() -> bool:
            return not (await transport.publish(numbered(1, key="k"))).duplicate

        await until(is_forgotten)
        assert (await transport.bounds()).last == 2


@pytest.mark.anyio
async def test_namespaces_do_not_see_each_other(nats_engine: Reachable, namespace: str) -> None:
    """Also where one is the beginning of the other, and keys are the same."""
    longer, other = f"{namespace}-nodes", fresh_namespace()
    names = (namespace, longer, other)
    for number, name in enumerate(names):
        async with NatsTransport(nats_engine.url, namespace=name) as transport:
            await transport.beat("node", {"t": number}, lease=60.0)
            assert not (await transport.publish(numbered(number, key="k"))).duplicate
    for number, name in enumerate(names):
        async with NatsTransport(nats_engine.url, namespace=name) as transport:
            (record,) = (await transport.read(0, limit=9)).records
            assert record.payload == b"%d" % number
            assert await transport.nodes() == {"node": {"t": number}}
