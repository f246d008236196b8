"""The registry's entries, publishing, and sending to one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from sse_kit import (
    CloseReason,
    ConnectionRegistry,
    ConnectionState,
    Hooks,
    MemoryLog,
    MemoryTransport,
    Retention,
    SSEMessage,
)
from sse_kit.errors import (
    DuplicateConnection,
    InvalidInput,
    InvalidMessage,
    InvalidSetting,
    InvalidTopic,
    NotPublishable,
    PayloadTooLarge,
    RegistryNotRunning,
    UnknownConnection,
)
from sse_kit.testing.asgi import ASGIProbe
from tests.registry_tools import Recorder, happens, probe, received, request, texts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sse_kit.transports.base import Publication, Published

pytestmark = pytest.mark.anyio

NO_LINES: tuple[Any, ...] = ("", "a\nb", "a\rb", "a\0b", "\ud800", b"bytes", 7)


@pytest.fixture
async def registry() -> AsyncGenerator[ConnectionRegistry, None]:
    """Return a running registry."""
    async with ConnectionRegistry() as running:
        yield running


# Entries ------------------------------------------------------------------------------------------


async def test_generated_ids_are_the_type_and_a_number() -> None:
    """The number goes on over all types, as in the origin."""
    registry = ConnectionRegistry()
    kinds = ("user", "user", "job")
    made = [await registry.add_connection(conn_type=kind) for kind in kinds]
    assert [each.connection_id for each in made] == ["user_1", "user_2", "job_3"]


async def test_a_generated_id_is_one_that_nobody_has() -> None:
    """Not even somebody who chose it."""
    registry = ConnectionRegistry()
    await registry.add_connection("user_1")
    assert (await registry.add_connection(conn_type="user")).connection_id == "user_2"


async def test_an_id_that_is_in_use_is_refused() -> None:
    """The entry that has it stays as it is."""
    registry = ConnectionRegistry()
    first = await registry.add_connection("mine")
    with pytest.raises(DuplicateConnection) as caught:
        await registry.add_connection("mine")
    assert caught.value.connection_id == "mine"
    assert registry.get_connections() == [first]
    assert first.is_active()


async def test_an_id_is_free_again_after_its_connection_was_removed() -> None:
    """Also when that was closed before."""
    registry = ConnectionRegistry()
    first = await registry.add_connection("mine")
    first.close()
    with pytest.raises(DuplicateConnection):
        await registry.add_connection("mine")
    await registry.remove_connection("mine")
    assert await registry.add_connection("mine") is not first


@pytest.mark.parametrize("value", NO_LINES, ids=repr)
async def test_an_id_or_a_type_is_one_line_of_text(value: str) -> None:
    """Nothing is made of anything else, by hand or for a stream."""
    async with ConnectionRegistry() as registry:
        with pytest.raises(InvalidInput):
            await registry.add_connection(value)
        with pytest.raises(InvalidInput):
            await registry.add_connection(conn_type=value)
        with pytest.raises(InvalidInput):
            registry.stream(request(), ["news"], connection_id=value)
        with pytest.raises(InvalidInput):
            registry.stream(request(), ["news"], connection_type=value)
        assert registry.get_stats()["total"] == 0
        assert registry.get_stats()["hub"]["subscriptions"] == 0


@pytest.mark.parametrize("size", [0, -1, 1.5, "10"])
async def test_a_queue_has_room_for_one_at_least(size: int) -> None:
    """The setting is refused by its name."""
    with pytest.raises(InvalidSetting, match="queue_size"):
        await ConnectionRegistry().add_connection(queue_size=size)


async def test_removing_an_unknown_id_does_nothing() -> None:
    """As in the origin."""
    await ConnectionRegistry().remove_connection("nobody")


async def test_a_removed_connection_is_disconnected() -> None:
    """For the reason that it was closed."""
    registry = ConnectionRegistry()
    connection = await registry.add_connection("mine")
    await registry.remove_connection("mine")
    assert connection.status.state is ConnectionState.DISCONNECTED
    assert connection.close_reason is CloseReason.CLOSED
    assert registry.get_connection("mine") is None


async def test_a_connection_may_be_removed_for_another_reason() -> None:
    """One that was kicked is told to stay away, after all that waited for it."""
    async with ConnectionRegistry() as registry, probe(registry).get("/") as stream:
        await stream.next_block()
        [connection] = registry.get_connections()
        await registry.publish("news", "last words")
        await registry.remove_connection(connection.connection_id, CloseReason.KICKED)
        blocks = await stream.read_until_end()
    assert (blocks[-1].event, blocks[-1].data) == ("close", '{"reason": "kicked"}')
    assert connection.close_reason is CloseReason.KICKED


async def test_what_connections_got_is_counted_when_they_are_gone(
    registry: ConnectionRegistry,
) -> None:
    """Of topics and of ``send``: a rate can be made of it, since it only grows."""
    connection = await registry.add_connection("mine", topics=["news"])
    position = await registry.publish("news", "x")
    await happens(lambda: registry.position() == position)
    await connection.send("y")
    await registry.remove_connection("mine")
    stats = registry.get_stats()
    assert (stats["message_count"], stats["ended"]["message_count"]) == (0, 2)


async def test_connections_are_listed_oldest_first() -> None:
    """All, of one type, and those that are active."""
    registry = ConnectionRegistry()
    kinds = ("b", "a", "b", "c")
    made = [await registry.add_connection(f"{place}", kind) for place, kind in enumerate(kinds)]
    made[2].close()
    assert registry.get_connections() == made
    assert registry.get_connections("b") == [made[0], made[2]]
    assert registry.get_connections("none") == []
    assert registry.get_active_connections() == [made[0], made[1], made[3]]
    assert registry.get_active_connections("b") == [made[0]]


async def test_topics_need_a_running_registry() -> None:
    """And nothing is entered without one."""
    registry = ConnectionRegistry()
    with pytest.raises(RegistryNotRunning):
        await registry.add_connection(topics=["news"])
    assert registry.get_connections() == []


async def test_a_topic_may_be_given_by_itself(registry: ConnectionRegistry) -> None:
    """A str is one topic, not its letters; twice is once."""
    one = await registry.add_connection(topics="news")
    two = await registry.add_connection(topics=["news", "news"])
    assert one.topics == two.topics == {"news"}


# Statistics ---------------------------------------------------------------------------------------


async def test_statistics_have_the_origins_counts_and_the_hubs(
    registry: ConnectionRegistry,
) -> None:
    """The hub's are None while the registry is not running."""
    await registry.add_connection(conn_type="user", topics=["news"])
    await registry.add_connection(conn_type="job")
    await registry.publish("news", "text")
    position = await registry.publish("other", "text")
    await happens(lambda: registry.position() == position)
    stats = registry.get_stats()
    hub = stats.pop("hub")
    assert stats == {
        "total": 2,
        "active": 2,
        "by_type": {"user": 1, "job": 1},
        "message_count": 1,
        "dropped": 0,
        "ended": {"total": 0, "by_reason": {}, "message_count": 0, "dropped": 0},
    }
    assert hub == {
        "position": str(position),
        "ring_records": 2,
        "ring_bytes": hub["ring_bytes"],
        "topics": 1,
        "subscriptions": 1,
        "catching_up": 0,
        "records": 2,
        "malformed": 0,
        "gaps": 0,
    }
    assert hub["ring_bytes"] > 0
    assert ConnectionRegistry().get_stats()["hub"] is None


