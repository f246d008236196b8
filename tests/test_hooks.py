"""Hooks: told of everything in pairs and in order, and harmless; and what the log says of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit import (
    Closed,
    CloseReason,
    ConnectionRegistry,
    Hooks,
    MemoryTransport,
    MessagePublished,
    Opened,
    Position,
    SSEMessage,
)
from sse_kit import hooks as hooks_module
from sse_kit.codec import dump_payload
from sse_kit.transports.base import Publication
from tests.registry_tools import Recorder, happens, logged, probe, seen, texts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sse_kit.hooks import Hook

pytestmark = pytest.mark.anyio

POSITION = Position("epoch", 1)
EVENTS = (
    Opened("mine", "user", frozenset(("news",)), {}),
    Closed("mine", "user", frozenset(("news",)), {}, CloseReason.CLOSED, 1.0, 2),
    MessagePublished(POSITION, ("news",), None, duplicate=False),
)


class Oops(Exception):
    """Something of the application's."""


def both(hook: Hook[Any]) -> Hooks:
    return Hooks(connected=hook, disconnected=hook)


# What they are told -------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_hooks_are_told_of_both_ends_of_a_connection(*, asynchronous: bool) -> None:
    """With all that is known of it, and no payload."""
    opened, closed = Recorder(), Recorder()
    registry = ConnectionRegistry(
        hooks=Hooks(
            connected=opened.asynchronous() if asynchronous else opened,
            disconnected=closed.asynchronous() if asynchronous else closed,
        )
    )
    options = {"connection_id": "mine", "connection_type": "user", "metadata": {"a": 1}}
    async with registry:
        here = str(registry.position())
        async with probe(registry, **options).get("/", last_event_id=here) as stream:
            await registry.publish("news", "text")
            await registry.send("mine", "private")
            assert {(await stream.next_event()).data for _ in range(2)} == {"text", "private"}
        await happens(lambda: closed.events != [])
    topics = frozenset(("news",))
    assert opened.events == [Opened("mine", "user", topics, {"a": 1}, here)]
    [event] = closed.events
    assert 0 < event.duration < 60
    reason = CloseReason.CLIENT_LEFT
    assert event == Closed("mine", "user", topics, {"a": 1}, reason, event.duration, 2)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_hook_is_told_of_every_message(*, asynchronous: bool) -> None:
    """Where it is, its topics and its name; also whether it was there already."""
    published = Recorder()
    hook = published.asynchronous() if asynchronous else published
    async with ConnectionRegistry(hooks=Hooks(published=hook)) as registry:
        first = await registry.publish(("a", "b"), "text", event="tick", key="k")
        await happens(lambda: len(published.events) == 1)
        await registry.publish(("a", "b"), "text", event="tick", key="k")
    assert published.events == [
        MessagePublished(first, ("a", "b"), "tick", duplicate=False),
        MessagePublished(first, ("a", "b"), "tick", duplicate=True),
    ]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_hooks_are_told_is_frozen(event: object) -> None:
    """One hook cannot change what the next is told."""
    for name in type(event).__dataclass_fields__:  # type: ignore[attr-defined]
        with pytest.raises(FrozenInstanceError):
            setattr(event, name, None)


async def test_metadata_is_read_only_in_a_hook() -> None:
    """It is the connection's own."""
    failures: list[type[Exception]] = []

    def hook(event: Opened) -> None:
        try:
            event.metadata["a"] = 2  # type: ignore[index]
        except TypeError as error:
            failures.append(type(error))

    async with ConnectionRegistry(hooks=Hooks(connected=hook)) as registry:
        connection = await registry.add_connection(metadata={"a": 1})
    assert failures == [TypeError]
    assert connection.metadata == {"a": 1}


async def test_hooks_are_told_nothing_while_the_registry_is_not_running() -> None:
    """Nor of the end of what began then."""
    told = Recorder()
    registry = ConnectionRegistry(hooks=both(told))
    await registry.add_connection("one")
    await registry.add_connection("two")
    await registry.remove_connection("one")
    async with registry:
        pass
    assert told.events == []


async def test_a_connection_that_was_closed_is_told_of_when_it_is_removed() -> None:
    """Once, with the reason of its first end."""
    closed = Recorder()
    async with ConnectionRegistry(hooks=Hooks(disconnected=closed)) as registry:
        connection = await registry.add_connection("mine", queue_size=1)
        await connection.send("fits")
        await connection.send("does not", timeout=0)
        connection.close()
        assert closed.events == []
        await registry.remove_connection("mine")
        await registry.remove_connection("mine")
    assert [event.reason for event in closed.events] == [CloseReason.SEND_TIMEOUT]


