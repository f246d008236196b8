"""FastHTML: what a page needs, as elements.

``install_sse`` gives all pages of an app what they need; ``create_sse_element`` shows a stream. The
origin's three scripts stay for those who have them on their pages: each is the runtime with one
thing set, so one alone does what it says, and all together are one.

Importing this module imports FastHTML; importing ``sse_kit`` does not.
"""

from __future__ import annotations

import re
from itertools import compress
from typing import TYPE_CHECKING

from fasthtml.components import Div, Link, Span
from fasthtml.xtend import Fragment, Script
from starlette.routing import Mount

from sse_kit.assets import assets
from sse_kit.errors import InvalidInput
from sse_kit.templates import bundle
from sse_kit.templates.client import (
    ClientConfig,
    ConnectionConfig,
    LifecycleConfig,
    StatsConfig,
    StatusConfig,
    overrides,
)
from sse_kit.templates.htmx import ElementConfig, events_and_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcore.xml import FT
    from fasthtml.core import FastHTML

    from sse_kit.templates.htmx import HtmxVersion
    from sse_kit.transports.base import Position

PREFIX = "/sse-kit"
"""Where the runtime is served, if nothing else is said."""

HTMX_2_EXTENSION = "https://cdn.jsdelivr.net/npm/htmx-ext-sse@2.2.4/sse.js"
HTMX_2_INTEGRITY = "sha384-QA9wXqexhwzXTuTvuF5QP82pddm3R2hy81UzXi7ioNTqNF2b75hlkkSGjafohhL3"
"""FastHTML has no entry for it: ``exts="sse"`` is a KeyError (0.14)."""

_CORE = re.compile(r"htmx\.org@(?P<version>[24])[\d.]*/dist/htmx(?:\.min)?\.js$")
_OF_VERSION = {"2": re.compile(r"htmx-ext-sse"), "4": re.compile(r"/hx-sse\.")}
_NOT_OF_A_NAME = re.compile(r"[\s\x00-\x1f\"'<>/=]")


def install_sse(
    app: FastHTML,
    config: ClientConfig | None = None,
    *,
    prefix: str = PREFIX,
    htmx: bool | None = None,
) -> tuple[FT, ...]:
    """Give every page of ``app`` what it needs: mount the runtime, and add it to the headers.

    That is also htmx's extension for streams, if FastHTML's own htmx is there without it.
    ``config`` is for all pages; what one page has of its own, it says by :func:`sse_config`.
    ``prefix`` is where the runtime is served. ``htmx``: whether pages have htmx (None: if a header
    loads it). Returns the elements that were added.

    Raises:
        InvalidInput: the headers have htmx of one version and its extension of another.

    """
    # First, so that no route for all paths, as fast_app makes one, is asked instead.
    app.router.routes.insert(0, Mount(prefix, app=assets))
    attributes: list[dict[str, object]] = [getattr(each, "attrs", {}) for each in app.hdrs]
    sources = [str(each.get("src", "")) for each in attributes]
    if htmx is None:
        htmx = any("htmx" in source for source in sources)
    headers = (*_extension_beside(sources), *sse_headers(config, prefix=prefix, htmx=htmx))
    app.hdrs.extend(headers)
    return headers


def sse_headers(
    config: ClientConfig | None = None,
    *,
    prefix: str = PREFIX,
    nonce: str | None = None,
    inline: bool = False,
    htmx: bool = True,
) -> tuple[FT, ...]:
    """Return what the head of a page needs, for an app that has :data:`~sse_kit.assets.assets`.

    ``nonce`` is that of the page's Content-Security-Policy, if it names one: for the scripts; the
    data block is not run, and needs none. ``inline`` puts the scripts themselves into the page, for
    an app without a route for them; then ``prefix`` is not used, and the status has no style.
    ``htmx``: whether the page has it.
    """
    block = () if config is None else (sse_config(config),)
    wanted = (config is not None and config.debug, True, htmx)
    if inline:
        texts = compress((bundle.debug_script(), bundle.script(), bundle.htmx_script()), wanted)
        return (*block, *(Script(text, type="module", nonce=nonce) for text in texts))
    style = Link(rel="stylesheet", href=f"{prefix}/{bundle.style_name()}", nonce=nonce)
    names = compress((bundle.debug_name(), bundle.script_name(), bundle.htmx_name()), wanted)
    scripts = (Script(src=f"{prefix}/{name}", type="module", nonce=nonce) for name in names)
    return (style, *block, *scripts)


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


