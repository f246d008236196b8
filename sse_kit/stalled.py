"""Ending the connection of a client that does not read.

A server keeps the bytes of a response until the client has taken them, and closes the connection
only then: one client that has stalled holds its descriptor for ever, and keeps uvicorn and granian
from stopping. ASGI has no message for giving up. What there is:

- uvicorn's ``receive`` is a method of an object that has the transport, which can ``abort()``.
- Elsewhere the process looks among its sockets for the one whose other end is the request's client,
  and shuts it down with a linger of zero: to the server it is broken, as by a client's reset. That
  costs some 10 µs per open descriptor, and needs ``/dev/fd`` (Linux, macOS).

Only a connection that takes no more is ended: one whose bytes are on their way is not touched.
Not reached before the server stops: a client of hypercorn's trio worker, which shields its writes,
and who came through a UNIX socket to a server that is not uvicorn.
"""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Address: TypeAlias = tuple[str, int]

DESCRIPTORS = Path("/dev/fd")

NO_LINGER = struct.pack("ii", 1, 0)
"""``struct linger``: what waits is dropped when the socket is closed."""


@runtime_checkable
class _Transport(Protocol):
    """What we need of an ``asyncio.WriteTransport``; uvloop's are no subclasses of it."""

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int: ...


class Line:
    """The connection under a request, as far as the app can know it."""

    __slots__ = ("_receive", "_scope")

    def __init__(self, scope: Mapping[str, Any], receive: Callable[..., Any]) -> None:
        self._scope = scope
        self._receive = receive

    @property
    def transport(self) -> _Transport | None:
        """The server's own end of it."""
        transport = getattr(getattr(self._receive, "__self__", None), "transport", None)
        return transport if isinstance(transport, _Transport) else None

    @property
    def client(self) -> Address | None:
        """The address of the other end."""
        return _address(self._scope.get("client"))


def end_full(lines: Iterable[Line]) -> None:
    """End those connections that take no more; call it in the event loop's thread."""
    clients: set[Address] = set()
    for line in lines:
        if (transport := line.transport) is not None:
            if transport.get_write_buffer_size():
                transport.abort()
        elif (client := line.client) is not None:
            clients.add(client)
    if clients:
        _shut_down_full(clients)


def _shut_down_full(clients: set[Address]) -> None:
    for sock in _sockets():
        with suppress(OSError):  # not connected, or no more
            if _address(sock.getpeername()) in clients and _is_full(sock):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                sock.shutdown(socket.SHUT_RDWR)


def _sockets() -> Iterator[socket.socket]:
    """Yield each socket of this process, for a look at it: they belong to others."""
    with suppress(FileNotFoundError):
        for path in DESCRIPTORS.iterdir():
            try:
                sock = socket.socket(fileno=int(path.name))
            except OSError:
                continue
            try:
                yield sock
            finally:
                sock.detach()


def _is_full(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return not poll.poll(0)


def _address(address: tuple[Any, ...] | None) -> Address | None:
    """Return host and port; granian has ports as text, IPv6 two fields more, a UNIX socket none."""
    if address is None:
        return None
    try:
        return str(address[0]), int(address[1])
    except (IndexError, ValueError):
        return None
