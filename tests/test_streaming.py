"""A registry's stream as its client sees it: over the bare protocol, from connect to leave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.routing import Route

from sse_kit import ConnectionRegistry, Position, asgi, runtime
from sse_kit.hooks import Hooks
from sse_kit.states import CloseReason
from sse_kit.testing import ASGIProbe, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sse_kit import EventSourceResponse, ReceivedMessage, SSEConnection
    from sse_kit.config import Options
    from sse_kit.hooks import Closed
    from sse_kit.testing import ProbeStream

pytestmark = pytest.mark.anyio


class Site:
    """An app with one stream, of the topic "news", and what is known of those that closed."""

    def __init__(self, heartbeat: float = 3600, **options: Any) -> None:  # a registry's
        self.closed: list[Closed] = []
        settings: Options = {"send_timeout": 3600, **options}  # type: ignore[typeddict-item]
        hooks = Hooks(disconnected=self.closed.append)
        self.registry = ConnectionRegistry(heartbeat=heartbeat, hooks=hooks, **settings)
        self.stream_options: dict[str, Any] = {}
        self.app = Starlette(routes=[Route("/", self.route)], lifespan=self.registry.lifespan)
        self.probe = ASGIProbe(self.app)

    async def route(self, request: Request) -> EventSourceResponse:
        await checkpoint()
        return self.registry.stream(request, ["news"], **self.stream_options)

    def is_empty(self) -> bool:
        statistics = self.registry.get_stats()
        return (statistics["total"], statistics["hub"]["subscriptions"]) == (0, 0)

    def reasons(self) -> list[CloseReason]:
        return [closed.reason for closed in self.closed]


async def goodbye(stream: ProbeStream) -> int:
    """Read to the end of a stream, which is a goodbye; return its reconnection time."""
    bye = (await stream.read_until_end())[-1]
    assert bye.event == "bye"
    assert bye.retry is not None
    assert json.loads(bye.data or "") == {"retry": bye.retry}
    return bye.retry


# What a client gets -----------------------------------------------------------------------------


async def test_a_stream_starts_with_reconnection_time_and_checkpoint() -> None:
    """At once, and with the headers of every stream."""
    site = Site()
    async with site.probe as probe, probe.get("/") as stream:
        assert (stream.status, stream.headers) == (200, asgi.HEADERS)
        opening, first = await stream.next_block(), await stream.next_block()
        assert opening.retry is not None
        assert first.id == str(site.registry.position())


async def test_a_message_comes_with_its_position() -> None:
    """Which is what the client resumes from."""
    site = Site()
    async with site.probe as probe, probe.get("/") as stream:
        position = await site.registry.publish("news", {"a": 1}, event="update")
        event = await stream.next_event()
        assert (event.event, event.data, event.id) == ("update", '{"a":1}', str(position))


async def missed(
    site: Site, connect: Callable[[Position], Awaitable[list[ReceivedMessage]]]
) -> list[str | None]:
    """Publish 0, 1, 2; connect as one who has seen 0."""
    first = await site.registry.publish("news", "0")
    for number in (1, 2):
        await site.registry.publish("news", str(number))
    await anyio.wait_all_tasks_blocked()
    return [event.data for event in await connect(first)]


async def test_a_client_resumes_from_the_header() -> None:
    """It gets what it missed."""
    site = Site()
    async with site.probe as probe:

        async def connect(seen: Position) -> list[ReceivedMessage]:
            async with probe.get("/", last_event_id=str(seen)) as stream:
                return [await stream.next_event(), await stream.next_event()]

        assert await missed(site, connect) == ["1", "2"]


async def test_a_page_resumes_from_where_it_was_rendered() -> None:
    """By the query parameter; native EventSource cannot send a header at first."""
    site = Site()
    async with site.probe as probe:

        async def connect(seen: Position) -> list[ReceivedMessage]:
            async with probe.get("/", query={"last_event_id": str(seen)}) as stream:
                return [await stream.next_event(), await stream.next_event()]

        assert await missed(site, connect) == ["1", "2"]


async def test_the_header_is_newer_than_the_query() -> None:
    """A reconnect goes to the same URL, with the header."""
    site = Site()
    async with site.probe as probe:

        async def connect(seen: Position) -> list[ReceivedMessage]:
            newer = Position(seen.epoch, seen.offset + 1)
            query = {"last_event_id": str(seen)}
            async with probe.get("/", query=query, last_event_id=str(newer)) as stream:
                return [await stream.next_event()]

        assert await missed(site, connect) == ["2"]


@pytest.mark.parametrize("claimed", ["é", "0", "nonsense", "a.b.c.d", "x" * 300])
async def test_an_id_that_is_none_of_ours_is_told(claimed: str) -> None:
    """In-band, and the stream goes on from the head."""
    site = Site()
    async with site.probe as probe, probe.get("/", last_event_id=claimed) as stream:
        gap = await stream.next_event()
        assert gap.event == "gap"
        assert json.loads(gap.data or "") == {"reason": "invalid", "missed": None}
        await site.registry.publish("news", "x")
        assert (await stream.next_event()).data == "x"


async def test_an_id_in_invalid_utf8_is_told() -> None:
    """Nothing that a client sends is an error of the server."""
    site = Site()
    headers = {"last-event-id": b"\xff\xfe"}
    async with site.probe as probe, probe.get("/", headers=headers) as stream:
        assert (await stream.next_event()).event == "gap"


async def test_a_heartbeat_moves_the_cursor_past_other_topics() -> None:
    """When nothing waits for this client."""
    site = Site(heartbeat=0.01)
    async with site.probe as probe, probe.get("/") as stream:
        position = await site.registry.publish("other", "x")
        while (block := await stream.next_block()).id != str(position):
            pass
        assert block.comment == "heartbeat"


async def test_head_leaves_no_entry() -> None:
    """It has the headers."""
    site = Site()
    async with site.probe as probe, probe.head("/") as stream:
        assert stream.headers == asgi.HEADERS
        assert await stream.read_until_end() == []
        assert site.is_empty()
    assert site.closed == []


# A client that leaves ---------------------------------------------------------------------------


async def at_once(_: ProbeStream) -> None:
    await checkpoint()


async def after_the_opening(stream: ProbeStream) -> None:
    await stream.next_block()
    await anyio.wait_all_tasks_blocked()


async def while_it_stalls(stream: ProbeStream) -> None:
    stream.stall()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("moment", [at_once, after_the_opening, while_it_stalls])
async def test_a_client_that_leaves_leaves_nothing(
    moment: Callable[[ProbeStream], Awaitable[None]], spec_version: str
) -> None:
    """Promise 4: no entry, no subscription; also if it left before the first byte."""
    site = Site()
    client = ASGIProbe(site.app, spec_version=spec_version)
    async with client, client.open("GET", "/") as stream:
        await moment(stream)
        stream.reset()
        await stream.finished()
        assert site.is_empty()
    assert site.reasons() in ([CloseReason.CLIENT_LEFT], [])


async def test_a_response_that_is_never_run_leaves_nothing() -> None:
    """The entry is made when it is run."""
    site = Site()
    scope = {"type": "http", "headers": [], "query_string": b""}
    async with site.registry:

        class Bare:
            def __init__(self) -> None:
                self.scope = scope

        site.registry.stream(Bare(), ["news"])
        assert site.is_empty()


# Ends that the server decides on ----------------------------------------------------------------


async def test_a_full_process_sends_clients_away() -> None:
    """With 200 and a goodbye: another status would end EventSource for ever (F25)."""
    site = Site(max_connections=1)
    async with site.probe as probe, probe.get("/"):
        times: set[int] = set()
        for _ in range(20):
            async with probe.get("/") as refused:
                assert refused.status == 200
                times.add(await goodbye(refused))
        assert len(times) > 10
        assert site.registry.get_stats()["total"] == 1


async def test_drain_says_goodbye_to_everyone() -> None:
    """Each client has a time of its own to come back; new ones are sent away."""
    site = Site()
    async with site.probe as probe, anyio.create_task_group() as tasks:
        times: set[int] = set()

        async def client(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with probe.get("/") as stream:
                task_status.started()
                times.add(await goodbye(stream))

        for _ in range(20):
            await tasks.start(client)
        await site.registry.drain(spread=60.0)
        assert site.is_empty()
        async with probe.get("/") as late:
            times.add(await goodbye(late))
    assert len(times) > 15
    assert max(times) - min(times) > 5_000
    assert set(site.reasons()) == {CloseReason.DRAINED}


async def test_a_stream_ends_with_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a goodbye: the client comes again."""
    monkeypatch.setattr(runtime, "TICK", 0.001)
    site = Site(max_lifetime=0.01)
    async with site.probe as probe, probe.get("/") as stream:
        assert await goodbye(stream) >= 2000
    assert site.reasons() == [CloseReason.LIFETIME]


