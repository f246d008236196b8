"""An HTTP client for ASGI apps in process, made for streams that never end.

It speaks the bare protocol, so nothing buffers and nothing hangs: every wait has a timeout, and
leaving the block is what a browser's closed tab is. It runs on asyncio and trio::

    async with ASGIProbe(app) as probe:  # with the app's lifespan
        async with probe.get("/events") as stream:
            assert stream.status == 200
            event = await stream.next_event()
        async with stream.reconnect() as stream:  # sends the Last-Event-ID
            event = await stream.next_event()
"""

from __future__ import annotations

import errno
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack
from urllib.parse import quote, urlencode

from sse_kit.codec import StreamDecoder
from sse_kit.testing.call import Call, Lifespan, NotStarted, StreamEnded, WrongMessage, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from sse_kit.messages import ReceivedMessage
    from sse_kit.testing.call import ASGIApp, Message, Scope

WINDOW = 64 * 1024
"""Unread bytes beyond which ``send`` waits, as uvicorn's does."""

RAISES_FROM = (2, 4)
"""The version of the HTTP part of ASGI in which ``send`` to a client that left raises OSError."""


class RequestOptions(TypedDict, total=False):
    """What a request has beside its method and path; ``last_event_id=""`` sends none."""

    headers: Mapping[str, str | bytes]
    query: Mapping[str, str]
    last_event_id: str


