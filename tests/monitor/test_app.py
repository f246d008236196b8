"""sse_kit.monitor.app: a page, its stream, and the order to kick, in whatever app."""

from __future__ import annotations

import re
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from fasthtml.core import FastHTML
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount

from sse_kit import ConnectionRegistry, SSEConnection
from sse_kit.errors import InvalidSetting
from sse_kit.monitor import app as app_module
from sse_kit.monitor import monitor
from sse_kit.monitor.census import key_of
from sse_kit.testing import ASGIProbe
from tests.demo.test_page import Document
from tests.monitor.tools import OWN, Site, everybody, history, order, running, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

pytestmark = pytest.mark.anyio

KEY = secrets.token_hex()
"""Else FastHTML writes one to a file."""


@asynccontextmanager
async def caller(app: ASGIApp) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Return a client for short answers."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def kick(site: Site, body: bytes, **headers: str) -> httpx.Response:
    async with caller(site.app) as client:
        return await client.post("/monitor/kick", content=body, headers={**OWN, **headers})


async def test_an_authoriser_sees_the_app_around() -> None:
    """A database, a session, a user: all that a request of the app has."""
    registry = ConnectionRegistry()
    apps: list[object] = []

    def note(request: Request) -> bool:
        apps.append(request.app)
        return True

    app = Starlette(routes=[Mount("/monitor", app=monitor(registry, authorise=note))])
    async with caller(app) as client:
        await client.get("/monitor/")
    assert apps == [app]


# The page -----------------------------------------------------------------------------------------


def with_files(routes: list[BaseRoute]) -> FastHTML:
    """Return an app with a route for all files, as ``fast_app`` makes one."""
    app = FastHTML(routes=routes, secret_key=KEY)

    @app.route("/{name:path}.{extension:static}")
    def get(name: str, extension: str) -> PlainTextResponse:
        return PlainTextResponse(f"{name} {extension}", 404)

    return app


APPS: dict[str, Callable[[list[BaseRoute]], ASGIApp]] = {
    "Starlette": lambda routes: Starlette(routes=routes),
    "FastAPI": lambda routes: FastAPI(routes=routes),
    "FastHTML": lambda routes: FastHTML(routes=routes, secret_key=KEY),
    "fast_app": with_files,
}


