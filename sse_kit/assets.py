"""What pages load, as a bare ASGI application: the runtime and its style sheet.

Their names hold a hash of what is in them, so a browser may keep them for ever, and a page that was
rendered by a newer release asks for another name. Mount it anywhere::

    app.mount("/sse-kit", assets)                     # Starlette, FastAPI
    f'<script type="module" src="/sse-kit/{bundle.script_name()}">'
"""

from __future__ import annotations

import gzip
import re
from functools import cache, cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from sse_kit.templates import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.asgi import Message, Receive, Scope, Send

SCRIPT_TYPE = "text/javascript; charset=utf-8"
STYLE_TYPE = "text/css; charset=utf-8"
FOR_EVER = b"public, max-age=31536000, immutable"
"""One year is as good as for ever (RFC 9111, 5.2.2.1; RFC 8246)."""

_TAKES_GZIP = re.compile(rb"(?:^|,)\s*gzip\s*(?:$|,|;\s*q=(?!0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)
"""In Accept-Encoding (RFC 9110, 12.5.3): a weight of 0 is a refusal."""


class Asset(NamedTuple):
    """One file, by its name."""

    media_type: str
    body: bytes


class Assets:
    """Serves each asset under its one name, wherever it is mounted; GET and HEAD.

    Compressed for whoever takes that, since few apps do it by themselves. ``load`` returns them by
    name, and is called when the first is asked for.
    """

    def __init__(self, load: Callable[[], dict[str, Asset]]) -> None:
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        if scope["type"] != "http":
            return
        name = scope["path"].rpartition("/")[2]
        head = scope["method"] == "HEAD"
        start, body = self._answer(scope, name)
        await send(start)
        await send({"type": "http.response.body", "body": b"" if head else body})

    def _answer(self, scope: Scope, name: str) -> tuple[Message, bytes]:
        if scope["method"] not in {"GET", "HEAD"}:
            return _start(HTTPStatus.METHOD_NOT_ALLOWED, (b"allow", b"GET, HEAD")), b""
        asset = self._files.get(name)
        if asset is None:
            # Another release's name may come back with that release.
            return _start(HTTPStatus.NOT_FOUND, (b"cache-control", b"no-store")), b""
        tag = f'"{name}"'.encode()
        # Weak, as it is one for two forms (RFC 9110, 8.8.1).
        headers = [
            (b"cache-control", FOR_EVER),
            (b"etag", b"W/" + tag),
            (b"vary", b"accept-encoding"),
        ]
        if _matches(scope, tag):
            return _start(HTTPStatus.NOT_MODIFIED, *headers), b""
        body = asset.body
        if _TAKES_GZIP.search(_header(scope, b"accept-encoding")):
            body = _compressed(body)
            headers.append((b"content-encoding", b"gzip"))
        headers += [
            (b"content-type", asset.media_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-content-type-options", b"nosniff"),
        ]
        return _start(HTTPStatus.OK, *headers), body

    @cached_property
    def _files(self) -> dict[str, Asset]:
        return self._load()


def runtime_files() -> dict[str, Asset]:
    """Return the files of the runtime."""
    return {
        bundle.script_name(): Asset(SCRIPT_TYPE, bundle.script().encode()),
        bundle.htmx_name(): Asset(SCRIPT_TYPE, bundle.htmx_script().encode()),
        bundle.debug_name(): Asset(SCRIPT_TYPE, bundle.debug_script().encode()),
        bundle.style_name(): Asset(STYLE_TYPE, bundle.style().encode()),
    }


assets = Assets(runtime_files)


def _start(status: HTTPStatus, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status.value, "headers": list(headers)}


def _matches(scope: Scope, etag: bytes) -> bool:
    """Compare weakly, as If-None-Match is (RFC 9110, 13.1.2): a proxy may have made a tag weak."""
    values = _header(scope, b"if-none-match").split(b",")
    tags = {tag.strip().removeprefix(b"W/") for tag in values}
    return not tags.isdisjoint({etag, b"*"})


def _header(scope: Scope, wanted: bytes) -> bytes:
    return b",".join(value for name, value in scope["headers"] if name == wanted)


@cache
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)
