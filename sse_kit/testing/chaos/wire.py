"""HTTP by hand, as far as the chaos needs it: no client library retries or hides anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from sse_kit.testing.ports import HOST

if TYPE_CHECKING:
    from anyio.abc import SocketStream

CHUNK = 65_536


class Broken(Exception):
    """The connection ended, or what came was no answer: whatever was asked may have been done."""


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes


class Dechunker:
    """Takes the chunks of RFC 9112, section 7.1, apart: bytes in any pieces in, the body out."""

    def __init__(self) -> None:
        self.ended = False
        self._pending = bytearray()
        self._left = 0

    def feed(self, piece: bytes) -> bytes:
        """Return what more there is of the body."""
        self._pending += piece
        body = bytearray()
        while not self.ended and (self._left or self._next_size()):
            part = self._pending[: self._left]
            if not part:
                break
            body += part
            del self._pending[: len(part)]
            self._left -= len(part)
        return bytes(body)

    def _next_size(self) -> bool:
        """Read the line before a chunk, with the end of the one before it."""
        start = 2 if self._pending.startswith(b"\r\n") else 0
        end = self._pending.find(b"\r\n", start)
        if end < 0:
            return False
        self._left = int(self._pending[start:end].partition(b";")[0], 16)
        del self._pending[: end + 2]
        self.ended = self._left == 0
        return not self.ended


async def connect(port: int) -> SocketStream:
    """Connect to a port of loopback."""
    try:
        return await anyio.connect_tcp(HOST, port)
    except OSError as error:
        raise Broken from error


async def ask(port: int, request: bytes) -> Answer:
    """Send a request on a connection of its own, and read the answer to its end."""
    received = bytearray()
    async with await connect(port) as stream:
        await send(stream, request)
        while piece := await receive(stream):
            received += piece
    head, found, body = bytes(received).partition(b"\r\n\r\n")
    if not found or b"content-length: %d\r\n" % len(body) not in head.lower() + b"\r\n":
        raise Broken
    return Answer(status_of(head), body)


async def send(stream: SocketStream, data: bytes) -> None:
    """Send all of it."""
    try:
        await stream.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        raise Broken from error


async def receive(stream: SocketStream) -> bytes:
    """Return what comes next; ``b""`` at the end."""
    try:
        return await stream.receive(CHUNK)
    except anyio.EndOfStream:
        return b""
    except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        raise Broken from error


def status_of(head: bytes) -> int:
    """Return the status of a response's head."""
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004  version, status
        raise Broken
    return int(words[1])


def get(path: str, *headers: str) -> bytes:
    """Return a request without a body, of a connection that serves no other."""
    lines = (f"GET {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode()


def post(path: str, body: bytes) -> bytes:
    """Return a request with a body, of a connection that serves no other."""
    head = (f"POST {path} HTTP/1.1", f"Host: {HOST}", "Connection: close")
    lines = (*head, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body
