"""The bad network: what it does to connections, and what it does not."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sse_kit.errors import InvalidSetting
from sse_kit.testing import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
SILENCE = 0.1
"""Seconds after which what did not come will not come: the echo takes less than a millisecond."""


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """Return a proxy before a server that echoes."""
    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with FaultProxy(f"echo://me:secret@127.0.0.1:{server.server_address[1]}/0?a=b") as proxy:
            yield proxy
        server.shutdown()
        thread.join()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    """Return a connection through it that has echoed once."""
    with connect(proxy) as client:
        assert echo(client, b"hello") == b"hello"
        yield client


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)


def echo(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return client.recv(4096)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE)
    try:
        client.recv(4096)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


def test_the_url_is_the_target_s_with_the_proxy_in_it(proxy: FaultProxy) -> None:
    """Scheme, user, password, path and query stay."""
    assert proxy.url == f"echo://me:secret@127.0.0.1:{proxy.port}/0?a=b"


@pytest.mark.parametrize("target", ["127.0.0.1:80", "redis://localhost", ""])
def test_a_target_without_a_port_is_refused(target: str) -> None:
    """The error names it, and how to write it."""
    with pytest.raises(InvalidSetting, match="has no host and port: write scheme://host:port"):
        FaultProxy(target)


def test_a_cut_connection_ends_and_a_new_one_works(
    proxy: FaultProxy, client: socket.socket
) -> None:
    """Nobody is refused after a cut."""
    proxy.cut()
    assert client.recv(1) == b""
    with connect(proxy) as again:
        assert echo(again, b"again") == b"again"


def test_what_is_held_comes_later(proxy: FaultProxy, client: socket.socket) -> None:
    """Nothing passes meanwhile, nothing is lost."""
    proxy.hold()
    client.sendall(b"held")
    assert is_silent(client)
    proxy.forward()
    assert client.recv(4096) == b"held"


def test_what_is_swallowed_never_comes(proxy: FaultProxy, client: socket.socket) -> None:
    """The connection that has the hole ends with it; one without goes on."""
    with connect(proxy) as other:
        assert echo(other, b"hello") == b"hello"
        proxy.swallow()
        client.sendall(b"lost")
        assert is_silent(client)
        proxy.forward()
        assert client.recv(1) == b""
        assert echo(other, b"still") == b"still"


def test_a_refusing_proxy_leaves_open_connections(proxy: FaultProxy, client: socket.socket) -> None:
    """New ones are refused until it forwards again, at the same port."""
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    assert echo(client, b"still") == b"still"
    proxy.forward()
    with connect(proxy) as again:
        assert echo(again, b"again") == b"again"


def test_a_slow_network_takes_its_time(proxy: FaultProxy, client: socket.socket) -> None:
    """Each direction waits."""
    proxy.delay(0.05)
    began = time.monotonic()
    assert echo(client, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.1


def test_a_target_that_is_gone_resets_the_connection() -> None:
    """The proxy itself goes on, and finds the target when it is back."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with FaultProxy(f"echo://127.0.0.1:{port}") as proxy:
        with connect(proxy) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        with (
            socket.create_server(("127.0.0.1", port)) as back,
            connect(proxy) as client,
        ):
            there, _ = back.accept()
            there.sendall(b"back")
            there.close()
            assert client.recv(4096) == b"back"
