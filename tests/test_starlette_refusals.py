"""What the response refuses, where it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from sse_kit import EventSourceResponse, SSEMessage
from sse_kit.errors import InvalidInput, InvalidMessage, InvalidSetting
from sse_kit.starlette import FORBIDDEN_HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


pytestmark = pytest.mark.anyio


class Model(BaseModel):
    field: str = ""


class Element:
    """What FastHTML's elements are to us: they can be iterated over, and are one value."""

    def __ft__(self) -> tuple[str, ...]:
        return ()

    def __iter__(self) -> Iterator[str]:
        return iter(())


async def generator_function() -> AsyncIterator[str]:
    yield ""


REFUSED: list[object] = [
    *("text", b"bytes", bytearray(b"bytes"), memoryview(b"bytes")),
    *({"a": 1}, Model(), SSEMessage("x"), Element(), None, 7, generator_function),
]


@pytest.mark.parametrize("content", REFUSED, ids=lambda content: type(content).__name__)
async def test_what_is_no_iterable_of_events_is_refused(content: object) -> None:
    """Also what would be iterated over by mistake: one event instead of many."""
    wrong: Any = content
    with pytest.raises(InvalidInput, match="is no iterable of events: pass a generator"):
        EventSourceResponse(wrong)


@pytest.mark.parametrize("name", sorted(FORBIDDEN_HEADERS))
@pytest.mark.parametrize("case", [str.lower, str.title, str.upper])
async def test_a_header_that_would_break_the_stream_is_refused(
    name: str, case: Callable[[str], str]
) -> None:
    """It is the server's to say, or ours."""
    with pytest.raises(InvalidSetting, match=name):
        EventSourceResponse([], headers={case(name): "x"})


NUMBERS = [0, -1, float("nan"), float("inf"), "15", None]


@pytest.mark.parametrize("setting", ["heartbeat", "send_timeout"])
@pytest.mark.parametrize("value", NUMBERS)
async def test_a_time_outside_its_range_is_refused(setting: str, value: object) -> None:
    """Where it is given, before anything is sent."""
    options: dict[str, Any] = {setting: value}
    with pytest.raises(InvalidSetting, match=setting):
        EventSourceResponse([], **options)


@pytest.mark.parametrize("retry", [-1, 1.5, "2000", 10**18])
async def test_a_reconnection_time_outside_its_range_is_refused(retry: Any) -> None:  # noqa: ANN401
    """It is milliseconds, in digits."""
    with pytest.raises(InvalidSetting, match="retry"):
        EventSourceResponse([], retry=retry)


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "error", "open", "gap", "bye"])
async def test_a_close_event_that_cannot_be_is_refused(name: str) -> None:
    """No name, or one that means something else."""
    with pytest.raises(InvalidMessage):
        EventSourceResponse([], close_event=name)
