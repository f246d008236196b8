"""The door of the monitor: who may come in, from where an order may come, and what pages may do.

Everything of the monitor is behind it, so no route can be forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from inspect import isawaitable
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

Authorise: TypeAlias = Callable[[Request], Awaitable[bool] | bool]
"""Tells whether a request for the monitor may be answered; a kick is a POST."""

PATIENCE = 5.0
"""Seconds that an authoriser may take: no answer is a no."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

NO_AUTHORISER = (
    "This monitor serves nobody, because nobody said whom: pass "
    "monitor(registry, authorise=...) a function that takes a request and returns whether it is "
    "from somebody who may see this; on a machine of your own, sse_kit.monitor.local_only.\n"
)
NOT_ALLOWED = "You may not see this monitor: its authoriser said no.\n"
NOT_OURS = "This order did not come from the monitor's own page: send it from there.\n"

FORWARDED = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"}
"""What proxies add."""


def local_only(request: Request) -> bool:
    """Let in who is on this machine and says so: an authoriser for development.

    Both ends must be this machine: the client's address, and the host that was asked for, since a
    page of the web can have a name of its own resolve to 127.0.0.1. What a proxy forwards is
    refused where one can tell, but some proxies leave no trace: behind one, use your own.
    """
    client = request.client.host if request.client else ""
    forwarded = not FORWARDED.isdisjoint(request.headers.keys())
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        ours = host == "localhost" or ip_address(host).is_loopback
        return ours and ip_address(client).is_loopback and not forwarded
    except ValueError:
        return False  # one of them is no address at all


class Guard:
    """Asks the authoriser before ``app``, refuses strangers' orders, adds :data:`HEADERS`."""

    def __init__(self, app: ASGIApp, *, authorise: Authorise | None) -> None:
        self._app = app
        self._authorise = authorise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = await self._refusal(Request(scope))
        answer = self._app if refusal is None else _refused(refusal)
        await answer(scope, receive, send_guarded)

    async def _refusal(self, request: Request) -> str | None:
        if self._authorise is None:
            return NO_AUTHORISER
        if request.method not in {"GET", "HEAD"} and not is_own(request):
            return NOT_OURS
        return None if await allows(self._authorise, request) else NOT_ALLOWED


async def allows(authorise: Authorise, request: Request) -> bool:
    """Ask an authoriser; that it failed, or took too long, is a no, and logged."""
    try:
        with anyio.fail_after(PATIENCE):
            answer = authorise(request)
            return bool(await answer) if isawaitable(answer) else bool(answer)
    except Exception:
        logger.exception("the monitor's authoriser failed")
        return False


def is_own(request: Request) -> bool:
    """Tell whether a page of the same origin sent this, by what only a browser can say.

    Sec-Fetch-Site says it outright; browsers leave it out where there is neither TLS nor localhost,
    and then Origin has to name this host.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    host = request.headers.get("host")
    return request.headers.get("origin") in {f"http://{host}", f"https://{host}"}


def _refused(sentence: str) -> PlainTextResponse:
    headers = {"Cache-Control": "no-store"}
    return PlainTextResponse(sentence, HTTPStatus.FORBIDDEN, headers=headers)
