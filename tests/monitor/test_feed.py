"""sse_kit.monitor.feed: one look for all who watch, and none for nobody."""

from __future__ import annotations

import gc
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit import ConnectionRegistry, MemoryTransport, SSEConnection
from sse_kit.monitor import feed as feed_module
from sse_kit.monitor.feed import Feed
from sse_kit.monitor.models import History, Snapshot, View
from sse_kit.transports.base import Health, HealthStatus
from tests.monitor.tools import QUICK, history, running, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from sse_kit import SSEMessage

pytestmark = pytest.mark.anyio


class Watched(ConnectionRegistry):
    """Counts how often somebody looked."""

    looks = 0

    def get_stats(self) -> dict[str, Any]:
        self.looks += 1
        return super().get_stats()


class Naps:
    """The pauses between two looks: as long as the test says."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.over = anyio.Event()

    async def take(self, registry: ConnectionRegistry, seconds: float) -> bool:
        del registry
        self.taken.append(seconds)
        await self.over.wait()
        return False


@pytest.fixture
async def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    made = Naps()
    monkeypatch.setattr("sse_kit.monitor.feed._rest", made.take)
    return made


async def may() -> bool:
    return True


def viewer(
    feed: Feed, view: View | None = None, may_watch: Callable[[], Awaitable[bool]] = may
) -> AsyncGenerator[SSEMessage, None]:
    return feed.follow(view or View(), may_watch)


def feed_of(registry: ConnectionRegistry, *, interval: float = QUICK) -> Feed:
    return Feed(registry, interval=interval, rows=10, metadata=False)


async def next_of(stream: AsyncGenerator[SSEMessage, None]) -> Snapshot:
    """Return the next snapshot."""
    with anyio.fail_after(5):
        while (message := await anext(stream)).event != "snapshot":
            pass
    return Snapshot.model_validate_json(message.data or "")


async def test_all_who_watch_share_a_look() -> None:
    """Many viewers of several views cost as many looks as one."""
    registry = Watched()
    feed = feed_of(registry)
    views = [View(), View(type="user"), View(text="x")] * 10
    seen: list[list[int]] = [[] for _ in views]

    async def watch(number: int) -> None:
        async with aclosing(viewer(feed, views[number])) as stream:
            for _ in range(5):
                seen[number].append((await next_of(stream)).at)

    async with registry, anyio.create_task_group() as tasks:
        for number in range(len(views)):
            tasks.start_soon(watch, number)
    assert registry.looks <= 7
    assert all(times == sorted(set(times)) for times in seen)


async def test_nobody_looks_while_nobody_watches() -> None:
    """When the last has left, nothing of the monitor runs or holds a connection."""
    registry = Watched()
    feed = feed_of(registry)
    async with registry:
        assert registry.looks == 0
        tasks = anyio.get_running_tasks()
        await registry.add_connection("unforgettable")
        async with aclosing(viewer(feed)) as stream:
            await next_of(stream)
            await next_of(stream)
        assert feed.viewers == 0
        assert anyio.get_running_tasks() == tasks
        await registry.remove_connection("unforgettable")
    gc.collect()
    kept = [each for each in gc.get_objects() if type(each) is SSEConnection]
    assert "unforgettable" not in {each.connection_id for each in kept}


async def test_a_viewer_that_leaves_in_its_turn_leaves_it_to_the_next(naps: Naps) -> None:
    """The one who looks for all may go at any moment."""
    feed = feed_of(ConnectionRegistry(), interval=100)
    first, second = viewer(feed), viewer(feed)
    await next_of(first)
    await next_of(second)
    seen: list[Snapshot] = []

    async def watch(stream: AsyncGenerator[SSEMessage, None]) -> None:
        async with aclosing(stream):
            seen.append(await next_of(stream))

    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(watch, first)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(watch, second)
            await anyio.wait_all_tasks_blocked()
            assert len(naps.taken) == 1
            leaving.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert len(naps.taken) == 2
        naps.over.set()
    assert [each.viewers for each in seen] == [1]


async def test_who_comes_later_is_served_at_once_and_sees_the_past() -> None:
    """With the charts that the others have."""
    async with running() as (_, client), client.get("/monitor/events") as first:
        for _ in range(3):
            await snapshot(first)
        latest = await snapshot(first)
        async with client.get("/monitor/events") as second:
            past = await history(second)
            assert (await snapshot(second)).at >= latest.at
    assert latest.sample in past.samples
    assert past.samples[0].published is None
    assert all(sample.published is not None for sample in past.samples[1:])


async def test_rates_are_of_all_connections_also_of_those_that_left() -> None:
    """A stream that comes and goes between two looks is counted, and so is what it was sent."""
    registry = ConnectionRegistry()
    feed = feed_of(registry, interval=0.05)
    async with registry, aclosing(viewer(feed)) as stream:
        first = await next_of(stream)
        connection = await registry.add_connection("brief")
        await connection.send("x")
        await connection.send("x")
        await registry.publish("nobody", "x")
        await registry.remove_connection("brief")
        sample = (await next_of(stream)).sample
        seconds = (sample.at - first.at) / 1000
        rates = (sample.opened, sample.closed, sample.delivered, sample.published)
    counted = [round((rate or 0) * seconds, 1) for rate in rates]
    assert counted == pytest.approx([1, 1, 2, 1], rel=0.3)


async def test_the_charts_begin_anew_after_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line over a time that nobody watched would be made up."""
    monkeypatch.setattr(feed_module, "STALE", 0)
    feed = feed_of(ConnectionRegistry())
    for _ in range(2):
        async with aclosing(viewer(feed)) as stream:
            past = History.model_validate_json((await anext(stream)).data or "")
            assert [sample.published for sample in past.samples] == [None]


