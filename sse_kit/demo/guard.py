"""What stands before the demo: it shows a machine's figures, so only its own pages may read them.

Any page of the web can send requests to a server on localhost, and with a name of its own that
resolves to 127.0.0.1 (DNS rebinding) also read the answers. So the host must be one of ours, a
``POST`` must come from our own page, and the page may load nothing from elsewhere.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 16 * 1024
"""Bytes of a form; a message of the greatest length takes up to 6,000, written %xx."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """ASGI middleware: refuses what is not for us, and adds :data:`HEADERS`.

    ``hosts``: the names this server answers to; None: any.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if self.hosts is not None and urlsplit(f"//{host}").hostname not in self.hosts:
            sentence = f"{host!r} is not this server: start it with --host and that name"
            return PlainTextResponse(sentence, HTTPStatus.MISDIRECTED_REQUEST)
        if method != "POST":
            return None
        if urlsplit(headers.get("origin", f"//{host}")).netloc != host:
            return PlainTextResponse("only this page may post here", HTTPStatus.FORBIDDEN)
        if not _is_short(headers.get("content-length", "")):
            sentence = f"the form is over {MAX_BODY} bytes, or of unknown length"
            return PlainTextResponse(sentence, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return None


def _is_short(length: str) -> bool:
    return length.isdecimal() and len(length) <= len(str(MAX_BODY)) and int(length) <= MAX_BODY
