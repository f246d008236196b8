"""A connection: its states, what is sent to it, iterating it, and what it tells of itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import (
    CloseReason,
    ConnectionRegistry,
    ConnectionState,
    Gap,
    MemoryTransport,
    Position,
    Retention,
    SSEConnection,
    SSEMessage,
)
from sse_kit.errors import InvalidMessage, NotPublishable
from sse_kit.states import Connected, Connecting, Disconnected, Errored, Reconnecting
from tests.registry_tools import happens, probe, received, seen, texts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def registry() -> AsyncGenerator[ConnectionRegistry, None]:
    """Return a running registry."""
    async with ConnectionRegistry() as running:
        yield running


def only(registry: ConnectionRegistry) -> SSEConnection:
    [connection] = registry.get_connections()
    return connection


def is_recent(moment: datetime) -> bool:
    return moment.tzinfo is UTC and abs((datetime.now(UTC) - moment).total_seconds()) < 60


# States -------------------------------------------------------------------------------------------


def test_a_new_connection_is_connecting() -> None:
    """Since it was made."""
    connection = SSEConnection("mine")
    assert isinstance(connection.status, Connecting)
    assert is_recent(connection.status.since)


async def test_a_connection_made_by_hand_is_connected_at_once(
    registry: ConnectionRegistry,
) -> None:
    """It came with no Last-Event-ID, so it resumes nothing."""
    connection = await registry.add_connection(topics=["news"])
    assert isinstance(connection.status, Connected)
    assert connection.status.resumed_from is None


async def test_a_stream_is_connecting_until_its_response_starts(
    registry: ConnectionRegistry,
) -> None:
    """Then connected."""
    async with probe(registry).open("GET", "/") as stream:
        stream.stall()
        await happens(lambda: registry.get_connections() != [])
        connection = only(registry)
        assert connection.state.value == "connecting"
        stream.resume()
        await stream.next_block()
        assert connection.state.value == "connected"


class HeldTransport(MemoryTransport):
    """Finds positions when it may."""

    def __init__(self) -> None:
        super().__init__(retention=Retention(max_records=50))
        self.may_find = anyio.Event()

    async def locate(self, position: Position, /) -> Position | Gap:
        """Wait, then look."""
        await self.may_find.wait()
        return await super().locate(position)


async def test_a_stream_that_resumes_is_reconnecting_until_it_is_live() -> None:
    """It tells from where, in both states; what it missed comes first."""
    transport = HeldTransport()
    async with ConnectionRegistry(transport, ring_size=1) as registry:
        first = await registry.publish("news", "one")
        await registry.publish("news", "two")
        await anyio.wait_all_tasks_blocked()
        older = str(Position("another-log", first.offset))
        async with probe(registry).get("/", last_event_id=older) as stream:
            connection = only(registry)
            status = connection.status
            assert isinstance(status, Reconnecting)
            assert status.resumes_from == older
            assert connection.is_active()
            transport.may_find.set()
            assert [(await stream.next_event()).event for _ in range(3)] == ["gap", None, None]
            await happens(lambda: connection.state is ConnectionState.CONNECTED)
            assert isinstance(connection.status, Connected)
            assert connection.status.resumed_from == older
            assert connection.status.since > status.since


async def test_a_stream_that_has_missed_nothing_is_connected_at_once(
    registry: ConnectionRegistry,
) -> None:
    """There is nothing to catch up with."""
    await registry.publish("news", "one")
    await anyio.wait_all_tasks_blocked()
    here = str(registry.position())
    async with probe(registry).get("/", last_event_id=here):
        status = only(registry).status
        assert isinstance(status, Connected)
        assert status.resumed_from == here


async def test_an_id_that_is_no_position_resumes_at_the_head(registry: ConnectionRegistry) -> None:
    """The client is told, and is connected at once."""
    await registry.publish("news", "one")
    async with probe(registry).get("/", last_event_id="garbage") as stream:
        gap = await stream.next_event()
        assert json.loads(gap.data or "") == {"reason": "invalid", "missed": None}
        status = only(registry).status
        assert isinstance(status, Connected)
        assert status.resumed_from == "garbage"


async def test_overflow_leaves_a_connection_connected() -> None:
    """It falls behind and catches up: that is no state of its own."""
    async with ConnectionRegistry(ring_size=1) as registry:
        connection = await registry.add_connection(queue_size=2, topics=["news"])
        for number in range(20):
            await registry.publish("news", f"{number}")
        await anyio.wait_all_tasks_blocked()
        since = connection.status.since
        assert connection.info().lag > 10
        assert await texts(connection, 20) == [f"{number}" for number in range(20)]
        assert connection.state is ConnectionState.CONNECTED
        assert connection.status.since == since


async def test_closing_disconnects_for_good(registry: ConnectionRegistry) -> None:
    """The second close changes nothing, not even the time."""
    connection = await registry.add_connection("mine", topics=["news"])
    connection.close()
    status = connection.status
    assert isinstance(status, Disconnected)
    assert status.reason is CloseReason.CLOSED
    connection.close()
    assert connection.status == status
    assert registry.get_connection("mine") is connection
    assert registry.get_stats()["hub"]["subscriptions"] == 0


async def test_a_connection_without_room_is_in_error() -> None:
    """The status says why; closing it then disconnects it, and the first reason stays."""
    connection = SSEConnection("mine", queue_size=1)
    assert await connection.send("fits")
    assert not await connection.send("does not", timeout=0)
    status = connection.status
    assert isinstance(status, Errored)
    assert status.reason is CloseReason.SEND_TIMEOUT
    assert status.error == "no room for a message in 0 s"
    connection.close()
    assert connection.state.value == "disconnected"
    assert connection.close_reason is CloseReason.SEND_TIMEOUT


async def test_a_registry_that_is_left_leaves_an_error_as_it_was() -> None:
    """Only closing makes it disconnected."""
    async with ConnectionRegistry() as registry:
        connection = await registry.add_connection(queue_size=1)
        await connection.send("fits")
        await connection.send("does not", timeout=0)
    assert connection.state is ConnectionState.ERROR


async def test_the_state_is_read_only() -> None:
    """It changes by what happens."""
    connection = SSEConnection("mine")
    with pytest.raises(AttributeError):
        connection.state = ConnectionState.CONNECTED  # type: ignore[misc]


# Sending ------------------------------------------------------------------------------------------


async def test_a_sender_waits_for_room() -> None:
    """And succeeds when there is some."""
    connection = SSEConnection("mine", queue_size=1)
    results: list[bool] = []

    async def send() -> None:
        results.append(await connection.send("second", timeout=60))

    async with anyio.create_task_group() as tasks:
        await connection.send("first")
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        assert await texts(connection, 2) == ["first", "second"]
    assert results == [True]


async def test_every_sender_that_waits_gets_its_turn() -> None:
    """Nothing is lost, and nothing is put in over the limit."""
    connection = SSEConnection("mine", queue_size=1)
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(connection.send, f"{number}", 60)
        got = await texts(connection, 10)
    assert sorted(text or "" for text in got) == [f"{number}" for number in range(10)]
    assert connection.message_count == 10


async def test_bytes_are_bounded_too() -> None:
    """A single message always fits."""
    connection = SSEConnection("mine", queue_size=100, queue_bytes=100)
    assert await connection.send("x" * 1_000, timeout=0)
    assert not await connection.send("x", timeout=0)
    connection = SSEConnection("mine", queue_size=100, queue_bytes=100)
    assert [await connection.send("x" * 30, timeout=0) for _ in range(3)] == [True, True, False]


async def test_a_sender_that_waits_is_told_that_the_connection_is_closed() -> None:
    """False, and no error: the state stays disconnected."""
    connection = SSEConnection("mine", queue_size=1)
    results: list[bool] = []

    async def send() -> None:
        results.append(await connection.send("second", timeout=60))

    await connection.send("first")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        connection.close()
    assert results == [False]
    assert connection.state is ConnectionState.DISCONNECTED
    assert not await connection.send("third")


async def test_a_sender_that_is_cancelled_has_sent_nothing() -> None:
    """And has put nothing into error."""
    connection = SSEConnection("mine", queue_size=1)
    await connection.send("first")
    with anyio.move_on_after(0):
        await connection.send("second", timeout=60)
    assert connection.is_active()
    assert await texts(connection, 1) == ["first"]
    assert connection.message_count == 1


@pytest.mark.parametrize("value", [None, b"bytes", float("nan")], ids=repr)
async def test_what_is_no_message_is_refused(value: object) -> None:
    """Nothing is queued or counted."""
    connection = SSEConnection("mine")
    with pytest.raises(InvalidMessage):
        await connection.send(value)
    assert connection.message_count == 0


@pytest.mark.parametrize("message", [SSEMessage("x", id="1"), SSEMessage("x", event="gap")])
async def test_what_is_the_kits_own_is_refused(message: SSEMessage) -> None:
    """As in publish."""
    with pytest.raises(NotPublishable):
        await SSEConnection("mine").send(message)


# Iterating ----------------------------------------------------------------------------------------


async def test_iterating_gives_messages_with_their_positions(registry: ConnectionRegistry) -> None:
    """What was sent to this connection alone has none."""
    connection = await registry.add_connection(topics=["news"])
    one = await registry.publish("news", SSEMessage("1", event="tick", retry=7, comment="c"))
    assert await received(connection, 1) == [
        SSEMessage("1", id=str(one), event="tick", retry=7, comment="c")
    ]
    await connection.send("private")
    assert await received(connection, 1) == [SSEMessage("private")]


async def test_a_gap_comes_as_its_event() -> None:
    """With what was missed, and where it goes on."""
    transport = MemoryTransport(retention=Retention(max_records=4))
    async with ConnectionRegistry(transport, ring_size=2) as registry:
        connection = await registry.add_connection(queue_size=1, topics=["news"])
        for number in range(10):
            await seen(registry, await registry.publish("news", f"{number}"))
        first, gap, *rest = await received(connection, 6)
        assert first.data == "0"
        assert gap.event == "gap"
        assert json.loads(gap.data or "") == {"reason": "trimmed", "missed": 5}
        assert gap.id == str(Position(transport.log.bounds().epoch, 6))
        assert [message.data for message in rest] == ["6", "7", "8", "9"]
        assert connection.message_count == 5


async def test_iterating_ends_with_the_connection(registry: ConnectionRegistry) -> None:
    """After what was waiting, and again whenever it is tried."""
    connection = await registry.add_connection("mine", topics=["news"])
    await registry.publish("news", "waiting")
    await registry.send("mine", "private")
    await anyio.wait_all_tasks_blocked()
    connection.close()
    assert sorted([message.data or "" async for message in connection]) == ["private", "waiting"]
    assert [message.data async for message in connection] == []


async def test_closing_ends_everyone_who_iterates() -> None:
    """Not only the one who came last."""
    connection = SSEConnection("mine")
    got: list[SSEMessage] = []

    async def read() -> None:
        got.extend([message async for message in connection])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            connection.close()
    assert got == []


async def test_of_several_who_iterate_each_message_reaches_one(
    registry: ConnectionRegistry,
) -> None:
    """Also what one of them had taken with others when it stopped."""
    connection = await registry.add_connection(topics=["news"])
    got: list[str | None] = []

    async def read(count: int) -> None:
        got.extend(await texts(connection, count))

    async with anyio.create_task_group() as tasks:
        for count in (1, 5, 14):
            tasks.start_soon(read, count)
        await anyio.wait_all_tasks_blocked()
        for number in range(20):
            await registry.publish("news", f"{number}")
    assert sorted(got, key=lambda text: int(text or "")) == [f"{number}" for number in range(20)]


@given(moves=st.lists(st.sampled_from(("publish", "send", "wait", "read")), max_size=30))
async def test_being_cancelled_while_waiting_loses_nothing(moves: list[str]) -> None:
    """Whatever is published, sent and cancelled in whichever order: all comes, in order, once."""
    async with ConnectionRegistry(ring_size=2) as registry:
        connection = await registry.add_connection("mine", queue_size=40, topics=["news"])
        given_: dict[str, list[str]] = {"publish": [], "send": []}
        got: list[str] = []
        for number, move in enumerate(moves):
            if move == "publish":
                await registry.publish("news", f"publish {number}")
            elif move == "send":
                await connection.send(f"send {number}")
            elif move == "wait":
                with anyio.move_on_after(0):
                    await connection.wait()
            else:
                with anyio.move_on_after(0):
                    got.append((await anext(connection)).data or "")
            if move in given_:
                given_[move].append(f"{move} {number}")
        left = sum(map(len, given_.values())) - len(got)
        got += [text or "" for text in await texts(connection, left)]
        for kind, expected in given_.items():
            assert [text for text in got if text.startswith(kind)] == expected


async def test_a_reader_that_is_cancelled_again_and_again_gets_everything(
    registry: ConnectionRegistry,
) -> None:
    """While another task publishes."""
    connection = await registry.add_connection(topics=["news"])
    got: list[str | None] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_publish_all, registry, 300)
        with anyio.fail_after(10):
            while len(got) < 300:
                with anyio.CancelScope() as scope:
                    tasks.start_soon(_cancel, scope)
                    async for message in connection:
                        got.append(message.data)  # noqa: PERF401  it is cut off at any time
    assert got == [f"{number}" for number in range(300)]


async def _publish_all(registry: ConnectionRegistry, count: int) -> None:
    for number in range(count):
        await registry.publish("news", f"{number}")
        await anyio.lowlevel.checkpoint()


async def _cancel(scope: anyio.CancelScope) -> None:
    await anyio.lowlevel.checkpoint()
    scope.cancel()


# The writer's side --------------------------------------------------------------------------------


async def test_waiting_goes_on_while_there_is_nothing() -> None:
    """Being woken is no promise that there is something."""
    connection = SSEConnection("mine")
    done: list[str] = []

    async def wait() -> None:
        await connection.wait()
        done.append("over")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        connection.notify()
        await anyio.wait_all_tasks_blocked()
        assert done == []
        connection.close()
    assert done == ["over"]


async def test_a_checkpoint_is_handed_out_once(registry: ConnectionRegistry) -> None:
    """A client without a Last-Event-ID gets it first; one that resumes when it is live."""
    here = str(registry.position())
    async with probe(registry).get("/") as fresh:
        position = await registry.publish("news", "text")
        assert (await fresh.next_event()).data == "text"
        blocks = [block.split(b"\n") for block in fresh.raw.split(b"\n\n")[1:]]
        event = [f"id: {position}".encode(), b"data: text"]
        assert blocks == [[f"id: {here}".encode()], event, [b""]]
    async with probe(registry).get("/", last_event_id=here) as resumed:
        await resumed.next_event()
        checkpoint = await resumed.next_block()
        assert (checkpoint.id, checkpoint.data) == (str(position), None)
        await registry.publish("news", "more")
        assert (await resumed.next_block()).data == "more"


# What it tells ------------------------------------------------------------------------------------


async def test_messages_are_counted_when_they_are_accepted(registry: ConnectionRegistry) -> None:
    """Of topics and of send; not what others follow, nor gaps, nor heartbeats."""
    connection = await registry.add_connection("mine", topics=["news"])
    await registry.publish("news", "text")
    await registry.publish("other", "text")
    await registry.send("mine", "text")
    await connection.heartbeat()
    await anyio.wait_all_tasks_blocked()
    assert connection.message_count == 2
    await received(connection, 2)
    assert connection.message_count == 2


async def test_activity_is_sending_taking_and_heartbeats(registry: ConnectionRegistry) -> None:
    """Each moves the time on; what is only looked at does not."""
    connection = await registry.add_connection("mine", topics=["news"])
    times = [connection.last_activity]

    async def note() -> None:
        times.append(connection.last_activity)
        while datetime.now(UTC) <= times[-1]:
            await anyio.lowlevel.checkpoint()

    await note()
    await registry.send("mine", "text")
    await note()
    await registry.publish("news", "text")
    await received(connection, 2)
    await note()
    await connection.heartbeat()
    await note()
    connection.info()
    await note()
    assert times[0] == times[1] < times[2] < times[3] < times[4] == times[5]
    assert connection.created_at <= times[0]
    assert all(map(is_recent, times))


async def test_a_heartbeat_is_one_comment() -> None:
    """With the connection's id and the time."""
    connection = SSEConnection("mine")
    beat = await connection.heartbeat()
    assert beat == f": heartbeat mine {connection.last_activity.isoformat()}\n\n"


