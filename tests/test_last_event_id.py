"""What a client says it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit.asgi import last_event_id

if TYPE_CHECKING:
    from sse_kit.testing.call import Scope


def scope_of(header: bytes | None = None, query: bytes = b"") -> Scope:
    headers = [] if header is None else [(b"last-event-id", header)]
    return {"headers": [(b"host", b"x"), *headers], "query_string": query}


@pytest.mark.parametrize(
    ("header", "query", "expected"),
    [
        (None, b"", None),
        (b"e.7", b"", "e.7"),
        (b"\xc3\xa9", b"", "é"),
        (b"\xe2\x80\xa6", b"", "…"),
        (b"\xff", b"", "\ufffd"),
        (b"", b"", None),
        (None, b"last_event_id=e.7", "e.7"),
        (None, b"a=1&last_event_id=%C3%A9&b=2", "é"),
        (None, "last_event_id=é".encode(), "é"),
        (None, b"last_event_id=%ff", "\ufffd"),
        (None, b"last_event_id=", None),
        (None, b"Last-Event-ID=e.7", None),
        (None, b"q=%C3%A9&r=\xff", None),
        (b"e.7", b"last_event_id=e.3", "e.7"),
        (b"", b"last_event_id=e.3", None),
    ],
)
def test_the_last_event_id_is_read(
    header: bytes | None, query: bytes, expected: str | None
) -> None:
    """UTF-8 from the header, else from the query; empty or absent is none (E8)."""
    assert last_event_id(scope_of(header, query)) == expected


def test_a_scope_may_lack_what_the_specification_calls_optional() -> None:
    """No headers, no query string: no id."""
    assert last_event_id({"type": "http"}) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_id_comes_back_as_it_was_sent(sent: str) -> None:
    """A browser sends the bytes of its UTF-8 form."""
    assert last_event_id(scope_of(sent.encode())) == sent


@given(st.none() | st.binary(), st.binary())
def test_no_bytes_of_a_client_raise(header: bytes | None, query: bytes) -> None:
    """Whatever it sends is an id or none."""
    found: Any = last_event_id(scope_of(header, query))
    assert found is None or (isinstance(found, str) and found)
