"""sse_kit.monitor.census: what one look finds, and which rows a view gets of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit import ConnectionRegistry, ConnectionState, DropOldest
from sse_kit.monitor.census import FACTS, KINDS, TOPICS, breakdown, key_of, take_census
from sse_kit.monitor.models import CLIP, Sort, View
from tests.registry_tools import happens

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sse_kit.monitor.census import Census

pytestmark = pytest.mark.anyio


@pytest.fixture
async def registry() -> AsyncGenerator[ConnectionRegistry, None]:
    async with ConnectionRegistry() as made:
        yield made


async def look(
    registry: ConnectionRegistry, before: Mapping[str, int] | None = None, *, metadata: bool = False
) -> Census:
    return await take_census(registry.get_connections(), before, 2.0, metadata=metadata)


async def ids(registry: ConnectionRegistry, count: int = 10, **view: object) -> list[str]:
    """Return the ids of the first rows of a view."""
    census = await look(registry)
    wanted = View.model_validate(view)
    found = census.first(census.matching(wanted), wanted, count)
    return [each.connection_id for each in found]


async def test_a_view_filters_by_type_state_topic_and_id(registry: ConnectionRegistry) -> None:
    """All of what it says must hold; what it does not say is whatever it is."""
    await registry.add_connection("Ann", "user", topics=["news", "sport"])
    await registry.add_connection("bert", "user", topics=["news"])
    await registry.add_connection("job_1", "job")
    gone = await registry.add_connection("job_2", "job")
    gone.close()
    assert await ids(registry) == ["Ann", "bert", "job_1", "job_2"]
    assert await ids(registry, type="user") == ["Ann", "bert"]
    assert await ids(registry, state=ConnectionState.DISCONNECTED) == ["job_2"]
    assert await ids(registry, topic="sport") == ["Ann"]
    assert await ids(registry, topic="spor") == []
    assert await ids(registry, text="AN") == ["Ann"]
    assert await ids(registry, type="job", text="1") == ["job_1"]


async def test_a_view_has_an_order_and_a_length(registry: ConnectionRegistry) -> None:
    """The largest first, or the smallest; as many as fit."""
    for number, name in enumerate(["none", "few", "many"]):
        connection = await registry.add_connection(name, queue_size=100)
        for _ in range(number * 2):
            await connection.send("x")
    assert await ids(registry) == ["none", "few", "many"]
    assert await ids(registry, ascending=True) == ["many", "few", "none"]
    assert await ids(registry, 2, sort=Sort.MESSAGES) == ["many", "few"]
    assert await ids(registry, 1, sort=Sort.MESSAGES, ascending=True) == ["none"]
    assert await ids(registry, 1, sort=Sort.IDLE) == ["none"]


async def test_the_laggiest_come_first(registry: ConnectionRegistry) -> None:
    """Lag is what waits, or lies between the connection and the head; drops are their own order."""
    await registry.add_connection("idle", topics=["quiet"])
    await registry.add_connection("slow", topics=["news"])
    await registry.add_connection("lossy", topics=["news"], queue_size=1, overflow=DropOldest())
    for _ in range(5):
        position = await registry.publish("news", "x")
    await happens(lambda: registry.position() == position)
    assert await ids(registry, 2, sort=Sort.LAG) == ["slow", "lossy"]
    assert await ids(registry, 1, sort=Sort.DROPPED) == ["lossy"]
    rows = [
        (row.lag, row.dropped)
        for row in map((await look(registry)).row, registry.get_connections())
    ]
    assert rows == [(0, 0), (5, 0), (1, 4)]


async def test_rates_are_what_came_since_the_look_before(registry: ConnectionRegistry) -> None:
    """Who came since then has got all of it since; without a look before, nobody has a rate."""
    old = await registry.add_connection("old")
    await old.send("x")
    first = await look(registry)
    assert first.row(old).rate is None
    for _ in range(4):
        await old.send("x")
    new = await registry.add_connection("new")
    await new.send("x")
    second = await look(registry, first.counts)
    assert (second.row(old).rate, second.row(new).rate) == (2.0, 0.5)
    view = View(sort=Sort.RATE)
    assert second.first(second.matching(view), view, 1) == [old]


async def test_who_took_over_an_id_has_no_negative_rate(registry: ConnectionRegistry) -> None:
    """Its count begins anew."""
    connection = await registry.add_connection("one")
    assert (await look(registry, {"one": 7})).row(connection).rate == 0.0


async def test_a_look_counts_states_and_topics(registry: ConnectionRegistry) -> None:
    """A topic counts once for each connection that follows it."""
    await registry.add_connection("a", topics=["news", "sport"])
    await registry.add_connection("b", topics=["news"])
    (await registry.add_connection("c")).close()
    census = await look(registry)
    assert census.states == {"connected": 2, "disconnected": 1}
    assert census.topics == {"news": 2, "sport": 1}
    assert census.active == 2


async def test_a_row_is_bounded(registry: ConnectionRegistry) -> None:
    """Whatever a client calls itself, and whatever is known of it."""
    connection = await registry.add_connection(
        "i" * 5_000,
        "t" * 5_000,
        metadata={f"name {number}": "v" * 5_000 for number in range(100)},
        topics=[f"{number}" * 500 for number in range(100)],
    )
    row = (await look(registry, metadata=True)).row(connection)
    assert (len(row.id), len(row.type), len(row.topics), row.topic_count) == (
        CLIP,
        CLIP,
        TOPICS,
        100,
    )
    assert len(row.metadata) == FACTS
    assert max(map(len, [*row.topics, *row.metadata.values()])) == CLIP


async def test_metadata_is_shown_only_if_asked_for(registry: ConnectionRegistry) -> None:
    """It may be private; what is no text is shown as its ``str``, and what has no UTF-8 marked."""
    connection = await registry.add_connection(metadata={"user": 7, "name": "\ud800"})
    assert (await look(registry)).row(connection).metadata == {}
    shown = (await look(registry, metadata=True)).row(connection).metadata
    assert shown == {"user": "7", "name": "?"}


async def test_a_key_is_of_one_connection(registry: ConnectionRegistry) -> None:
    """Not of another with the same id, and never longer than a digest."""
    first = await registry.add_connection("x" * 5_000)
    key = key_of(first)
    assert key == key_of(first)
    assert len(key) == 24
    await registry.remove_connection(first.connection_id)
    assert key_of(await registry.add_connection(first.connection_id)) != key


def test_a_breakdown_has_the_most_frequent_and_says_how_many_there_are() -> None:
    """As frequent ones are in the order they came in, so that they keep their places."""
    counts = {f"{number:03}": 1 for number in range(100)} | {"many": 5}
    made = breakdown(counts)
    assert made.kinds == 101
    assert [(each.name, each.count) for each in made.shown[:2]] == [("many", 5), ("000", 1)]
    assert len(made.shown) == KINDS