class ProbeStream(Call):
    """One request and its response, as a client sees them.

    ``last_event_id`` is what a reconnect sends: the id as of the last block that was handed out, so
    that what was not read is not skipped.
    """

    def __init__(
        self,
        scope: Scope,
        timeout: float,
        reopen: Callable[[str], AbstractAsyncContextManager[ProbeStream]],
    ) -> None:
        super().__init__(f"{scope['method']} {scope['path']}", timeout)
        version: str = scope["asgi"]["spec_version"]
        self._raises = tuple(map(int, version.split("."))) >= RAISES_FROM
        self._reopen = reopen
        self._start: Message | None = None
        self._requested = self._ended = self._gone = self._reset = self._stalled = False
        self._chunks: deque[bytes] = deque()
        self._blocks: deque[ReceivedMessage] = deque()
        self._decoder = StreamDecoder()
        self._raw = bytearray()
        self._unread = 0
        self.last_event_id = ""

    @property
    def status(self) -> int:
        """The status.

        Raises:
            NotStarted: there is none yet.

        """
        status: int = self._started()["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case; those that come twice joined by a comma.

        Raises:
            NotStarted: there are none yet.

        """
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._started().get("headers", ()):
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    @property
    def raw(self) -> bytes:
        """All that has arrived of the body."""
        return bytes(self._raw)

    def _started(self) -> Message:
        if self._start is None:
            raise NotStarted(self.name, "the response has not started: await stream.start()")
        return self._start

    async def start(self) -> None:
        """Wait for status and headers.

        Raises:
            Exception: what the app raised.
            ProbeError: the app was silent, or returned without a response.

        """
        await self.until(lambda: self._start is not None, "response")

    async def next_block(self) -> ReceivedMessage:
        """Return the next block: an event, or an id, a retry or a comment alone.

        Raises:
            Exception: what the app raised.
            StreamEnded: there is none.
            Silence: none came in time.

        """
        while not self._blocks:
            await self.until(lambda: bool(self._chunks) or self._ended, "block")
            if not self._chunks:
                raise StreamEnded(self.name, f"the stream ended after {self.raw[-200:]!r}")
            self._take_chunk(self._chunks.popleft())
        block = self._blocks.popleft()
        self.last_event_id = block.last_event_id
        return block

    def _take_chunk(self, chunk: bytes) -> None:
        self._blocks.extend(self._decoder.feed(chunk))
        self._unread -= len(chunk)
        self._notify()

    async def next_event(self) -> ReceivedMessage:
        """Return the next block that a browser would dispatch; raises as ``next_block``."""
        while (block := await self.next_block()).data is None:
            pass
        return block

    async def read_until_end(self) -> list[ReceivedMessage]:
        """Return the blocks to the end of the response; raises as ``next_block``."""
        blocks: list[ReceivedMessage] = []
        try:
            while True:
                blocks.append(await self.next_block())
        except StreamEnded:
            if not self._ended:
                raise
        return blocks

    def stall(self) -> None:
        """Stop reading, as a slow client does: every ``send`` of the app waits from now on."""
        self._stalled = True

    def resume(self) -> None:
        """Read again."""
        self._stalled = False
        self._notify()

    def disconnect(self) -> None:
        """Go away, as a closed tab does; leaving the block does it too."""
        self._gone = True
        self._notify()

    def reset(self) -> None:
        """Go away so that every later ``send`` of the app raises ``ConnectionResetError``."""
        self._reset = True
        self.disconnect()

    def reconnect(self) -> AbstractAsyncContextManager[ProbeStream]:
        """Make the same request again, with the last event id of this stream."""
        return self._reopen(self.last_event_id)

    def leave(self) -> None:
        """Disconnect."""
        self.disconnect()

    async def receive(self) -> Message:
        """Give the request, then nothing until the client left or the response is complete."""
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._pass(lambda: self._gone or self._ended)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the response, or hold it back; drop it if the client left."""
        await self._pass(self._may_send)
        if self._reset or (self._gone and self._raises):
            raise ConnectionResetError(errno.ECONNRESET, "the client is gone")
        if not self._gone:
            self._take(message)
            self._notify()

    def _may_send(self) -> bool:
        return self._gone or not (self._stalled or self._unread > WINDOW)

    def _take(self, message: Message) -> None:
        kind: str = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start is not None and not self._ended:
            self._take_body(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        else:
            raise WrongMessage(self.name, f"{kind!r} cannot be sent now")

    def _take_body(self, body: bytes) -> None:
        self._raw += body
        self._unread += len(body)
        if body:
            self._chunks.append(body)


class ASGIProbe:
    """A client of ``app``.

    ``timeout`` bounds every wait, in seconds. ``spec_version`` is what the app is told of the
    server: below 2.4, as uvicorn and hypercorn are, ``send`` to a client that left does nothing;
    from then on it raises ``OSError``.
    """

    def __init__(self, app: ASGIApp, *, timeout: float = 5.0, spec_version: str = "2.3") -> None:
        self._app = app
        self._timeout = timeout
        self._asgi = {"version": "3.0", "spec_version": spec_version}
        self._state: dict[str, Any] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the app's lifespan; raises what it raises."""
        await self._stack.enter_async_context(self.lifespan())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Shut the app down."""
        return await self._stack.__aexit__(exc_type, exc, traceback)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Run the app's lifespan around the body."""
        self._state = {}
        call = Lifespan(self._timeout)
        scope = {"type": "lifespan", "asgi": self._asgi, "state": self._state}
        async with running(call, self._app, scope):
            await call.started()
            yield

    def get(
        self, path: str, **options: Unpack[RequestOptions]
    ) -> AbstractAsyncContextManager[ProbeStream]:
        """Make a GET request; the block is entered when the response has started."""
        return self._request("GET", path, options)

    def head(
        self, path: str, **options: Unpack[RequestOptions]
    ) -> AbstractAsyncContextManager[ProbeStream]:
        """Make a HEAD request; the block is entered when the response has started."""
        return self._request("HEAD", path, options)

    @asynccontextmanager
    async def open(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> AsyncGenerator[ProbeStream]:
        """Make a request and don't wait: the client may leave, stall or reset before the start."""

        def reopen(last_event_id: str) -> AbstractAsyncContextManager[ProbeStream]:
            return self._request(method, path, {**options, "last_event_id": last_event_id})

        scope = self._scope(method, path, options)
        stream = ProbeStream(scope, self._timeout, reopen)
        stream.last_event_id = options.get("last_event_id", "")
        async with running(stream, self._app, scope):
            yield stream

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, options: RequestOptions
    ) -> AsyncGenerator[ProbeStream]:
        async with self.open(method, path, **options) as stream:
            await stream.start()
            yield stream

    def _scope(self, method: str, path: str, options: RequestOptions) -> dict[str, Any]:
        headers: dict[str, str | bytes] = {"host": "probe", "accept": "text/event-stream"}
        headers |= {name.lower(): value for name, value in options.get("headers", {}).items()}
        if last_event_id := options.get("last_event_id"):
            # As a browser does it: the bytes of its UTF-8 form (section 9.2.3).
            headers["last-event-id"] = last_event_id.encode()
        return {
            "type": "http",
            "asgi": self._asgi,
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(options.get("query", {})).encode(),
            "root_path": "",
            "headers": [(name.encode(), _bytes(value)) for name, value in headers.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
            "state": dict(self._state),
            "extensions": {},
        }


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
