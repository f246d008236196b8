"""A page of FastHTML with all of it: headers, cursor, status, and a registry's stream."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token
from fasthtml.components import Li, Link, Ul
from fasthtml.core import FastHTML
from fasthtml.xtend import Script
from playwright.sync_api import expect
from starlette.requests import Request  # noqa: TC002  FastHTML reads annotations
from starlette.responses import Response  # noqa: TC002

from sse_kit import ConnectionRegistry
from sse_kit.fasthtml import install_sse, sse_config, sse_status
from sse_kit.templates.client import ClientConfig, StreamConfig
from tests.browser.site import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from tests.browser.conftest import Complaints
    from tests.browser.watch import OpenPage

KEY = secrets.token_hex()
"""Else FastHTML writes one to a file."""

FOLLOW = """
document.addEventListener("sse:ready", () => {
  for (const channel of sseKit.channels) {
    channel.addEventListener("item", ({ data }) => {
      document.querySelector("#items").insertAdjacentHTML("beforeend", data);
    });
  }
});
"""

HEAD = (Link(rel="icon", href="data:,"), Script(FOLLOW))


class App:
    """A list that a page shows whole, and its stream goes on with."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.registry = ConnectionRegistry(retry=50)
        self.app = FastHTML(default_hdrs=False, secret_key=KEY, hdrs=HEAD)
        self.app.set_lifespan(self.lifespan)
        install_sse(self.app)
        self.token: EventLoopToken | None = None
        self.url = ""
        self._route()

    async def lifespan(self, app: FastHTML) -> AsyncGenerator[None, None]:
        del app
        self.token = current_token()
        async with self.registry:
            yield

    def _route(self) -> None:
        @self.app.route("/")
        async def index() -> tuple[object, ...]:
            cursor = str(self.registry.position())  # before what is shown is asked for
            stream = StreamConfig(url="/events", element="#items", on_gap={"#items": ""})
            shown = Ul(*map(Li, self.items), id="items")
            await self.add("between")
            return (
                sse_status(),
                shown,
                sse_config(ClientConfig(cursor=cursor, streams=(stream,))),
            )

        @self.app.route("/events")
        def events(request: Request) -> Response:
            return self.registry.stream(request, ["items"])

    async def add(self, text: str) -> None:
        """Write, then tell."""
        self.items.append(text)
        await self.registry.publish("items", Li(text), event="item")

    def add_from_thread(self, text: str) -> None:
        from_thread.run(self.add, text, token=self.token)


@pytest.fixture
def app() -> Iterator[App]:
    made = App()
    with serve(made.app) as made.url:
        yield made
        made.registry.close()


def test_a_page_goes_on_from_what_it_was_rendered_with(
    app: App, open_page: OpenPage, complaints: Complaints
) -> None:
    """What was written between its query and its connection comes once, in its place."""
    app.items.append("before")
    page = open_page(f"{app.url}/")
    items = page.locator("#items li")
    expect(items).to_have_text(["before", "between"])
    app.add_from_thread("after")
    expect(items).to_have_text(["before", "between", "after"])
    expect(page.get_by_role("status")).to_have_text("Connected")
    assert complaints == []


def test_a_page_is_made_right_after_a_gap(app: App, open_page: OpenPage) -> None:
    """It asks for itself anew, takes its list from that, and goes on from its cursor."""
    page = open_page(f"{app.url}/")
    items = page.locator("#items li")
    expect(items).to_have_text(["between"])
    page.evaluate(
        """() => {
          document.querySelector("#items").replaceChildren();
          const [channel] = sseKit.channels;
          channel.moveTo("lost.7");
          channel.reconnect();
        }"""
    )
    expect(items).to_have_text(["between", "between"])
    app.add_from_thread("after")
    expect(items).to_have_text(["between", "between", "after"])
