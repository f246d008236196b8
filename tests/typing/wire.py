"""Messages and their bytes."""

from __future__ import annotations

from typing import assert_type

from sse_kit import ReceivedMessage, SSEMessage, StreamDecoder, encode


def good() -> None:
    """Give each field its type, and each step of the way its own."""
    message = SSEMessage("text", event="tick", id="1", retry=2_000, comment="hello")
    assert_type(message.data, str | None)
    assert_type(message.event, str | None)
    assert_type(message.id, str | None)
    assert_type(message.retry, int | None)
    assert_type(message.comment, str | None)
    assert_type(SSEMessage.of({"any": ["value", None]}, event="tick"), SSEMessage)
    assert_type(message.model_copy(update={"data": "other"}), SSEMessage)
    assert_type(encode(message), bytes)

    decoder = StreamDecoder(max_line=1_024)
    assert_type(decoder.last_event_id, str)
    assert_type(decoder.retry, int | None)
    for received in decoder.feed(b"data: text\n\n"):
        assert_type(received, ReceivedMessage)
        assert_type(received.data, str | None)
        assert_type(received.last_event_id, str)
        assert_type(received.to_message(), SSEMessage)


def bad() -> None:
    """Refuse what the stream cannot carry, before it runs."""
    message = SSEMessage("text")
    message.data = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    SSEMessage(b"text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SSEMessage("text", "tick")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SSEMessage("text", retry="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SSEMessage("text", evnet="tick")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    encode("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    StreamDecoder().feed("data: text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    StreamDecoder(1_024)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ReceivedMessage().data = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
