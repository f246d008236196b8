"""Ending connections that take no more, with real sockets."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from sse_kit import stalled
from sse_kit.stalled import Line, end_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 5.0


class Pair:
    """A TCP connection: the server's socket, and the client's, which reads nothing by itself."""

    def __init__(self, stack: ExitStack, host: str = "127.0.0.1") -> None:
        listener = stack.enter_context(socket.create_server((host, 0), family=family(host)))
        self.client = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        self.server = stack.enter_context(listener.accept()[0])
        self.server.settimeout(0)

    def fill(self) -> None:
        """Write until the kernel takes no more."""
        with suppress(BlockingIOError):
            while True:
                self.server.send(b"x" * 65_536)

    def line(self, *, ports: Callable[[int], object] = int) -> Line:
        host, port, *rest = self.client.getsockname()
        return Line({"client": (host, ports(port), *rest)}, receive)

    def is_whole(self) -> bool:
        """Tell whether the server can still be read: a shut socket has an end there."""
        return not select.select([self.server], [], [], 0)[0]


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def receive() -> Any:  # noqa: ANN401  what ASGI has
    raise NotImplementedError


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ports", [int, str])
def test_a_full_connection_is_broken(
    stack: ExitStack, host: str, ports: Callable[[int], object]
) -> None:
    """The server sees an end, and that it cannot write; ports as numbers or as granian's text."""
    pair = Pair(stack, host)
    pair.fill()
    end_full([pair.line(ports=ports)])
    assert not pair.is_whole()
    with pytest.raises(BrokenPipeError):
        pair.server.send(b"x")


def test_what_the_kernel_held_is_dropped(stack: ExitStack) -> None:
    """The client sees a reset when the server closes: nothing stays behind in the kernel."""
    pair = Pair(stack)
    pair.fill()
    end_full([pair.line()])
    pair.server.close()
    pair.client.settimeout(PATIENCE)
    with pytest.raises(ConnectionResetError):
        list(iter(partial(pair.client.recv, 1_000_000), b""))


def test_a_connection_that_takes_more_is_not_touched(stack: ExitStack) -> None:
    """Its bytes are on their way."""
    pair = Pair(stack)
    pair.server.send(b"on its way")
    end_full([pair.line()])
    assert pair.is_whole()
    assert pair.client.recv(100) == b"on its way"


def test_the_connections_of_others_are_not_touched(stack: ExitStack) -> None:
    """Full ones too, if they are not among those that were asked for."""
    mine, other = Pair(stack), Pair(stack)
    mine.fill()
    other.fill()
    end_full([mine.line()])
    assert not mine.is_whole()
    assert other.is_whole()


@pytest.mark.parametrize("client", [None, ("", 0), ("name",), ("host", "port"), "/a/path"])
def test_a_client_without_an_address_is_left_alone(stack: ExitStack, client: object) -> None:
    """A UNIX socket, or a server that does not say."""
    pair = Pair(stack)
    pair.fill()
    end_full([Line({"client": client}, receive), Line({}, receive)])
    assert pair.is_whole()


def test_descriptors_that_are_no_connections_do_no_harm(stack: ExitStack, tmp_path: Path) -> None:
    """Files, UNIX sockets, listeners, and sockets of UDP are passed by, and stay open."""
    others: list[Any] = [
        stack.enter_context((tmp_path / "file").open("w")),
        *map(stack.enter_context, socket.socketpair()),
        stack.enter_context(socket.create_server(("127.0.0.1", 0))),
        stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)),
    ]
    pair = Pair(stack)
    pair.fill()
    end_full([pair.line()])
    assert not pair.is_whole()
    assert all(os.fstat(other.fileno()) for other in others)


def test_without_a_list_of_descriptors_nothing_happens(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on Windows."""
    monkeypatch.setattr(stalled, "DESCRIPTORS", tmp_path / "absent")
    pair = Pair(stack)
    pair.fill()
    end_full([pair.line()])
    assert pair.is_whole()


class Protocol(asyncio.Protocol):
    """What uvicorn's is for us: has the transport, and a ``receive``."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.made = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # it is one of TCP
        self.made.set()

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.lost.set()

    async def receive(self) -> Any:  # noqa: ANN401  what ASGI has
        raise NotImplementedError


async def transport_of(stack: ExitStack) -> Protocol:
    loop = asyncio.get_running_loop()
    protocol = Protocol()
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
    stack.enter_context(socket.create_connection(server.sockets[0].getsockname()))
    await protocol.made.wait()
    server.close()
    return protocol


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_that_holds_bytes_is_aborted(
    stack: ExitStack, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Whatever the scope says of the client: a proxy's header may have taken its place there."""

    async def stalls() -> None:
        protocol = await transport_of(stack)
        protocol.transport.write(b"x" * 20_000_000)
        protocol.transport.close()
        end_full([Line({"client": ("203.0.113.7", 555)}, protocol.receive)])
        await asyncio.wait_for(protocol.lost.wait(), PATIENCE)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(stalls())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_that_holds_nothing_is_not_touched(
    stack: ExitStack, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The kernel has it all, and delivers it."""

    async def flows() -> None:
        protocol = await transport_of(stack)
        protocol.transport.write(b"x")
        end_full([Line({}, protocol.receive)])
        assert not protocol.transport.is_closing()
        protocol.transport.close()
        await asyncio.wait_for(protocol.lost.wait(), PATIENCE)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(flows())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_that_is_closed_does_no_harm(
    stack: ExitStack, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The stream may be over by the time it is looked at."""

    async def closed() -> None:
        protocol = await transport_of(stack)
        protocol.transport.close()
        await asyncio.wait_for(protocol.lost.wait(), PATIENCE)
        end_full([Line({}, protocol.receive)])

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(closed())
