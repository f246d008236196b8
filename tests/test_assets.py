"""What pages load, by the one name of what is in it."""

from __future__ import annotations

import gzip
from typing import NamedTuple

import pytest

from sse_kit.assets import assets
from sse_kit.templates import bundle

SCRIPT = f"/any/where/{bundle.script_name()}"
STYLE = f"/{bundle.style_name()}"
pytestmark = pytest.mark.anyio


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(path: str, method: str = "GET", **headers: str) -> Answer:
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        raise AssertionError

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    await assets(scope, receive, send)  # type: ignore[arg-type]
    start, body = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}  # type: ignore[attr-defined]
    return Answer(start["status"], told, body["body"])  # type: ignore[arg-type]


async def test_the_runtime_is_a_module_that_may_be_kept_for_ever() -> None:
    """The type is JavaScript's, else a browser does not run a module."""
    answer = await ask(SCRIPT)
    assert answer.status == 200
    assert answer.body.decode() == bundle.script()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_the_style_is_served_likewise() -> None:
    """Its type is that of a style sheet."""
    answer = await ask(STYLE)
    assert answer.body.decode() == bundle.style()
    assert answer.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    "said", ["gzip", "br, GZIP", "deflate, gzip;q=0.5, br", "gzip ; q=1", "gzip;q=0.001"]
)
async def test_who_takes_it_gets_it_compressed(said: str) -> None:
    """So its size is the promised one in an app without a middleware for that."""
    whole, answer = await ask(SCRIPT), await ask(SCRIPT, accept_encoding=said)
    assert gzip.decompress(answer.body) == whole.body
    assert len(answer.body) <= 12 * 1024
    told = {"content-encoding": "gzip", "content-length": str(len(answer.body))}
    assert answer.headers == whole.headers | told
    assert whole.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("said", ["", "br", "gzip;q=0", "gzip; q=0.000 , br", "xgzip", "gzipx"])
async def test_who_does_not_take_it_gets_it_as_it_is(said: str) -> None:
    """A weight of 0 is a refusal."""
    assert await ask(SCRIPT, accept_encoding=said) == await ask(SCRIPT)


async def test_head_is_the_answer_without_its_body() -> None:
    """The headers are those of GET."""
    whole, head = await ask(SCRIPT), await ask(SCRIPT, "HEAD")
    assert head == whole._replace(body=b"")


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_who_has_it_is_told_so(form: str) -> None:
    """A tag is compared weakly, and may be one of several."""
    etag = (await ask(SCRIPT)).headers["etag"]
    answer = await ask(SCRIPT, if_none_match=form.format(etag.removeprefix("W/")))
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["cache-control"].endswith("immutable")


async def test_who_has_another_gets_this_one() -> None:
    """The tag of another release is no match."""
    assert (await ask(SCRIPT, if_none_match='"other"')).status == 200


@pytest.mark.parametrize("path", ["/sse_kit.0123456789abcdef.js", "/sse_kit.js", "/", "/../x"])
async def test_another_name_is_not_found(path: str) -> None:
    """That is not kept: the release that has it may come."""
    answer = await ask(path)
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers == {"cache-control": "no-store"}


async def test_nothing_but_get_and_head_is_allowed() -> None:
    """The answer names the two."""
    answer = await ask(SCRIPT, "POST")
    assert (answer.status, answer.headers) == (405, {"allow": "GET, HEAD"})


async def test_what_is_no_request_is_let_be() -> None:
    """A lifespan or a WebSocket that gets here has no answer."""
    await assets({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