async def test_info_describes_a_connection_in_json(registry: ConnectionRegistry) -> None:
    """With what waits for it, and how far behind the log it is."""
    connection = await registry.add_connection(
        "mine", "user", 2, {"a": 1}, topics=["weather", "news"]
    )
    for _ in range(5):
        await registry.publish("news", "text")
    await registry.publish("other", "text")
    await registry.send("mine", "text")
    await anyio.wait_all_tasks_blocked()
    info = connection.info()
    assert info.queued == 3
    assert info.lag == 4
    described = json.loads(info.model_dump_json())
    times = ("created_at", "last_activity")
    assert all(is_recent(datetime.fromisoformat(described.pop(name))) for name in times)
    assert described.pop("status")["state"] == "connected"
    assert described == {
        "connection_id": "mine",
        "connection_type": "user",
        "topics": ["news", "weather"],
        "metadata": {"a": 1},
        "message_count": 3,
        "queued": 3,
        "lag": 4,
        "dropped": 0,
    }


async def test_a_live_connection_lags_by_what_it_has_not_taken() -> None:
    """One that follows nothing does not lag."""
    async with ConnectionRegistry() as registry:
        live = await registry.add_connection(topics=["news"])
        apart = await registry.add_connection()
        await registry.publish("news", "text")
        await anyio.wait_all_tasks_blocked()
        assert (live.info().lag, live.info().queued) == (1, 1)
        assert (apart.info().lag, apart.info().queued) == (0, 0)


def test_metadata_cannot_be_changed_from_either_side() -> None:
    """Hooks and authorisers see what the route gave."""
    given_ = {"a": 1}
    connection = SSEConnection("mine", metadata=given_)
    given_["a"] = 2
    assert connection.metadata == {"a": 1}
    with pytest.raises(TypeError):
        connection.metadata["a"] = 3  # type: ignore[index]


def test_a_connection_prints_as_its_id_and_state() -> None:
    """Nothing of its data."""
    connection = SSEConnection("mine", metadata={"secret": 1})
    assert repr(connection) == "<SSEConnection 'mine' connecting>"
