"""A server that is told to stop, with many streams open: promise 5, on every server."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.servers.harness import OWN, SERVERS, Crowd, Server, serving, within_the_promise

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from tests.servers.harness import Client

UVICORN, HYPERCORN, GRANIAN = SERVERS["uvicorn"], SERVERS["hypercorn"], SERVERS["granian"]
MANY = 1000
SOME = 40

SIGTERM = Server.stop
SIGINT = partial(Server.stop, number=signal.SIGINT)
CTRL_C = Server.ctrl_c

STOPS: dict[str, tuple[tuple[str, ...], int, Callable[[Server], float]]] = {
    "uvicorn": (UVICORN, MANY, SIGTERM),
    "hypercorn": (HYPERCORN, MANY, SIGTERM),
    "granian": (GRANIAN, MANY, SIGTERM),
    "uvicorn-ctrl-c": (UVICORN, SOME, CTRL_C),
    "hypercorn-ctrl-c": (HYPERCORN, SOME, CTRL_C),
    # Not Ctrl-C: its worker gets that and the main process's SIGTERM, and then, now and then, it
    # hears neither, also without any stream (granian 2.8).
    "granian-sigint": (GRANIAN, SOME, SIGINT),
    "uvicorn-workers": ((*UVICORN, "--workers", "2"), SOME, SIGTERM),
    "uvicorn-reload": ((*UVICORN, "--reload"), SOME, CTRL_C),
    "uvicorn-asyncio-h11": ((*UVICORN, "--loop", "asyncio", "--http", "h11"), SOME, SIGTERM),
    "uvicorn-in-a-loop": ((OWN, "main", "{port}"), SOME, SIGTERM),
    "hypercorn-workers": ((*HYPERCORN, "--workers", "2"), SOME, SIGTERM),
    "hypercorn-trio": ((*HYPERCORN, "--worker-class", "trio"), SOME, SIGTERM),
    "hypercorn-uvloop": ((*HYPERCORN, "--worker-class", "uvloop"), SOME, SIGTERM),
    "granian-workers": ((*GRANIAN, "--workers", "2"), SOME, SIGTERM),
}


@dataclass(frozen=True)
class Stop:
    """What was there before the server was told to stop, and after it had ended."""

    seconds: float
    streams: int
    records: Counter[str]
    clients: list[Client]
    output: str

    @property
    def of_topics(self) -> list[Client]:
        return [client for client in self.clients if b"id: " in client.received]


def wait_for_workers(server: Server, count: int) -> None:
    """Wait until all are there: granian's forget a signal that comes while they start."""
    seen: set[bytes] = set()

    def all_seen() -> bool:
        seen.add(server.call("/process"))
        return len(seen) == count

    server.wait_for(all_seen, "workers")


@pytest.fixture(scope="module", params=STOPS)
def stop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stop]:
    """Stop a server with streams of topics and of generators open, half of each."""
    command, streams, end = STOPS[request.param]
    with Crowd() as crowd, serving(command, tmp_path_factory.mktemp("server")) as server:
        wait_for_workers(server, 2 if "workers" in request.param else 1)
        crowd.connect(server.port, ["/topics", "/direct/idle"] * (streams // 2))
        seconds = end(server)
        crowd.read_until(lambda _: False)
        yield Stop(seconds, streams, server.records(), crowd.clients, server.output())


def test_a_server_stops_within_two_seconds(stop: Stop) -> None:
    """Promise 5: from the signal to the end of the process."""
    assert within_the_promise(stop.seconds), stop.output


def test_a_server_that_stops_runs_every_cleanup(stop: Stop) -> None:
    """Hooks, ``on_close``, and the ``finally`` of generators."""
    half = stop.streams // 2
    facts = {"disconnected server_stop": half, "finally": half, "on_close server_stop": half}
    assert {fact: stop.records[fact] for fact in facts} == facts


def test_a_server_that_stops_ends_every_response(stop: Stop) -> None:
    """Clients see a complete response, no reset."""
    assert [client for client in stop.clients if not client.ended_cleanly()] == []


def test_a_server_that_stops_asks_its_clients_to_come_back(stop: Stop) -> None:
    """Each after a time of its own."""
    goodbyes = [
        goodbye[1]
        for client in stop.of_topics
        if (goodbye := re.search(rb"event: bye\r?\n.*data: (.*)\n", client.received, re.DOTALL))
    ]
    assert len(goodbyes) == stop.streams // 2
    assert len(set(goodbyes)) > len(goodbyes) // 2


def test_a_server_that_stops_looks_well(stop: Stop) -> None:
    """No traceback, no error."""
    assert [word for word in ("Traceback", "ERROR", "Exception") if word in stop.output] == []


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_a_second_ctrl_c_does_not_wait(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The process ends as soon, and the cleanups have run all the same."""
    with Crowd() as crowd, serving(SERVERS[name], tmp_path_factory.mktemp("server")) as server:
        crowd.connect(server.port, ["/topics", "/direct/idle"] * 10)
        assert within_the_promise(server.ctrl_c(times=2))
        assert server.records()["finally"] == 10


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_a_server_s_first_stream_may_start_after_the_signal(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its route was still at work when the server was told to stop."""
    with Crowd() as crowd, serving(SERVERS[name], tmp_path_factory.mktemp("server")) as server:
        crowd.send(server.port, "/slow/idle")
        server.wait_for(lambda: server.records()["asked"] > 0, "request")
        assert within_the_promise(server.stop()), server.output()
        assert server.records()["on_close server_stop"] == 1


def test_registry_close_is_for_servers_that_hear_no_signal(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """As one in a thread, beside a main thread that hears it."""
    command = (OWN, "thread", "{port}")
    with Crowd() as crowd, serving(command, tmp_path_factory.mktemp("server")) as server:
        crowd.connect(server.port, ["/topics"] * SOME)
        assert within_the_promise(server.stop()), server.output()
        assert server.records()["disconnected server_stop"] == SOME


def test_a_call_that_blocks_for_ever_does_not_hold_the_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A sync generator in its thread: nobody can end that call."""
    with Crowd() as crowd, serving(HYPERCORN, tmp_path_factory.mktemp("server")) as server:
        crowd.connect(server.port, ["/direct/blocking"] * 10)
        assert within_the_promise(server.stop()), server.output()
        assert server.records()["on_close server_stop"] == 10


def test_the_application_s_handlers_are_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """While nobody streams they are the server's, and in the end the application's own."""
    with serving((OWN, "main", "{port}"), tmp_path_factory.mktemp("server")) as server:
        before = server.state()["handlers"]
        with Crowd() as crowd:
            crowd.connect(server.port, ["/topics", "/direct/idle"])
            assert all("sse_kit" in handler for handler in server.state()["handlers"])
        server.wait_for(lambda: server.state()["entries"] == 0, "leave")
        server.wait_for(lambda: server.records()["finally"] == 1, "cleanup")
        assert server.state()["handlers"] == before
        server.stop()
        assert server.records()["restored True"] == 1
        assert server.records()["handled 15"] == 1
