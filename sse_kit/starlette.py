"""Responses for Starlette, and so for FastAPI and FastHTML: a route returns one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from pydantic import BaseModel
from starlette.requests import Request  # noqa: TC002  FastHTML reads the annotation
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sse_kit import asgi
from sse_kit.config import StreamSettings
from sse_kit.errors import InvalidInput, InvalidSetting
from sse_kit.iterate import Content, IteratorSession
from sse_kit.outgoing import sendable
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from starlette.background import BackgroundTask
    from starlette.types import Receive, Scope, Send

    from sse_kit.admission import Admission, Wanted

logger = logging.getLogger(__name__)

FORBIDDEN_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "transfer-encoding"}
)
"""What would break a stream, or is the server's to say."""

RAW_HEADERS = [(name.encode(), value.encode()) for name, value in asgi.HEADERS.items()]

DEFAULT_RETRY = StreamSettings().retry

CLOSE_PATIENCE = 10.0
"""Seconds that an ``on_close`` may take."""


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The end of a stream: why, and the error if there was one."""

    reason: CloseReason
    error: str | None = None


OnClose: TypeAlias = Callable[[StreamClosed], Awaitable[object] | object]
"""May be async; what it returns is ignored, what it raises is logged."""


class EventSourceResponse(Response):
    """Streams ``content``: an async or sync iterable of what :meth:`SSEMessage.of` takes.

    An async generator runs in one task from beginning to end, a sync one in a thread of its own;
    their ``finally`` runs when the client leaves. ``heartbeat`` and ``send_timeout`` in seconds,
    ``retry`` in milliseconds (None: 2 to 3 s), see :class:`~sse_kit.config.StreamSettings`.
    ``on_close`` is called with a :class:`StreamClosed` whenever a run of the response ends, also if
    the client left before the first byte, or only asked for HEAD; it may be async. ``close_event``
    is sent when the content comes to its end, so that a page can close its EventSource: else that
    comes back and runs the content again.

    Raises:
        InvalidInput: ``content`` cannot be iterated over, or is itself one event.
        InvalidSetting: a setting outside its range, a header that would break the stream.
        InvalidMessage: a ``close_event`` that is no event name, or a reserved one.

    """

    _on_close: OnClose | None = None

    def __init__(  # noqa: PLR0913  all but the content by keyword
        self,
        content: Content,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        heartbeat: float = 15.0,
        retry: int | None = None,
        send_timeout: float = 30.0,
        on_close: OnClose | None = None,
        close_event: str | None = "close",
    ) -> None:
        if not _is_iterable_of_events(content):
            raise InvalidInput("content", content, "is no iterable of events", "pass a generator")
        retry = DEFAULT_RETRY if retry is None else retry
        settings = StreamSettings(heartbeat=heartbeat, retry=retry, send_timeout=send_timeout)
        self._begin(settings, status_code, {**asgi.HEADERS, **_checked(headers)})
        self._content = content
        self._on_close = on_close
        self._close_event = None
        if close_event is not None:
            self._close_event = sendable("", event=close_event)

    def _begin(
        self, settings: StreamSettings, status_code: int, headers: Mapping[str, str]
    ) -> None:
        """Do what Starlette's ``__init__`` does, which is for responses that have a body."""
        self.settings = settings
        self.status_code = status_code
        self.background: BackgroundTask | None = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] == "HEAD":
            await self._answer_head(send)
        else:
            await self._stream(scope, receive, send)
        if self.background is not None:
            await self.background()

    async def _answer_head(self, send: Send) -> None:
        try:
            await asgi.respond_to_head(send, self._start())
        finally:
            await self._closed(StreamClosed(CloseReason.FINISHED))

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = IteratorSession(
            self._content, retry=self.settings.retry, close_event=self._close_event
        )
        responder = asgi.Responder(session, settings=self.settings, feed=session.feed)
        try:
            await responder.run(scope, receive, send, start=self._start())
        finally:
            assert session.reason is not None, "run() ends its session"  # noqa: S101
            await self._closed(StreamClosed(session.reason, session.error))

    def _start(self) -> dict[str, Any]:
        return {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }

    async def _closed(self, closed: StreamClosed) -> None:
        if self._on_close is None:
            return
        try:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLOSE_PATIENCE):
                done = self._on_close(closed)
                if isawaitable(done):
                    await done
        except Exception:
            logger.exception("on_close failed")


class TopicResponse(EventSourceResponse):
    """Streams a registry's topics; ``registry.stream`` makes it.

    ``admission`` gives the session for the time of one run, or None to one who may not have it.
    """

    def __init__(self, admission: Admission, wanted: Wanted, settings: StreamSettings) -> None:
        self.settings = settings
        self.status_code = 200
        self.background = None
        self.raw_headers = list(RAW_HEADERS)
        self._admission = admission
        self._wanted = wanted

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  it is a CoroutineType
        self, scope: Scope, receive: Receive, send: Send
    ) -> Coroutine[Any, Any, None]:
        """Answer one request: by as few coroutines as there may be, for each takes memory."""
        if scope["method"] == "HEAD" or self.background is not None:
            return super().__call__(scope, receive, send)
        return self._stream(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = await self._admission.enter(self._wanted)
        if session is None:
            await PlainTextResponse("not allowed", 403)(scope, receive, send)
            return
        try:
            responder = self._admission.responder(session)
            await responder.run(scope, receive, send, start=self._start())
        finally:
            self._admission.leave(session)


def _is_iterable_of_events(content: object) -> bool:
    """Refuse also what can be iterated over, but is meant as one event: text, a model, HTML."""
    single = (str, bytes, bytearray, memoryview, Mapping, BaseModel)
    if isinstance(content, single) or hasattr(type(content), "__ft__"):
        return False
    return isinstance(content, AsyncIterable | Iterable)


def _checked(headers: Mapping[str, str] | None) -> dict[str, str]:
    checked = {name.lower(): value for name, value in (headers or {}).items()}
    for name in FORBIDDEN_HEADERS & checked.keys():
        remedy = "leave it out, the server and the response set it"
        raise InvalidSetting("headers", name, "would break the stream", remedy)
    return checked


def json_endpoint(
    make: Callable[[], Mapping[str, Any]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return a route handler that answers with what ``make`` returns, as JSON, never stored."""

    async def endpoint(request: Request) -> Response:  # noqa: ARG001  what a route passes
        return JSONResponse(dict(make()), headers={"cache-control": "no-store"})

    return endpoint