async def test_leaving_the_registry_says_goodbye() -> None:
    """As a server does that stops."""
    site = Site()
    async with site.registry, site.probe.get("/") as stream:
        site.registry.close()
        await goodbye(stream)
    assert site.reasons() == [CloseReason.SERVER_STOP]


async def test_an_id_that_is_in_use_is_taken_over() -> None:
    """The old stream ends without a goodbye; the new one lives."""
    site = Site()
    site.stream_options = {"connection_id": "ada"}
    async with site.probe as probe, probe.get("/") as old, probe.get("/") as new:
        blocks = await old.read_until_end()
        assert [block.event for block in blocks if block.data is not None] == []
        await site.registry.publish("news", "x")
        assert (await new.next_event()).data == "x"
    assert site.reasons() == [CloseReason.REPLACED, CloseReason.CLIENT_LEFT]


async def test_a_client_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry is gone, and publishing never waited for it (promise 3)."""
    monkeypatch.setattr(asgi, "GRACE", 0.01)
    site = Site(send_timeout=0.01)
    async with site.probe as probe, probe.get("/") as stream:
        stream.stall()
        for _ in range(20):
            await site.registry.publish("news", "x" * 10_000)
        await stream.finished()
        assert site.is_empty()
    assert site.reasons() == [CloseReason.SEND_TIMEOUT]


# Authorisation ----------------------------------------------------------------------------------


async def test_one_who_may_not_gets_403_and_no_entry() -> None:
    """Before the stream starts."""
    site = Site()
    site.stream_options = {"authorise": lambda _: False}
    async with site.probe as probe, probe.get("/") as stream:
        assert stream.status == 403
        assert site.is_empty()
    assert site.closed == []


async def test_one_who_may_no_longer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again at every heartbeat; what is published after that does not reach it (F51)."""
    monkeypatch.setattr(runtime, "TICK", 0.001)
    site = Site(heartbeat=0.01)
    asked: list[SSEConnection] = []

    async def once(connection: SSEConnection) -> bool:
        await checkpoint()
        asked.append(connection)
        return len(asked) == 1

    site.stream_options = {"authorise": once}
    async with site.probe as probe, probe.get("/") as stream:
        await stream.finished()
        await site.registry.publish("news", "secret")
        with pytest.raises(StreamEnded):
            await stream.next_event()
    assert site.reasons() == [CloseReason.REVOKED]
