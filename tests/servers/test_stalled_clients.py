"""Clients that do not read: they neither keep a server from stopping nor their descriptor."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers.harness import SERVERS, Client, request, serving, within_the_promise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.harness import Server

SOME = 5
BIG = 100_000
FULL = 120
"""Messages of that size fill the kernel's buffers, and a connection's queue, more than once."""


@contextmanager
def stalled(server: Server, path: str) -> Iterator[None]:
    """Have clients that make a request and read nothing."""
    clients = [Client(server.port, request(path)) for _ in range(SOME)]
    yield
    for client in clients:
        client.leave()


def fill(server: Server) -> None:
    for _ in range(FULL):
        assert server.call(f"/publish?size={BIG}", method="POST").endswith(b"published")


@pytest.mark.parametrize("name", SERVERS)
def test_stalled_clients_do_not_keep_a_server_from_stopping(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Promise 5; uvicorn and granian would wait for them for ever."""
    with (
        serving(SERVERS[name], tmp_path_factory.mktemp("server")) as server,
        stalled(server, "/topics"),
        stalled(server, "/direct/flood"),
    ):
        server.wait_for(lambda: server.state()["entries"] == SOME, "clients")
        fill(server)
        seconds = server.stop()
        assert within_the_promise(seconds), server.output()
        assert server.records() == {
            "asked": 2 * SOME,
            "disconnected server_stop": SOME,
            "on_close server_stop": SOME,
            "finally": SOME,
        }
        assert "Traceback" not in server.output()
        assert "ERROR" not in server.output()


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, "/direct/flood") for name in SERVERS] + [("uvicorn", "/wrapped/direct/flood")],
)
def test_a_client_that_is_given_up_keeps_no_descriptor(
    name: str, path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its connection ends with its stream, though bytes of it are left."""
    with serving(SERVERS[name], tmp_path_factory.mktemp("server")) as server:
        server.state()
        before = server.state()["descriptors"]
        with stalled(server, f"{path}?send_timeout=0.3"):
            server.wait_for(lambda: server.records()["on_close send_timeout"] == SOME, "cleanups")
            server.wait_for(lambda: server.state()["descriptors"] == before, "descriptors")
        assert "Traceback" not in server.output()
        assert "ERROR" not in server.output()


def test_a_client_that_stalls_on_the_last_bytes_does_not_keep_uvicorn_from_stopping(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """No write of ours waits for it, but uvicorn would: for what it still holds itself."""
    with (
        serving(SERVERS["uvicorn"], tmp_path_factory.mktemp("server")) as server,
        stalled(server, "/brim"),
    ):
        server.wait_for(lambda: server.records()["full to the brim"] == SOME, "clients")
        assert within_the_promise(server.stop()), server.output()
        assert server.records()["finally"] == SOME