async def test_a_page_that_is_loaded_again_keeps_its_charts() -> None:
    """Over the moment in between there is no rate, and none is invented."""
    registry = ConnectionRegistry()
    feed = feed_of(registry, interval=30.0)
    async with registry:
        samples = []
        for _ in range(2):
            async with aclosing(viewer(feed)) as stream:
                samples.append((await next_of(stream)).sample)
    assert samples[0] == samples[1]


async def test_looking_takes_a_small_share_of_the_time(
    naps: Naps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one look takes long, there is a longer pause after it."""
    naps.over.set()
    for share in (1.0, 1e-9):
        monkeypatch.setattr(feed_module, "SHARE", share)
        async with aclosing(viewer(feed_of(ConnectionRegistry()))) as stream:
            await next_of(stream)
            await next_of(stream)
    short, long = naps.taken
    assert short <= QUICK < 10 < long


async def test_a_viewer_who_may_no_longer_watch_is_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The authoriser is asked again while the stream goes on."""
    monkeypatch.setattr(feed_module, "RECHECK", 0.0)
    answers = [True, True, False]

    async def may_watch() -> bool:
        return answers.pop(0)

    async with ConnectionRegistry() as registry:
        messages = [each async for each in viewer(feed_of(registry), may_watch=may_watch)]
    assert [each.event for each in messages] == ["history", *["snapshot"] * 3, "close"]


class Ill(MemoryTransport):
    """Tells of its health what the test says, or does not."""

    def __init__(self, answer: Health | Exception | None) -> None:
        super().__init__()
        self.answer = answer

    async def health(self) -> Health:
        if self.answer is None:
            await anyio.sleep_forever()
        if isinstance(self.answer, Health):
            return self.answer
        raise self.answer or AssertionError


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        (Health(HealthStatus.OK), "ok", ""),
        (Health(HealthStatus.DEGRADED, "one replica is away"), "degraded", "one replica is away"),
        (LookupError("lost"), "down", "LookupError('lost')"),
        (None, "degraded", "does not tell"),
    ],
    ids=repr,
)
async def test_the_health_of_the_transport_is_its_own_word(
    answer: Health | Exception | None,
    status: str,
    detail: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That it raises, or does not answer in time, holds up nobody, and is shown."""
    monkeypatch.setattr(feed_module, "PATIENCE", 0.01)
    async with (
        ConnectionRegistry(Ill(answer)) as registry,
        aclosing(viewer(feed_of(registry))) as stream,
    ):
        health = (await next_of(stream)).transport
    assert (health.status, health.name, health.replays) == (status, "Ill", True)
    assert detail in health.detail
    assert (health.answer is not None) == isinstance(answer, Health)


async def test_a_registry_that_does_not_run_has_no_hub() -> None:
    """The page can be open before the registry is entered."""
    async with aclosing(viewer(feed_of(ConnectionRegistry()))) as stream:
        assert (await next_of(stream)).hub is None


@pytest.mark.parametrize("end", ["close", "drain"])
async def test_viewers_end_with_the_streams_of_the_registry(end: str) -> None:
    """However long the pause between two looks is; they are asked to come back."""
    async with running(interval=3600) as (site, client), client.get("/monitor/events") as stream:
        await snapshot(stream)
        if end == "close":
            site.registry.close()
        else:
            await site.registry.drain()
        *_, last = await stream.read_until_end()
        await stream.finished()
    assert last.event == "bye"
    assert json.loads(last.data or "")["retry"] > 0


async def test_who_watches_a_registry_that_was_closed_is_sent_away_again() -> None:
    """With what there is to see; and stays once the registry is entered anew."""
    registry = ConnectionRegistry()
    feed = feed_of(registry)
    async with registry:
        registry.close()
        await registry.wait_closed()
        messages = [each async for each in viewer(feed)]
    assert [each.event for each in messages] == ["history", "snapshot", "bye"]
    async with registry, aclosing(viewer(feed)) as stream:
        for _ in range(3):
            await next_of(stream)