async def test_statistics_are_json(registry: ConnectionRegistry) -> None:
    """So a page can be given them as they are."""
    await registry.add_connection(topics=["news"], metadata={"not": object()})
    assert json.loads(json.dumps(registry.get_stats())) == registry.get_stats()


async def test_statistics_have_a_route_of_their_own(registry: ConnectionRegistry) -> None:
    """It answers with them as JSON, never stored."""
    await registry.add_connection(conn_type="user")
    app = Starlette(routes=[Route("/sse/connections", registry.stats_endpoint)])
    async with ASGIProbe(app).get("/sse/connections") as response:
        await response.finished()
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        assert json.loads(response.raw) == registry.get_stats()


# Publishing ---------------------------------------------------------------------------------------


async def test_a_message_reaches_whoever_follows_its_topic(registry: ConnectionRegistry) -> None:
    """With its position as id; nobody else gets it."""
    follower = await registry.add_connection(topics=["news", "weather"])
    other = await registry.add_connection(topics=["sport"])
    position = await registry.publish("news", {"a": 1}, event="tick")
    [message] = await received(follower, 1)
    assert message == SSEMessage('{"a":1}', event="tick", id=str(position))
    assert other.message_count == 0


async def test_a_message_of_several_topics_reaches_a_connection_once(
    registry: ConnectionRegistry,
) -> None:
    """However many of them it has, and however often one is named."""
    follower = await registry.add_connection(topics=["a", "b", "c"])
    await registry.publish(("a", "b", "b", "x"), "first")
    await registry.publish("c", "second")
    assert await texts(follower, 2) == ["first", "second"]
    assert follower.message_count == 2


