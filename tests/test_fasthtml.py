"""FastHTML: what a page gets into its head, and where that is served."""

from __future__ import annotations

import re
import secrets

import httpx
import pytest
from fastcore.xml import to_xml
from fasthtml.components import Div
from fasthtml.core import FastHTML
from starlette.responses import PlainTextResponse

from sse_kit.fasthtml import install_sse, sse_config, sse_headers, sse_status
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, ConnectionConfig, StatusConfig, StreamConfig

pytestmark = pytest.mark.anyio


@pytest.fixture
def app() -> FastHTML:
    made = FastHTML(secret_key=secrets.token_hex())

    @made.route("/")
    def get() -> object:
        return Div("page")

    return made


async def ask(app: FastHTML, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


async def test_one_call_gives_every_page_what_it_needs(app: FastHTML) -> None:
    """The head names the module and the style, both are served, and the block is in it."""
    install_sse(app, ClientConfig(streams=(StreamConfig(url="/events"),)))
    page = (await ask(app, "/")).text
    head = page.partition("</head>")[0]
    assert '<script type="application/json" data-sse-kit>{"streams":[{"url":"/events"}]}' in head
    [script, htmx] = re.findall(r'<script src="(/sse-kit/[^"]+)" type="module">', head)
    [style] = re.findall(r'<link rel="stylesheet" href="(/sse-kit/[^"]+)">', head)
    assert (await ask(app, script)).text == bundle.script()
    assert (await ask(app, htmx)).text == bundle.htmx_script()
    assert (await ask(app, style)).text == bundle.style()


async def test_it_needs_no_config(app: FastHTML) -> None:
    """Then there is no block: all is as the defaults have it."""
    install_sse(app)
    assert "data-sse-kit" not in (await ask(app, "/")).text


async def test_a_route_for_all_files_does_not_come_first(app: FastHTML) -> None:
    """``fast_app`` makes such a one before anybody can mount anything."""

    @app.route("/{name:path}.{extension:static}")
    def get(name: str, extension: str) -> PlainTextResponse:
        return PlainTextResponse(f"{name} {extension}", 404)

    [*_, script] = install_sse(app, prefix="/elsewhere", htmx=False)
    address = str(script.attrs["src"])
    assert address.startswith("/elsewhere/")
    assert (await ask(app, address)).text == bundle.script()


def test_a_nonce_is_on_what_runs() -> None:
    """The block is not run, and needs none."""
    style, block, *scripts = map(to_xml, sse_headers(ClientConfig(debug=True), nonce="abc"))
    assert len(scripts) == 3
    assert all('nonce="abc"' in script for script in scripts)
    assert 'nonce="abc"' in style
    assert "nonce" not in block


def test_the_module_may_be_in_the_page() -> None:
    """Its text is that of the file, not escaped."""
    [script] = sse_headers(inline=True, nonce="abc", htmx=False)
    assert to_xml(script).strip() == (
        f'<script type="module" nonce="abc">{bundle.script()}</script>'
    )


def test_a_block_says_what_was_set() -> None:
    """Also what was set to its default, since another block may say otherwise."""
    config = ClientConfig(connection=ConnectionConfig(base_delay=500, max_retries=None))
    assert to_xml(sse_config(config)).strip() == (
        '<script type="application/json" data-sse-kit>'
        '{"connection":{"baseDelay":500,"maxRetries":null}}</script>'
    )


def test_a_block_is_inert() -> None:
    """FastHTML does not escape what is in a script; the literal has nothing to escape."""
    html = to_xml(sse_config(ClientConfig(cursor="</script><b>\u2028")))
    assert "</script><b>" not in html
    assert html.isascii()


def test_the_status_is_one_for_readers_too() -> None:
    """It has a role, words, and a light that is not read out."""
    html = to_xml(sse_status("#feed", words=StatusConfig(connecting="Moment"), id="light"))
    assert re.sub(r"\s*\n\s*", "", html) == (
        '<span role="status" data-sse-status="#feed" data-sse-state="connecting" id="light">'
        '<span data-sse-light aria-hidden="true"></span><span data-sse-text>Moment</span></span>'
    )
