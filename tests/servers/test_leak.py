"""Promise 4: ten thousand clients come and go, and nothing of them stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.harness import AT_ONCE, SERVERS, Client, request, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.harness import Server

CLIENTS = 10_000
WARM_UP = 600
"""Clients after which caches and pools are as large as they will be."""

PATHS = ("/topics", "/direct/idle")
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Visit:
    """What the server held before and after, and what it wrote down in between."""

    before: dict[str, Any]
    after: dict[str, Any]
    asked: int
    closed: int
    output: str


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Let the clients come and go: half by reset, a third before they have a byte."""
    command = (*SERVERS["uvicorn"], "--no-access-log")
    with serving(command, tmp_path_factory.mktemp("server")) as server:
        come_and_go(server, WARM_UP)
        before = quiet(server)
        come_and_go(server, CLIENTS)
        yield Visit(before, quiet(server), *counted(server), server.output())


def come_and_go(server: Server, count: int) -> None:
    for first in range(0, count, AT_ONCE):
        clients = [
            Client(server.port, request(PATHS[n % 2])) for n in range(first, first + AT_ONCE)
        ]
        for number, client in enumerate(clients):
            leave(client, number % 6)


def leave(client: Client, manner: int) -> None:
    if manner in {0, 1}:
        client.reset()
        return
    client.read_until(Client.has_started)
    if manner == 2:
        client.reset()
    else:
        client.leave()


def quiet(server: Server) -> dict[str, Any]:
    """Return what the server holds once it holds no stream, and nothing changes any more."""
    states: list[dict[str, Any]] = [{}]

    def settled() -> bool:
        states.append(server.state())
        *_, last, now = states
        return now["entries"] == 0 and {**now, "memory": 0} == {**last, "memory": 0}

    server.wait_for(settled, "quiet")
    return states[-1]


def counted(server: Server) -> tuple[int, int]:
    """Count the streams that were asked for, and those of which we heard that the client left."""
    records = server.records()
    closed = records["disconnected client_left"] + records["on_close client_left"]
    return records["asked"], closed


@pytest.mark.parametrize(
    "what",
    ["tasks", "entries", "subscriptions", "topics", "connections", "queues", "threads"],
)
def test_clients_that_left_leave_nothing(visit: Visit, what: str) -> None:
    """All is as it was before they came."""
    assert visit.after[what] == visit.before[what]


def test_clients_that_left_keep_no_descriptor(visit: Visit) -> None:
    """All are closed."""
    assert visit.after["descriptors"] <= visit.before["descriptors"]


def test_clients_that_left_keep_little_memory(visit: Visit) -> None:
    """The allocator's own hoard, and no more."""
    assert visit.after["memory"] - visit.before["memory"] < 5 * MEGABYTE


def test_every_client_that_left_was_noticed(visit: Visit) -> None:
    """By the hook or by ``on_close``, each once; few are reset before their request is read."""
    assert visit.closed == visit.asked
    assert visit.asked > (WARM_UP + CLIENTS) * 0.6


def test_clients_that_leave_are_no_errors(visit: Visit) -> None:
    """Nothing in the log (F13)."""
    assert [line for line in visit.output.splitlines() if not line.startswith("INFO:")] == []