def create_sse_element(  # noqa: PLR0913  the first four are the origin's
    endpoint: str,
    element_id: str | None = None,
    swap_strategy: str = "message",
    hidden: bool = False,  # noqa: FBT001, FBT002  the origin's
    *,
    htmx: HtmxVersion = 2,
    close_event: str = "close",
    cursor: Position | str = "",
    targets: Sequence[str] = (),
    trusted: bool = False,
    **attrs: object,
) -> FT:
    """Return an element that connects to ``endpoint`` and shows what comes from there.

    ``swap_strategy``: which events it shows, ``"message"`` or ``"price,news"``; or, for nameless
    ones, how: a style of htmx as ``"beforeend"``, with its modifiers. ``htmx`` is the version on
    the page: 4 for a FastHTML with ``htmx4=True``. The rest is that of
    :class:`~sse_kit.templates.htmx.ElementConfig`: what a message may hold, above all. ``attrs``
    are those of any FastHTML element, and come last; call the element to give it children.

    Raises:
        InvalidInput: an endpoint, an event or an attribute that cannot be written as one.

    """
    events, style = events_and_style(swap_strategy)
    config = ElementConfig(
        endpoint=endpoint,
        events=events,
        swap=style,
        close_event=close_event,
        cursor=str(cursor),
        targets=tuple(targets),
        trusted=trusted,
    )
    own: dict[str, object] = dict(config.attributes(htmx))
    if element_id:
        own["id"] = element_id
    if hidden:
        own |= {"style": "display: none;", "hidden": True}
    return Div(**(own | _checked(attrs)))


def cleanup_sse_on_unload(*, nonce: str | None = None, inline: bool = True) -> FT:
    """Return what closes the page's streams when it is left.

    On ``pagehide``, so a download or a question on leaving closes nothing; a page that comes back
    by the back button goes on where it was. An element that is removed closes its stream too.
    ``nonce`` is that of the page's policy; ``inline=False`` leaves the script out, for a page that
    has it from :func:`install_sse` or :func:`sse_headers`.
    """
    return _alone(ClientConfig(lifecycle=LifecycleConfig()), nonce=nonce, inline=inline)


def create_reconnection_script(
    check_interval: int = 5000,
    max_retries: int = 5,
    debug: bool = False,  # noqa: FBT001, FBT002  the origin's
    *,
    nonce: str | None = None,
    inline: bool = True,
) -> FT:
    """Return what has the page's streams come back, after an HTTP error too.

    A lost stream is asked for again after a random delay that grows, up to ``check_interval``
    milliseconds, and given up after ``max_retries`` in a row; somebody who looks at the page again
    begins a new count. ``debug`` tells of it in the console.

    Raises:
        InvalidSetting: a number below 0.

    """
    connection = ConnectionConfig(
        min_delay=min(check_interval, 100),
        base_delay=min(check_interval, 500),
        max_delay=check_interval,
        max_retries=max_retries,
    )
    return _alone(ClientConfig(connection=connection, debug=debug), nonce=nonce, inline=inline)


def create_connection_manager_script(
    registry_endpoint: str = "/sse/connections",
    update_interval: int = 10000,
    *,
    nonce: str | None = None,
    inline: bool = True,
) -> FT:
    """Return what shows the registry's statistics: its ``stats_endpoint`` has to be routed there.

    Elements with ``data-sse-stats="total"``, or ``"by_type.user"``, get the number as their text,
    and the document an event ``sse:stats`` with all of them.

    Raises:
        InvalidSetting: an ``update_interval`` under 100 milliseconds.

    """
    stats = StatsConfig(endpoint=registry_endpoint, interval=update_interval)
    return _alone(ClientConfig(stats=stats), nonce=nonce, inline=inline)


def _alone(config: ClientConfig, *, nonce: str | None, inline: bool) -> FT:
    """Return the block, and the runtime, which starts once, however often a page has it."""
    if not inline:
        return sse_config(config)
    return Fragment(*sse_headers(config, nonce=nonce, inline=True))


def _checked(attrs: dict[str, object]) -> dict[str, object]:
    """Return attributes as FastHTML takes them; ``class_`` is what Python makes of ``class``."""
    for name in attrs:
        if not name or _NOT_OF_A_NAME.search(name):
            raise InvalidInput(
                "attrs", name, "is no name of an attribute", "leave out what it has more"
            )
    return {"cls" if name == "class_" else name: value for name, value in attrs.items()}


def _extension_beside(sources: Sequence[str]) -> tuple[FT, ...]:
    """Return htmx's extension for streams, if it is missing.

    Raises:
        InvalidInput: what is there is for the other version of htmx.

    """
    cores = [match for match in map(_CORE.search, sources) if match]
    if not cores:
        return ()
    version = cores[0]["version"]
    for source in sources:
        of = next((of for of, pattern in _OF_VERSION.items() if pattern.search(source)), version)
        if of != version:
            problem = f"is of htmx {of}, and the page has htmx {version}"
            raise InvalidInput("hdrs", source, problem, "htmx4=True goes with exts='sse4'")
    if any(_OF_VERSION[version].search(source) for source in sources):
        return ()
    if version == "4":
        return (Script(src=f"{cores[0].string.rpartition('/')[0]}/ext/hx-sse.min.js"),)
    script = Script(src=HTMX_2_EXTENSION, integrity=HTMX_2_INTEGRITY, crossorigin="anonymous")
    return (script,)