# Order --------------------------------------------------------------------------------------------


async def test_hooks_for_one_id_are_told_one_after_the_other() -> None:
    """However long each takes, and also when one stream took over from another."""
    told: list[str] = []
    may_go_on = anyio.Event()

    async def hook(event: Opened | Closed) -> None:
        told.append(f"{type(event).__name__} begins")
        await may_go_on.wait()
        told.append("ends")

    async with ConnectionRegistry(hooks=both(hook)) as registry:
        for _ in range(2):
            await registry.add_connection("mine")
            await registry.remove_connection("mine")
        await anyio.wait_all_tasks_blocked()
        assert told == ["Opened begins"]
        may_go_on.set()
    assert told == ["Opened begins", "ends", "Closed begins", "ends"] * 2


async def test_a_synchronous_hook_waits_for_an_asynchronous_one() -> None:
    """The pair is in order though they are of two kinds."""
    told: list[str] = []

    async def connected(_: Opened) -> None:
        await anyio.lowlevel.checkpoint()
        told.append("connected")

    def disconnected(_: Closed) -> None:
        told.append("disconnected")

    hooks = Hooks(connected=connected, disconnected=disconnected)
    async with ConnectionRegistry(hooks=hooks) as registry:
        await registry.add_connection("mine")
        await registry.remove_connection("mine")
    assert told == ["connected", "disconnected"]


async def test_a_slow_hook_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stream, no publish, and no hook for another connection."""
    monkeypatch.setattr(hooks_module, "HOOK_PATIENCE", 0)
    told: list[str] = []

    async def connected(event: Opened) -> None:
        if event.connection_id == "slow":
            await anyio.sleep_forever()
        told.append(event.connection_id)

    async def published(_: MessagePublished) -> None:
        await anyio.sleep_forever()

    hooks = Hooks(connected=connected, published=published)
    async with (
        ConnectionRegistry(hooks=hooks) as registry,
        probe(registry, connection_id="slow").get("/") as stream,
    ):
        await registry.publish("news", "text")
        assert (await stream.next_event()).data == "text"
        await registry.add_connection("quick")
        await happens(lambda: told == ["quick"])


# Harm ---------------------------------------------------------------------------------------------


def _fails(_: object) -> None:
    raise Oops


async def _fails_later(_: object) -> None:
    await anyio.lowlevel.checkpoint()
    raise Oops


@pytest.mark.parametrize("hook", [_fails, _fails_later])
async def test_a_hook_that_fails_is_logged_and_hurts_nobody(
    hook: Callable[[object], Awaitable[None] | None], caplog: pytest.LogCaptureFixture
) -> None:
    """The record names the hook and the connection, and has the traceback."""
    hooks = Hooks(connected=hook, disconnected=hook, published=hook)
    async with ConnectionRegistry(hooks=hooks) as registry:
        connection = await registry.add_connection("mine", topics=["news"])
        await registry.publish("news", "text")
        assert await texts(connection, 1) == ["text"]
    records = [record for record in logged(caplog) if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[0] for record in records] == [Oops] * 3
    facts = {(vars(record)["hook"], vars(record)["connection_id"]) for record in records}
    assert facts == {("Opened", "mine"), ("Closed", "mine"), ("MessagePublished", None)}


async def test_after_a_hook_that_failed_the_next_is_told() -> None:
    """The pair stays a pair."""
    closed = Recorder()
    hooks = Hooks(connected=_fails_later, disconnected=closed)
    async with ConnectionRegistry(hooks=hooks) as registry:
        await registry.add_connection("mine")
        await registry.remove_connection("mine")
        await happens(lambda: len(closed.events) == 1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_hook_that_waits_for_a_cancelled_task_has_failed_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It does not cancel the registry with it, and the pair is told of."""
    closed = Recorder()

    async def connected(_: Opened) -> None:
        work = asyncio.ensure_future(asyncio.sleep(0))
        work.cancel()
        await work

    async with ConnectionRegistry(
        hooks=Hooks(connected=connected, disconnected=closed)
    ) as registry:
        connection = await registry.add_connection("mine", topics=["news"])
        await anyio.wait_all_tasks_blocked()
        await registry.publish("news", "text")
        assert await texts(connection, 1) == ["text"]
    assert [event.connection_id for event in closed.events] == ["mine"]
    assert [vars(record)["hook"] for record in logged(caplog)] == ["Opened"]


