"""sse_kit.demo.guard: only the demo's own pages read it and post to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import PlainTextResponse

from sse_kit.demo.guard import HEADERS, MAX_BODY, Guard

if TYPE_CHECKING:
    from collections.abc import Collection

pytestmark = pytest.mark.anyio

LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


async def ask(
    method: str = "GET", *, hosts: Collection[str] | None = LOCAL, **headers: str
) -> httpx.Response:
    """Send a request through a guard to an app that says yes."""
    app = Guard(PlainTextResponse("yes"), hosts=hosts)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(method, "http://localhost:8000/", headers=named)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000"])
async def test_a_name_of_ours_is_answered(host: str) -> None:
    """With or without a port, also in IPv6."""
    assert (await ask(host=host)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "", "[::2]"])
async def test_another_name_is_refused(host: str) -> None:
    """A page whose name was made to resolve to this machine reads nothing."""
    answer = await ask(host=host)
    assert answer.status_code == 421
    assert repr(host) in answer.text


async def test_without_names_every_name_is_answered() -> None:
    """A server on all addresses cannot know what it is called."""
    assert (await ask(hosts=None, host="box.example")).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:1", "null"])
async def test_a_post_from_another_page_is_refused(origin: str) -> None:
    """Another page may send a form, but it says where it comes from."""
    answer = await ask("POST", origin=origin, content_length="0")
    assert answer.status_code == 403


async def test_a_post_from_our_own_page_is_taken() -> None:
    """Its origin is the host it posts to."""
    answer = await ask("POST", origin="http://localhost:8000", content_length="0")
    assert answer.status_code == 200


async def test_a_post_from_a_terminal_is_taken() -> None:
    """Curl sends no origin."""
    assert (await ask("POST", content_length=str(MAX_BODY))).status_code == 200


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 5_000, "", "-1", "1e3"])
async def test_a_form_that_is_long_or_of_unknown_length_is_refused(length: str) -> None:
    """Forms are read into memory whole."""
    answer = await ask("POST", content_length=length)
    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_every_answer_keeps_the_page_to_itself(host: str) -> None:
    """The policies are on refusals too."""
    answer = await ask(host=host)
    assert HEADERS.items() <= {name.title(): text for name, text in answer.headers.items()}.items()


async def test_the_policy_allows_no_inline_script_or_style() -> None:
    """Nothing that is written into the page can run."""
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
