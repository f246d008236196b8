"""The releases of htmx that the kit works with, from npm, put up on a test's own server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from fastcore.xml import to_xml
from starlette.responses import Response

from sse_kit import create_sse_element
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig
from tests.browser.site import QUICK
from tests.npm import package

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Route

    from sse_kit.templates.htmx import HtmxVersion
    from tests.browser.site import Site

EXTENSION_2 = "htmx-ext-sse@2.2.4"

CDN = "https://cdn.jsdelivr.net/"
"""FastHTML's content network."""


class Flavour(NamedTuple):
    """A release of htmx with its extension for streams; ``meta`` is its meta character."""

    name: str
    version: HtmxVersion
    scripts: tuple[str, ...]
    meta: str = ":"

    def head(self, site: Site, **settings: object) -> str:
        """Return what loads it, with what ``settings`` configure."""
        if self.meta != ":":
            settings["metaCharacter"] = self.meta
        meta = f"<meta name=htmx-config content='{json.dumps(settings)}'>" if settings else ""
        sources = [put_up(site, script) for script in self.scripts]
        return meta + "".join(f'<script src="{source}"></script>' for source in sources)

    def closed(self) -> str:
        """Return the event that tells of the end of a stream."""
        if self.version == 2:
            return "htmx:sseClose"
        return f"htmx{self.meta}sse{self.meta}close"


def source(script: str) -> str:
    """Return a file of a package: ``htmx.org@2.0.11/dist/htmx.js``."""
    spec, _, file = script.partition("/")
    return (package(spec) / file).read_text("utf-8")


def stand_in(context: BrowserContext) -> None:
    """Answer in place of the content network, by the same releases from npm."""

    def answer(route: Route) -> None:
        kind, _, path = route.request.url.removeprefix(CDN).partition("/")
        # What is on GitHub decorates; no test here needs it.
        body = source(path) if kind == "npm" else ""
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
        route.fulfill(body=body, headers=headers)

    context.route(f"{CDN}**", answer)


def put_up(site: Site, script: str) -> str:
    path = f"npm/{script}"
    if path not in site.pages:
        site.pages[path] = Response(source(script), media_type="text/javascript")
    return f"/{path}"


def _htmx_2(version: str) -> Flavour:
    return Flavour(version, 2, (f"htmx.org@{version}/dist/htmx.js", f"{EXTENSION_2}/sse.js"))


def _htmx_4(version: str, meta: str = ":") -> Flavour:
    spec = f"htmx.org@{version}/dist"
    name = version if meta == ":" else f"{version} with {meta}"
    return Flavour(name, 4, (f"{spec}/htmx.js", f"{spec}/ext/hx-sse.js"), meta)


ALL = (
    _htmx_2("2.0.7"),
    _htmx_2("2.0.11"),
    _htmx_4("4.0.0"),
    _htmx_4("4.0.1"),
    _htmx_4("4.0.1", "-"),
)
"""The oldest are those that FastHTML's pages name."""

HTMX_2 = ALL[1]
HTMX_4 = ALL[3]
NEWEST = (HTMX_2, HTMX_4)


def module(name: str) -> str:
    """Return what loads a module of the kit."""
    return f'<script type="module" src="/sse-kit/{name}"></script>'


class HtmxSite:
    """Pages of one flavour, with elements that show one topic."""

    def __init__(self, site: Site, topic: str, flavour: Flavour) -> None:
        self.site = site
        self.topic = topic
        self.flavour = flavour

    def element(self, swap: str = "message", /, **options: object) -> str:
        """Return the element that shows the topic, ``#feed``."""
        options = {"element_id": "feed", "htmx": self.flavour.version, **options}
        children = options.pop("children", "")
        element = create_sse_element(f"/events/{self.topic}", swap_strategy=swap, **options)  # type: ignore[arg-type]
        html = to_xml(element)
        return html.replace("></div>", f">{children}</div>")

    def page(self, body: str, *, debug: bool = False, **page: object) -> str:
        """Put up a page with this body."""
        config = ClientConfig(connection=QUICK, debug=debug)
        head = str(page.pop("head", None) or self.flavour.head(self.site))
        if debug:
            head += module(bundle.debug_name())
        page = {"script": module(bundle.script_name()) + module(bundle.htmx_name()), **page}
        return self.site.page(config, body, head=head, **page)  # type: ignore[arg-type]

    def publish(self, *values: object, event: str | None = None) -> str:
        return self.site.publish(self.topic, *values, event=event)