async def test_a_hook_may_publish() -> None:
    """Nobody waits for anybody."""

    async def published(event: MessagePublished) -> None:
        if "news" in event.topics:
            await registry.publish("echo", f"{event.position.offset}")

    async def connected(event: Opened) -> None:
        await registry.publish("roster", event.connection_id)

    async with ConnectionRegistry(
        hooks=Hooks(published=published, connected=connected)
    ) as registry:
        connection = await registry.add_connection("mine", topics=["echo", "roster"])
        assert await texts(connection, 1) == ["mine"]
        position = await registry.publish("news", "text")
        assert await texts(connection, 1) == [f"{position.offset}"]


async def test_a_hook_may_publish_when_the_registry_is_being_left() -> None:
    """So that the others hear of it: the transport is left last."""
    transport = MemoryTransport()

    async def disconnected(event: Closed) -> None:
        await anyio.lowlevel.checkpoint()
        await registry.publish("roster", f"{event.connection_id} left")

    async with ConnectionRegistry(transport, hooks=Hooks(disconnected=disconnected)) as registry:
        await registry.add_connection("mine")
    [record] = transport.log.read(0, 10).records
    assert record.payload == dump_payload(SSEMessage("mine left"))


async def test_a_hook_may_close_the_connection_it_is_told_of() -> None:
    """The stream ends before its first message."""

    def connected(event: Opened) -> None:
        connection = registry.get_connection(event.connection_id)
        assert connection is not None
        connection.close()

    async with (
        ConnectionRegistry(hooks=Hooks(connected=connected)) as registry,
        probe(registry).get("/") as stream,
    ):
        assert [block.data for block in await stream.read_until_end()] == [None]
        await happens(lambda: registry.get_connections() == [])


async def test_hooks_that_take_too_long_are_cut_off_when_the_registry_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how many, and where each was."""
    monkeypatch.setattr(hooks_module, "HOOK_PATIENCE", 0.01)

    async def connected(_: Opened) -> None:
        await anyio.sleep_forever()

    async with ConnectionRegistry(hooks=Hooks(connected=connected)) as registry:
        await registry.add_connection()
        await registry.add_connection()
    summary, *each = logged(caplog)
    assert summary.getMessage() == "hooks took too long, 2 are cut off"
    assert [vars(record)["hook"] for record in each] == ["Opened"] * 2
    assert caplog.text.count("await anyio.sleep_forever()") == 2


async def test_hooks_get_their_time_also_when_the_registry_is_cancelled() -> None:
    """What they save would be lost else."""
    closed = Recorder()
    with anyio.CancelScope() as scope:
        async with ConnectionRegistry(hooks=Hooks(disconnected=closed.asynchronous())) as registry:
            await registry.add_connection("mine")
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert [event.connection_id for event in closed.events] == ["mine"]


# The log ------------------------------------------------------------------------------------------


MALFORMED = (b"secret data", b'{"v":1,"x":"secret data"}', b'{"v":1,"event":"secret data\\n"}')
SECRETS = ("secret data", "secret metadata", "secret id")


@pytest.mark.parametrize(("debug", "level"), [(False, logging.DEBUG), (True, logging.INFO)])
async def test_connections_are_logged_with_their_facts(
    *, debug: bool, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As attributes of the record; ``debug`` raises the level."""
    caplog.set_level(logging.DEBUG, "sse_kit")
    async with ConnectionRegistry(debug=debug) as registry:
        options = {"connection_id": "mine", "connection_type": "user"}
        async with probe(registry, ["b", "a"], **options).get("/"):
            pass
    connected, disconnected = [vars(record) for record in logged(caplog)]
    facts = {"connection_id": "mine", "connection_type": "user", "topics": ["a", "b"]}
    assert connected | facts | {"levelno": level, "msg": "connected"} == connected
    assert disconnected | facts | {"levelno": level, "msg": "disconnected"} == disconnected
    assert disconnected["reason"] == "client_left"
    assert 0 < disconnected["duration"] < 60


@pytest.mark.parametrize("malformed", MALFORMED)
async def test_no_data_and_no_metadata_is_ever_logged(
    malformed: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happens to it; nor what a malformed record holds."""
    caplog.set_level(logging.DEBUG)
    transport = MemoryTransport()
    hooks = Hooks(connected=_fails, disconnected=_fails_later, published=_fails)
    async with ConnectionRegistry(transport, hooks=hooks, debug=True) as registry:
        client = probe(registry, connection_id="mine", metadata={"x": "secret metadata"})
        async with client.get("/") as stream:
            await registry.publish("news", "secret data", key="secret id")
            await registry.send("mine", "secret data")
            published = await transport.publish(Publication(("news",), malformed))
            await seen(registry, published.position)
            await stream.next_event()
    assert logged(caplog)
    everything = "".join(f"{vars(record)} {record.getMessage()}" for record in logged(caplog))
    assert [secret for secret in SECRETS if secret in everything] == []
