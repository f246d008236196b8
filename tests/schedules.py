"""Random schedules of publishes, sends, steps and accidents, each client checked against a list."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from hypothesis import strategies as st

from sse_kit import MemoryLog, MemoryTransport, Retention, StreamDecoder
from tests.registry_tools import app_of, happens
from tests.witness import History, Witness
from tests.writing import (
    LONG,
    PATIENCE,
    Behaviour,
    Client,
    at_once,
    doing,
    held,
    is_asyncio,
    opened,
    raises,
    raises_later,
    settle,
    suspends,
    watching,
    wrapped_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from sse_kit import ConnectionRegistry, ReceivedMessage
    from sse_kit.transports.base import Publication, Published

TOPICS = "abc"
READERS = 3

ROUNDS = 300
"""Turns in which everyone has read to the end, many times over."""

BLOCK = re.compile(
    rb"retry: \d+|id: \S+|: heartbeat(\nid: \S+)?|(id: \S+\n)?data: \w?\d+"
    rb"|(id: \S+\n)?event: gap\ndata: \{[^\n]*\}"
)
"""Each block that a stream may have here, without the empty line after it."""


class RecordingLog(MemoryLog):
    """Notes the topics of all that was ever written: the list that is the model."""

    def __init__(self, retention: Retention) -> None:
        self.history = History()
        super().__init__(retention)
        self.history.records[self.bounds().epoch] = []

    def append(self, publication: Publication) -> Published:
        self.history.records[self.bounds().epoch].append(publication.topics)
        return super().append(publication)


class Run(Client):
    """One request of a reader; ``may_end``: something was done to it that ends it."""

    def __init__(self, reader: Reader) -> None:
        options = {"connection_id": reader.name}
        app = app_of(reader.world.registry, reader.topics, **options)
        super().__init__(app, last_event_id=str(reader.witness.cursor or ""))
        self.may_end = False
        self.direct: list[str] = []
        """What was sent to this request alone, in order."""
        self.got: list[str] = []
        self._decoder = StreamDecoder()
        self._read = 0

    def read(self) -> list[ReceivedMessage]:
        """Return the new blocks that are whole, each of them one that there can be."""
        end = self.raw.rfind(b"\n\n") + 2
        if end < 2 or end == self._read:
            return []
        new = bytes(self.raw[self._read : end])
        self._read = end
        for block in new[:-2].split(b"\n\n"):
            assert BLOCK.fullmatch(block), block
        return list(self._decoder.feed(new))


class Reader:
    """A client that comes back: a witness for all of its requests, and the present one."""

    def __init__(self, world: World, name: str, topics: frozenset[str]) -> None:
        self.world = world
        self.name = name
        self.topics = topics
        self.witness = Witness(world.log.history, world.log, topics)
        self.run = Run(self)
        world.tasks.start_soon(self.run.run)

    def look(self) -> None:
        """Check what has come."""
        run = self.run
        for block in run.read():
            if block.data is not None and block.data.startswith("d"):
                assert block.id is None
                run.got.append(block.data)
            else:
                self.witness.see(block)
        assert not run.overlapped
        assert not run.returned or run.may_end or run.left, "it ended for what others did"
        assert run.failure is None or run.may_end
        # In order and each once, and of one that goes on none is left out.
        assert run.got == run.direct[: len(run.got)]

    async def come_back(self) -> None:
        """Make the request again, with the last id; what is on its way to the old one is lost."""
        self.look()
        self.run.leave()
        self.run = run = Run(self)
        self.world.tasks.start_soon(run.run)
        # It takes the old one's place, so it must not be overtaken by the next.
        await happens(lambda: run.sends > 0 or run.returned)

    def is_done(self) -> bool:
        """Tell whether it has all there is."""
        here = self.witness.cursor
        if here is None or self.run.got != self.run.direct:
            return False
        return self.world.log.history.next_match(here.epoch, here.offset, self.topics) is None


class World:
    """A registry, its readers, and the list."""

    def __init__(self, log: RecordingLog, registry: ConnectionRegistry, tasks: TaskGroup) -> None:
        self.log = log
        self.registry = registry
        self.tasks = tasks
        self.readers: list[Reader] = []
        self.seen: list[tuple[int, int]] = []
        self._sent = 0

    async def publish(self, topic: str) -> None:
        """Publish the number under which it is stored."""
        await self.registry.publish(topic, f"{self.log.bounds().last + 1}")

    async def send(self, reader: Reader) -> None:
        """Give a message to one client alone, if there is room."""
        connection, run = self.registry.get_connection(reader.name), reader.run
        if connection is None or run.may_end or run.left or not run.sends:
            return
        self._sent += 1
        text = f"d{self._sent}"
        run.direct.append(text)
        if not await connection.send(text, timeout=0):
            run.direct.remove(text)
            run.may_end = True

    def close(self, reader: Reader) -> None:
        """Close a connection from the application."""
        connection = self.registry.get_connection(reader.name)
        if connection is not None:
            reader.run.may_end = True
            connection.close()


# What happens ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Publish:
    topics: str

    async def do(self, world: World) -> None:
        for topic in self.topics:
            await world.publish(topic)


@dataclass(frozen=True)
class Steps:
    count: int

    async def do(self, world: World) -> None:
        await settle(self.count)
        for reader in world.readers:
            reader.look()


@dataclass(frozen=True)
class ToOne:
    """Something that is done to one client, by name."""

    reader: int
    what: str

    async def do(self, world: World) -> None:
        reader = world.readers[self.reader]
        run = reader.run
        match self.what:
            case "send":
                await world.send(reader)
            case "release":
                run.release()
            case "come back":
                await reader.come_back()
            case "close":
                world.close(reader)
            case _:
                run.may_end = True
                how = {"leave": Run.leave, "reset": Run.reset, "cancel": cancel}[self.what]
                how(run)


@dataclass(frozen=True)
class Behave:
    """How the next sends to one client behave, by name."""

    reader: int
    names: tuple[str, ...]

    async def do(self, world: World) -> None:
        run = world.readers[self.reader].run
        others = [each for each in world.readers if each.run is not run]
        for name in self.names:
            run.script.append(BEHAVIOURS[name](world, others))
            run.may_end |= name in HARMFUL


def cancel(run: Run) -> None:
    """Cancel the request's task, as the event loop has it."""
    if run.task is not None and not run.returned:
        run.task.cancel()
    else:
        run.scope.cancel()


