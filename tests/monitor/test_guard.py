"""sse_kit.monitor.guard: nobody comes in whom nobody vouched for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from starlette.requests import Request

from sse_kit.monitor import local_only
from sse_kit.monitor.guard import HEADERS, is_own
from tests.monitor.tools import OWN, Site, order, running

if TYPE_CHECKING:
    from sse_kit.monitor import Authorise

pytestmark = pytest.mark.anyio

PATHS = ["/monitor/", "/monitor/events", "/monitor/static/no-such-file"]


def request(client: str | None = "127.0.0.1", host: str = "localhost", **headers: str) -> Request:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": raw}
    return Request({**scope, "client": (client, 1) if client else None})


async def post(site: Site, headers: dict[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(site.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post("/monitor/kick", content=order("no such key"), headers=headers)


@pytest.mark.parametrize("path", PATHS)
async def test_without_an_authoriser_nobody_is_served(path: str) -> None:
    """Not even on the same machine; the sentence says what to pass."""
    async with running(authorise=None) as (_, client), client.get(path) as answer:
        await answer.finished()
        assert answer.status == 403
        assert b"authorise=" in answer.raw
        assert b"local_only" in answer.raw


async def says_no(request: Request) -> bool:
    del request
    return False


def fails(request: Request) -> bool:
    raise LookupError(request.url)


async def never_answers(request: Request) -> bool:
    del request
    await anyio.sleep_forever()
    return True


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("authorise", [says_no, fails, never_answers])
async def test_who_is_not_allowed_sees_nothing(
    authorise: Authorise,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An authoriser that fails, or does not answer, has not said yes; that is logged."""
    monkeypatch.setattr("sse_kit.monitor.guard.PATIENCE", 0.01)
    with caplog.at_level(logging.ERROR, "sse_kit"):
        async with running(authorise=authorise) as (_, client), client.get(path) as answer:
            await answer.finished()
    assert answer.status == 403
    assert b"said no" in answer.raw
    assert len(caplog.records) == (0 if authorise is says_no else 1)


async def test_every_answer_has_the_policy() -> None:
    """Pages, streams, files and refusals alike: nothing is loaded from elsewhere, or framed."""
    async with running() as (_, client):
        for path in PATHS:
            async with client.get(path) as answer:
                assert (
                    HEADERS.items()
                    <= {name.title(): value for name, value in answer.headers.items()}.items()
                )
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "http://test"},
        {"origin": "http://elsewhere"},
        {"origin": "http://test.elsewhere"},
        {"origin": "null"},
        {"origin": "http://["},
        {},
    ],
    ids=repr,
)
async def test_an_order_from_elsewhere_is_refused(headers: dict[str, str]) -> None:
    """The authoriser is not even asked: a cookie would speak for the victim."""
    asked: list[Request] = []

    def note(request: Request) -> bool:
        asked.append(request)
        return True

    answer = await post(Site(authorise=note), headers)
    assert answer.status_code == 403
    assert "own page" in answer.text
    assert asked == []


@pytest.mark.parametrize("headers", [OWN, {"origin": "http://test"}], ids=repr)
async def test_an_order_of_the_monitors_own_page_is_heard(headers: dict[str, str]) -> None:
    """By what browsers say of it, over TLS or without."""
    assert (await post(Site(), headers)).status_code == 404


async def test_an_order_needs_the_authorisers_yes() -> None:
    """It can let somebody watch, and not kick."""
    site = Site(authorise=lambda request: request.method == "GET")
    assert (await post(site, OWN)).status_code == 403


def test_an_origin_without_a_host_is_none_of_ours() -> None:
    """HTTP/1.0 knows requests without one."""
    for headers in ([(b"origin", b"http://test")], []):
        assert not is_own(Request({"type": "http", "method": "POST", "headers": headers}))


@pytest.mark.parametrize("client", ["127.0.0.1", "127.1.2.3", "::1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:80"])
def test_local_is_who_is_here_and_says_so(client: str, host: str) -> None:
    """Both addresses are of this machine."""
    assert local_only(request(client, host))


@pytest.mark.parametrize(
    "stranger",
    [
        request("192.0.2.1"),
        request("testclient"),
        request(None),
        request(host="evil.example"),
        request(host="localhost.evil.example"),
        request(host="192.0.2.1"),
        request(host=""),
        request(host="[::1"),
        request(x_forwarded_for="192.0.2.1"),
        request(forwarded="for=192.0.2.1"),
        request(x_real_ip="192.0.2.1"),
        request(via="1.1 proxy"),
    ],
    ids=lambda each: repr((each.client, dict(each.headers))),
)
def test_local_is_nobody_else(stranger: Request) -> None:
    """Not who comes by another name (DNS rebinding), and not whom a proxy brings."""
    assert not local_only(stranger)
