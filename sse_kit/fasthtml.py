"""FastHTML: what a page needs, as elements.

Importing this module imports FastHTML; importing ``sse_kit`` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthtml.components import Link, Span
from fasthtml.xtend import Script
from starlette.routing import Mount

from sse_kit.assets import assets
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, StatusConfig, overrides

if TYPE_CHECKING:
    from fastcore.xml import FT
    from fasthtml.core import FastHTML

PREFIX = "/sse-kit"
"""Where the runtime is served, if nothing else is said."""


def install_sse(
    app: FastHTML, config: ClientConfig | None = None, *, prefix: str = PREFIX
) -> tuple[FT, ...]:
    """Give every page of ``app`` what it needs: mount the runtime, and add it to the headers.

    ``config`` is for all pages; what one page has of its own, it says by :func:`sse_config`.
    ``prefix`` is where the runtime is served. Returns the elements that were added.
    """
    # First, so that no route for all paths, as fast_app makes one, is asked instead.
    app.router.routes.insert(0, Mount(prefix, app=assets))
    headers = sse_headers(config, prefix=prefix)
    app.hdrs.extend(headers)
    return headers


def sse_headers(
    config: ClientConfig | None = None,
    *,
    prefix: str = PREFIX,
    nonce: str | None = None,
    inline: bool = False,
) -> tuple[FT, ...]:
    """Return what the head of a page needs, for an app that has :data:`~sse_kit.assets.assets`.

    ``nonce`` is that of the page's Content-Security-Policy, if it names one: for the script; the
    data block is not run, and needs none. ``inline`` puts the script itself into the page, for an
    app without a route for it; then ``prefix`` is not used, and the status has no style.
    """
    block = () if config is None else (sse_config(config),)
    if inline:
        return (*block, Script(bundle.script(), type="module", nonce=nonce))
    style = Link(rel="stylesheet", href=f"{prefix}/{bundle.style_name()}", nonce=nonce)
    source = f"{prefix}/{bundle.script_name()}"
    return (style, *block, Script(src=source, type="module", nonce=nonce))


def sse_config(config: ClientConfig) -> FT:
    """Return the data block that tells a page what was set in ``config``.

    A page may have several, in its head or its body: each says what it changes, and the streams
    that they name add up.
    """
    return Script(overrides(config), type="application/json", data_sse_kit=True)


def sse_status(selector: str = "", *, words: StatusConfig | None = None, **attributes: str) -> FT:
    """Return a status indicator: a light, and the state in words, which a reader speaks.

    It shows the worst of all streams of the page, or of those whose element ``selector`` matches.
    ``words`` is what it says before the script runs: that of the page's config.
    """
    words = StatusConfig() if words is None else words
    return Span(
        Span(data_sse_light=True, aria_hidden="true"),
        Span(words.connecting, data_sse_text=True),
        role="status",
        data_sse_status=selector or True,
        data_sse_state="connecting",
        **attributes,
    )
