"""sse_kit.demo.app: what the demo answers, without a browser."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import TypeAdapter

from sse_kit.codec import StreamDecoder
from sse_kit.demo.app import create_app
from sse_kit.demo.job import Job
from sse_kit.demo.models import MESSAGE_LENGTH, JobState, JobStatus, PageState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.anyio

STEPS = 5


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Run the app, with a job that is soon done, and return a client of it."""
    monkeypatch.setattr("sse_kit.demo.board.Job", partial(Job, limit=1_000, steps=STEPS))
    app = create_app()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


async def state(client: httpx.AsyncClient) -> PageState:
    """Return what a page that is opened now starts from."""
    text = (await client.get("/")).text
    _, _, block = text.partition('<script type="application/json" id="state">')
    return PageState.model_validate_json(block.partition("</script>")[0])


async def written(client: httpx.AsyncClient) -> list[str]:
    """Return the messages on a page that is opened now."""
    return re.findall(
        r'<li data-id="[^"]+">\s*<p data-part="text">(.*)</p>', (await client.get("/")).text
    )


async def progress(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Follow the job to the end of the stream; return names and data of the events."""
    stream = await client.get("/progress")
    assert stream.headers["content-type"].startswith("text/event-stream")
    received = StreamDecoder().feed(stream.content)
    return [(message.type, message.data) for message in received if message.data is not None]


async def test_a_message_is_on_the_page_that_opens_next(client: httpx.AsyncClient) -> None:
    """It is kept without the white space around it."""
    answer = await client.post("/messages", data={"text": "  hello\n"})
    assert answer.status_code == 204
    assert await written(client) == ["hello"]


@pytest.mark.parametrize(
    "form",
    [{}, {"text": ""}, {"text": " \n"}, {"text": "x" * (MESSAGE_LENGTH + 1)}],
    ids=["nothing", "empty", "blank", "long"],
)
async def test_what_is_no_message_is_refused(
    client: httpx.AsyncClient, form: dict[str, str]
) -> None:
    """A sentence tells what a message is, and nothing is kept."""
    answer = await client.post("/messages", data=form)
    assert answer.status_code == 422
    assert str(MESSAGE_LENGTH) in answer.text
    assert await written(client) == []


async def test_each_page_has_a_name_of_its_own(client: httpx.AsyncClient) -> None:
    """By it a tab finds its row in the list."""
    assert (await state(client)).tab != (await state(client)).tab


async def test_the_cursor_of_a_page_moves_with_the_log(client: httpx.AsyncClient) -> None:
    """A page that opens later goes on later."""
    await client.post("/jobs")
    await progress(client)
    first = (await state(client)).cursor
    assert first.rpartition(".")[2] != "0"


async def test_a_topic_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    """A misspelt topic would be a stream without events."""
    answer = await client.get("/events", params={"topic": ["metrics", "metric"]})
    assert answer.status_code == 404
    assert "'metric'" in answer.text


async def test_the_progress_of_an_idle_job_is_one_event(client: httpx.AsyncClient) -> None:
    """The stream ends with the event on which a client closes."""
    (name, data), end = await progress(client)
    assert (name, TypeAdapter(JobStatus).validate_json(data)) == ("job", JobStatus(steps=STEPS))
    assert end == ("close", "")


async def test_the_progress_of_a_run_ends_with_its_result(client: httpx.AsyncClient) -> None:
    """A second stream, without the registry: it ends when the job does."""
    assert (await client.post("/jobs")).status_code == 202
    *events, end = await progress(client)
    last = JobStatus.model_validate_json(events[-1][1])
    assert (last.state, last.done, last.found) == (JobState.FINISHED, STEPS, 168)
    assert end == ("close", "")


async def test_a_job_that_runs_is_not_started_again(client: httpx.AsyncClient) -> None:
    """The second start is refused, with a sentence."""
    assert (await client.post("/jobs")).status_code == 202
    second = await client.post("/jobs")
    assert second.status_code == 409
    assert "running" in second.text
    await progress(client)


async def test_a_file_that_is_not_there_is_not_served(client: httpx.AsyncClient) -> None:
    """Only the page's own files are."""
    assert (await client.get("/static/../app.py")).status_code == 404
    assert (await client.get("/static/app.py")).status_code == 404


async def test_the_script_is_served_with_its_config(client: httpx.AsyncClient) -> None:
    """The marker is gone, and a browser takes it for a script."""
    script = await client.get("/static/demo.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "SSE_KIT_CONFIG" not in script.text


def test_the_app_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastHTML keeps a session key in the working directory; this app has no session."""
    monkeypatch.chdir(tmp_path)
    create_app()
    assert not list(tmp_path.iterdir())