def timed(world: World, others: list[Reader]) -> Behaviour:  # noqa: ARG001
    if is_asyncio():
        return wrapped_by(lambda: asyncio.timeout(0), held)
    return wrapped_by(lambda: anyio.fail_after(0), held)


def ending_another(world: World, others: list[Reader]) -> Behaviour:
    async def end() -> None:
        world.close(others[0])

    return doing(end, suspends(1))


def publishing(behaviour: Behaviour) -> Callable[[World, list[Reader]], Behaviour]:
    def make(world: World, _: list[Reader]) -> Behaviour:
        async def publish() -> None:
            for topic in TOPICS:
                await world.publish(topic)

        return doing(publish, behaviour)

    return make


def always(behaviour: Behaviour) -> Callable[[World, list[Reader]], Behaviour]:
    return lambda _world, _others: behaviour


BEHAVIOURS: dict[str, Callable[[World, list[Reader]], Behaviour]] = {
    "at once": always(at_once),
    "suspends once": always(suspends(1)),
    "suspends twice": always(suspends(2)),
    "waits": always(held),
    "watches": lambda world, _: watching(suspends(2), world.seen),
    "in a scope": always(wrapped_by(lambda: anyio.fail_after(LONG), suspends(1))),
    "in a task group": always(wrapped_by(anyio.create_task_group, at_once)),
    "publishes": publishing(at_once),
    "publishes and suspends": publishing(suspends(1)),
    "ends another": ending_another,
    "OSError": always(raises(OSError())),
    "OSError later": always(raises_later(OSError())),
    "RuntimeError": always(raises(RuntimeError())),
    "RuntimeError later": always(raises_later(RuntimeError())),
    "a timeout": timed,
    "a timeout of anyio": always(wrapped_by(lambda: anyio.fail_after(0), held)),
}
HARMFUL = {name for name in BEHAVIOURS if "Error" in name or "a timeout" in name}

numbers = st.integers(0, READERS - 1)
happenings = st.one_of(
    st.builds(Publish, st.text(TOPICS, min_size=1, max_size=6)),
    st.builds(Steps, st.integers(1, 6)),
    st.builds(
        ToOne,
        numbers,
        st.sampled_from(
            ["send", "release", "come back", "close", "leave", "reset", "cancel"],
        ),
    ),
    st.builds(Behave, numbers, st.tuples(st.sampled_from(list(BEHAVIOURS)))),
    st.builds(
        Behave,
        numbers,
        st.lists(
            st.sampled_from([name for name in BEHAVIOURS if name not in HARMFUL]), max_size=4
        ).map(tuple),
    ),
)


@dataclass(frozen=True)
class Schedule:
    """A world's settings, and what happens in it."""

    topics: tuple[str, ...]
    queue_size: int
    queue_bytes: int
    ring_size: int
    kept: int | None
    heartbeat: float
    happenings: list[Publish | Steps | ToOne | Behave] = field(default_factory=list)


schedules = st.builds(
    Schedule,
    topics=st.tuples(*[st.sampled_from(["a", "a", "ab", "abc", "c"])] * READERS),
    queue_size=st.sampled_from([1, 3, 100]),
    queue_bytes=st.sampled_from([1, 60, 100_000]),
    ring_size=st.sampled_from([1, 5, 100]),
    kept=st.sampled_from([None, None, 8]),
    heartbeat=st.sampled_from([LONG, LONG, 1e-6]),
    happenings=st.lists(happenings, min_size=5, max_size=40),
)


async def play(schedule: Schedule) -> None:
    """Run a schedule, then let everyone read to the end."""
    log = RecordingLog(Retention(max_records=schedule.kept))
    options = {
        "transport": MemoryTransport(log=log),
        "queue_size": schedule.queue_size,
        "queue_bytes": schedule.queue_bytes,
        "ring_size": schedule.ring_size,
        "heartbeat": schedule.heartbeat,
        "send_timeout": LONG,
    }
    with anyio.fail_after(PATIENCE):
        async with opened(**options) as (registry, _), anyio.create_task_group() as tasks:
            world = World(log, registry, tasks)
            for number, topics in enumerate(schedule.topics):
                world.readers.append(Reader(world, f"reader {number}", frozenset(topics)))
            await settle()
            for happening in schedule.happenings:
                await happening.do(world)
            await finish(world)
    assert all(before == after for before, after in world.seen)


async def finish(world: World) -> None:
    """Have each reader come to the end, back again if it must."""
    for reader in world.readers:
        reader.run.script.clear()
    for _ in range(ROUNDS):
        if all(reader.is_done() for reader in world.readers):
            break
        for reader in world.readers:
            reader.run.release()
            reader.look()
            if reader.run.returned or reader.run.left:
                await reader.come_back()
        await settle(3)
    for reader in world.readers:
        assert reader.is_done(), "something is lost, or waits for ever"
        reader.look()
        reader.run.leave()
