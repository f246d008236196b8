"""Clients that we did not write, and what is on the wire of each server."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from sse_kit import StreamDecoder
from tests.servers.harness import SERVERS, Client, request, serving
from tests.support import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.harness import Server


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving(SERVERS[request.param], tmp_path_factory.mktemp("server")) as server:
        yield server


def head_of(client: Client) -> list[str]:
    """Return the header lines of a response, in lower case."""
    client.read_until(lambda client: b"\r\n\r\n" in client.received)
    head = client.received.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    return [line.partition(":")[0] for line in head.splitlines()[1:]]


@pytest.mark.parametrize("path", ["/topics", "/direct/idle"])
def test_the_headers_on_the_wire_are_those_of_a_stream(server: Server, path: str) -> None:
    """Chunked, no length; nothing about the connection (H1)."""
    client = Client(server.port, request(path))
    names = head_of(client)
    client.leave()
    ours = {"content-type", "cache-control", "x-accel-buffering", "transfer-encoding"}
    assert set(names) - {"date", "server"} == ours
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", ["/topics", "/direct/idle"])
def test_head_is_answered_and_the_connection_goes_on(server: Server, path: str) -> None:
    """The next request on it is answered too (H3)."""
    client = Client(server.port, request(path, method="HEAD"))
    client.read_until(lambda client: b"\r\n\r\n" in client.received)
    assert b"text/event-stream" in client.received
    client.sock.sendall(request(path))
    client.read_until(lambda client: client.received.count(b"HTTP/1.1 200") == 2)
    client.read_until(lambda client: b"retry: " in client.received)
    client.leave()


def test_an_id_in_utf8_reaches_the_stream(server: Server) -> None:
    """Whatever the server makes of its bytes; it is none of ours, and that is told (E8)."""
    client = Client(server.port, request("/topics", "Last-Event-ID: é…".encode()))
    client.read_until(lambda client: b"event: gap" in client.received)
    client.leave()
    assert client.received.startswith(b"HTTP/1.1 200")


def test_httpx_reads_a_stream(server: Server) -> None:
    """As it comes; leaving the block leaves the stream."""
    url = f"http://127.0.0.1:{server.port}/direct/idle"
    decoder = StreamDecoder()
    with httpx.Client() as client, client.stream("GET", url) as response:
        chunks = response.iter_bytes()
        blocks = decoder.feed(next(chunks))
        while not blocks or blocks[-1].data is None:
            blocks += decoder.feed(next(chunks))
    assert blocks[-1].data == "first"
    server.wait_for(lambda: server.records()["on_close client_left"] > 0, "cleanup")


def test_curl_reads_a_stream(server: Server) -> None:
    """Unbuffered, event by event."""
    curl = shutil.which("curl")
    if curl is None:
        absent("curl", "install it")
    command = [curl, "--silent", "--no-buffer", f"http://127.0.0.1:{server.port}/direct/idle"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.terminate()
    assert lines[0].startswith(b"retry: ")
    assert lines[1:] == [b"\n", b"data: first\n", b"\n"]


def test_curl_s_head_returns(server: Server) -> None:
    """It does not wait for a body that never ends."""
    curl = shutil.which("curl")
    if curl is None:
        absent("curl", "install it")
    command = [curl, "--silent", "--head", f"http://127.0.0.1:{server.port}/topics"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert b"text/event-stream" in done.stdout