@pytest.mark.parametrize("kind", APPS)
async def test_it_can_be_mounted_into_any_framework(kind: str) -> None:
    """The page and all that it loads is there, by relative addresses; so is its stream."""
    app = APPS[kind]([Mount("/monitor", app=monitor(ConnectionRegistry(), authorise=everybody))])
    async with caller(app) as client:
        assert (await client.get("/monitor", follow_redirects=True)).url.path == "/monitor/"
        page = await client.get("/monitor/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        urls = Document(page.text).urls()
        assert len(urls) == 6
        for url in urls:
            assert not re.match(r"[a-z]+:|/", url)
            assert (await client.get(f"/monitor/{url}")).status_code == 200, url
    async with ASGIProbe(app).get("/monitor/events") as stream:
        await snapshot(stream)


async def test_no_script_or_style_is_inline() -> None:
    """What the policy would refuse is not there."""
    async with caller(Site().app) as client:
        document = Document((await client.get("/monitor/")).text)
    scripts = [attrs for tag, attrs in document.elements if tag == "script"]
    assert [attrs.get("type") for attrs in scripts if "src" not in attrs] == ["application/json"]
    names = {name for _, attrs in document.elements for name in attrs}
    assert not {name for name in names if re.match("on|hx-", name)} | names & {"style"}


async def test_every_field_has_a_label_and_every_id_is_one() -> None:
    """What is asked for can be found without seeing it."""
    async with caller(Site(metadata=True).app) as client:
        document = Document((await client.get("/monitor/")).text)
    fields = {
        attrs["id"]
        for tag, attrs in document.elements
        if tag in {"input", "select"} and attrs.get("type") != "checkbox"
    }
    assert fields == {attrs["for"] for tag, attrs in document.elements if "for" in attrs}
    ids = [attrs["id"] for _, attrs in document.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("metadata", [True, False])
async def test_the_page_has_a_column_for_metadata_only_if_it_is_shown(
    metadata: bool,  # noqa: FBT001  a parameter
) -> None:
    """An empty one would promise something."""
    async with caller(Site(metadata=metadata).app) as client:
        assert ('data-part="metadata"' in (await client.get("/monitor/")).text) == metadata


def test_settings_outside_their_range_are_refused() -> None:
    """When the app is made, not when somebody looks."""
    registry = ConnectionRegistry()
    with pytest.raises(InvalidSetting, match="interval"):
        monitor(registry, interval=0)
    with pytest.raises(InvalidSetting, match="rows"):
        monitor(registry, rows=0)


# The stream ---------------------------------------------------------------------------------------


async def test_a_live_connection_is_a_row() -> None:
    """With what it follows and what it got; it is gone when its client is."""
    async with running() as (site, client), client.get("/monitor/events") as viewer:
        await history(viewer)
        assert (await snapshot(viewer)).rows == ()
        async with client.get("/events", query={"topics": "news sport", "id": "ann"}):
            await site.registry.publish("news", "x")
            seen = await snapshot(viewer)
            while not seen.rows or not seen.rows[0].messages:
                seen = await snapshot(viewer)
            [row] = seen.rows
            assert (row.id, row.type, row.state) == ("ann", "user", "connected")
            assert (row.topics, row.messages, row.metadata) == (("news", "sport"), 1, {})
            assert (seen.total, seen.matching) == (1, 1)
            assert {each.name for each in seen.topics.shown} == {"news", "sport"}
            assert seen.hub is not None
            assert seen.hub.records == 1
        while (seen := await snapshot(viewer)).rows:
            pass
        assert [(each.name, each.count) for each in seen.ends.shown] == [("client_left", 1)]


async def test_viewers_are_no_connections_of_the_registry() -> None:
    """They are not counted, and nothing of theirs is in the log."""
    async with running() as (site, client), client.get("/monitor/events") as viewer:
        await snapshot(viewer)
        assert (await snapshot(viewer)).viewers == 1
        stats = site.registry.get_stats()
        assert (stats["total"], stats["hub"]["records"], stats["hub"]["topics"]) == (0, 0, 0)


async def test_of_many_connections_a_page_gets_the_first_and_the_counts() -> None:
    """What goes out does not grow with them."""
    async with running(rows=3) as (site, client):
        for number in range(1_000):
            await site.registry.add_connection(f"c{number}", f"type {number % 50}")
        async with client.get("/monitor/events", query={"sort": "age"}) as viewer:
            seen = await snapshot(viewer)
    assert [row.id for row in seen.rows] == ["c0", "c1", "c2"]
    assert (seen.total, seen.matching, seen.types.kinds) == (1_000, 1_000, 50)
    assert len(seen.model_dump_json()) < 5_000


async def test_a_view_is_in_the_address_of_the_stream() -> None:
    """What is empty filters nothing."""
    query = {"type": "job", "text": "", "state": "", "sort": "age", "ascending": "true"}
    async with running() as (site, client):
        for name, kind in (("a", "job"), ("b", "job"), ("c", "user")):
            await site.registry.add_connection(name, kind)
        async with client.get("/monitor/events", query=query) as viewer:
            seen = await snapshot(viewer)
    assert ([row.id for row in seen.rows], seen.matching, seen.total) == (["b", "a"], 2, 3)


@pytest.mark.parametrize(
    "query", [{"state": "asleep"}, {"sort": "colour"}, {"text": "x" * 201}], ids=repr
)
async def test_a_view_that_is_none_is_refused(query: dict[str, str]) -> None:
    """With a sentence, before a stream begins."""
    async with running() as (_, client), client.get("/monitor/events", query=query) as answer:
        await answer.finished()
        assert answer.status == 422
        assert next(iter(query)).encode() in answer.raw


async def test_viewers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is asked to come later."""
    monkeypatch.setattr(app_module, "MAX_VIEWERS", 1)
    async with running() as (_, client), client.get("/monitor/events") as viewer:
        await snapshot(viewer)
        async with client.get("/monitor/events") as second:
            assert (second.status, second.headers["retry-after"]) == (503, "10")


async def test_metadata_is_sent_only_if_asked_for() -> None:
    """It may be private."""
    for metadata in (True, False):
        async with (
            running(metadata=metadata) as (_, client),
            client.get("/events"),
            client.get("/monitor/events") as viewer,
        ):
            [row] = (await snapshot(viewer)).rows
        assert row.metadata == ({"secret": "of a user"} if metadata else {})


# Kicking ------------------------------------------------------------------------------------------


async def test_a_kick_ends_one_stream_for_good() -> None:
    """Its client is told to stay away; the others are as they were."""
    async with (
        running() as (site, client),
        client.get("/events", query={"id": "ann"}) as ann,
        client.get("/events", query={"id": "bert"}),
        client.get("/monitor/events") as viewer,
    ):
        [first, _] = (await snapshot(viewer)).rows
        assert (await kick(site, order(first.key))).status_code == 204
        last = (await ann.read_until_end())[-1]
        assert (last.event, last.data) == ("close", '{"reason": "kicked"}')
        assert [each.connection_id for each in site.registry.get_connections()] == ["bert"]
        while not (seen := await snapshot(viewer)).ends.shown:
            pass
        assert [each.name for each in seen.ends.shown] == ["kicked"]
        assert (await kick(site, order(first.key))).status_code == 404


async def test_a_kick_is_for_the_stream_that_was_seen() -> None:
    """Not for a later one of the same id."""
    site = Site()
    seen = key_of(await site.registry.add_connection("ann"))
    await site.registry.remove_connection("ann")
    again = await site.registry.add_connection("ann")
    assert (await kick(site, order(seen))).status_code == 404
    assert again.is_active()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 422), (b"{}", 422), (b"[]", 422), (b'{"key": 7}', 422), (b"x" * 257, 413)],
    ids=repr,
)
async def test_what_is_no_order_is_refused(body: bytes, status: int) -> None:
    """And nobody is kicked."""
    assert (await kick(Site(), body)).status_code == status


async def test_an_order_of_unknown_length_is_refused() -> None:
    """It could be endless."""

    async def endless() -> AsyncGenerator[bytes, None]:
        yield order("x")

    async with caller(Site().app) as client:
        answer = await client.post("/monitor/kick", content=endless(), headers=OWN)
    assert answer.status_code == 413


async def test_a_kick_is_a_post() -> None:
    """A link cannot do it."""
    connection: SSEConnection
    async with caller((site := Site()).app) as client:
        connection = await site.registry.add_connection("ann")
        answer = await client.get("/monitor/kick", params={"key": key_of(connection)})
    assert answer.status_code == 405
    assert connection.is_active()