async def test_a_key_stores_a_message_once(registry: ConnectionRegistry) -> None:
    """The second call gets the first position, and its value is dropped."""
    follower = await registry.add_connection(topics=["news"])
    first = await registry.publish("news", "first", key="k")
    again = await registry.publish("news", "second", key="k")
    await registry.publish("news", "third")
    assert again == first
    assert await texts(follower, 2) == ["first", "third"]


class KeyedTransport(MemoryTransport):
    """Notes the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str | None] = []

    async def publish(self, publication: Publication, /) -> Published:
        """Note the key."""
        self.keys.append(publication.key)
        return await super().publish(publication)


async def test_every_message_has_a_key() -> None:
    """Its own, where none is given: a transport can try again, and two calls are two messages."""
    transport = KeyedTransport()
    async with ConnectionRegistry(transport) as registry:
        first = await registry.publish("news", "same")
        second = await registry.publish("news", "same")
        await registry.publish("news", "same", key="mine")
    assert second.offset == first.offset + 1
    one, two, mine = transport.keys
    assert one
    assert two
    assert one != two
    assert mine == "mine"


RESERVED_EVENTS = ("error", "open", "gap", "bye")
NO_TOPICS: tuple[Any, ...] = ((), [], None, ("news", ""), ("news", 7))

REFUSED: tuple[tuple[Any, Any, dict[str, Any], type[InvalidInput]], ...] = (
    ("news", SSEMessage("text", id="7"), {}, NotPublishable),
    ("news", SSEMessage("text", id=""), {}, NotPublishable),
    *(("news", "text", {"event": name}, NotPublishable) for name in RESERVED_EVENTS),
    ("news", SSEMessage("text", event="bye"), {}, NotPublishable),
    ("news", SSEMessage("text", event="one"), {"event": "two"}, InvalidMessage),
    *(("news", value, {}, InvalidMessage) for value in (b"bytes", bytearray(), None)),
    *(("news", value, {}, InvalidMessage) for value in (float("nan"), [float("inf")], object())),
    *(("news", "text", {"event": name}, InvalidMessage) for name in ("", "a\nb", "a\0b")),
    *((topic, "text", {}, InvalidTopic) for topic in NO_LINES),
    *((topic, "text", {}, InvalidTopic) for topic in NO_TOPICS),
    *(("news", "text", {"key": key}, InvalidInput) for key in ("", "a\nb", "k" * 257)),
    ("news", "x" * 1_100, {}, PayloadTooLarge),
)


@pytest.mark.parametrize(("topic", "value", "options", "error"), REFUSED, ids=repr)
async def test_what_cannot_be_published_is_refused_before_anything_is_sent(
    topic: str, value: object, options: dict[str, Any], error: type[InvalidInput]
) -> None:
    """By an error of its own kind; the log stays empty, and no hook is told."""
    log = MemoryLog(Retention(max_bytes=1_000))
    published = Recorder()
    hooks = Hooks(published=published)
    async with ConnectionRegistry(MemoryTransport(log=log), hooks=hooks) as registry:
        with pytest.raises(error):
            await registry.publish(topic, value, **options)
    assert log.bounds().last == 0
    assert published.events == []


async def test_the_error_for_a_topic_shows_what_was_given() -> None:
    """Not one byte of it."""
    async with ConnectionRegistry() as registry:
        with pytest.raises(InvalidTopic, match="b'news'"):
            await registry.publish(b"news", "text")  # type: ignore[arg-type]


async def test_publishing_needs_a_running_registry() -> None:
    """So does asking for the position; the error names the call."""
    registry = ConnectionRegistry()
    with pytest.raises(RegistryNotRunning, match=r"publish\(\)"):
        await registry.publish("news", "text")
    with pytest.raises(RegistryNotRunning, match=r"position\(\)"):
        registry.position()
    with pytest.raises(RegistryNotRunning, match=r"stream\(\)"):
        registry.stream(request(), ["news"])


async def test_a_page_connects_from_the_position_it_was_rendered_at(
    registry: ConnectionRegistry,
) -> None:
    """What is published between rendering and connecting is not missed."""
    await registry.publish("news", "rendered into the page")
    await anyio.wait_all_tasks_blocked()
    cursor = str(registry.position())
    await registry.publish("news", "between")
    async with probe(registry).get("/", query={"last_event_id": cursor}) as stream:
        assert (await stream.next_event()).data == "between"


async def test_two_registries_on_one_log_are_a_cluster() -> None:
    """What one publishes, the clients of the other get."""
    log = MemoryLog()
    async with (
        ConnectionRegistry(MemoryTransport(log=log)) as one,
        ConnectionRegistry(MemoryTransport(log=log)) as two,
    ):
        followers = [await each.add_connection(topics=["news"]) for each in (one, two)]
        await one.publish("news", "from one")
        await two.publish("news", "from two")
        for follower in followers:
            assert await texts(follower, 2) == ["from one", "from two"]


# Sending ------------------------------------------------------------------------------------------


async def test_sending_to_nobody_is_an_error(registry: ConnectionRegistry) -> None:
    """It names the id, and is a LookupError too."""
    with pytest.raises(UnknownConnection) as caught:
        await registry.send("nobody", "text")
    assert caught.value.connection_id == "nobody"
    assert isinstance(caught.value, LookupError)


async def test_what_is_sent_reaches_one_connection_without_an_id(
    registry: ConnectionRegistry,
) -> None:
    """Nobody else gets it, and the log does not hold it."""
    mine = await registry.add_connection("mine", topics=["news"])
    other = await registry.add_connection("other", topics=["news"])
    before = registry.position()
    assert await registry.send("mine", {"a": 1}, event="tick") is True
    assert await received(mine, 1) == [SSEMessage('{"a":1}', event="tick")]
    assert other.message_count == 0
    assert registry.position() == before


@pytest.mark.parametrize(
    "value", [SSEMessage("text", id="7"), SSEMessage("text", event="gap"), None, b"bytes"], ids=repr
)
async def test_what_cannot_be_sent_is_refused(registry: ConnectionRegistry, value: object) -> None:
    """An id would move the client's cursor; the connection is not hurt."""
    mine = await registry.add_connection("mine")
    with pytest.raises(InvalidMessage):
        await registry.send("mine", value)
    assert mine.is_active()
    assert mine.message_count == 0


async def test_what_waits_to_be_sent_is_bounded_by_the_registrys_settings() -> None:
    """In bytes, for streams and for connections made by hand."""
    async with ConnectionRegistry(queue_bytes=1_000) as registry:
        await registry.add_connection("by hand")
        async with probe(registry, connection_id="stream").open("GET", "/") as stream:
            stream.stall()
            await happens(lambda: registry.get_connection("stream") is not None)
            for connection in registry.get_connections():
                assert await connection.send("x" * 600, timeout=0)
                assert not await connection.send("x" * 600, timeout=0)


async def test_what_was_sent_is_not_replayed_and_moves_no_cursor(
    registry: ConnectionRegistry,
) -> None:
    """A client that comes back gets what was published, all of it, and nothing else."""
    client = probe(registry, connection_id="mine")
    async with client.get("/") as stream:
        await registry.publish("news", "one")
        assert (await stream.next_event()).data == "one"
        cursor = stream.last_event_id
        await registry.send("mine", "private")
        private = await stream.next_event()
        assert (private.data, private.id) == ("private", None)
        assert stream.last_event_id == cursor
    await registry.publish("news", "two")
    async with stream.reconnect() as again:
        assert (await again.next_event()).data == "two"
