"""Messages to bytes and back: the event-stream format (HTML standard, sections 9.2.5 and 9.2.6).

No I/O, no clock. ``encode`` takes only what is valid by construction; ``StreamDecoder`` takes any
bytes in any chunks. ``dump_payload`` and ``load_payload`` are the form a message has in a log: JSON
with a version, without the id, which the log itself assigns.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sse_kit.errors import EventTooLong, InvalidInput, LineTooLong, MalformedPayload, ProtocolError
from sse_kit.messages import MAX_RETRY, ReceivedMessage, SSEMessage

LINE_END = re.compile(r"\r\n|\n|\r")
"""What ends a line of a stream, and nothing else: not U+2028, U+0085, VT or FF."""

BOM = b"\xef\xbb\xbf"
MAX_LINE = 16 * 1024 * 1024
"""Bytes; a published contract test sends lines of 5 MiB, Node's undici has no limit at all."""

MAX_EVENT = 4 * MAX_LINE
PAYLOAD_VERSION = 1
PAYLOAD_FIELDS = frozenset({"v", "data", "event", "retry", "comment"})


def encode(message: SSEMessage) -> bytes:
    r"""Return the block of ``message``: its lines, each ended by LF, and the empty line.

    >>> encode(SSEMessage("a\nb", event="tick", id="1"))
    b'id: 1\nevent: tick\ndata: a\ndata: b\n\n'
    """
    lines: list[str] = []
    if message.comment is not None:
        lines += (f": {line}" for line in LINE_END.split(message.comment))
    if message.retry is not None:
        lines.append(f"retry: {message.retry}")
    if message.id is not None:
        lines.append(f"id: {message.id}")
    if message.event is not None:
        lines.append(f"event: {message.event}")
    if message.data is not None:
        lines += (f"data: {line}" for line in LINE_END.split(message.data))
    lines += ("", "")
    return "\n".join(lines).encode()


class StreamDecoder:
    r"""Decodes a stream: bytes in any chunks in, blocks out as soon as they are complete.

    Agrees with browsers on every stream, hostile ones included. Each byte is looked at once, so
    the time is linear in the stream's length however it is cut. What is not ended by an empty line
    is never given out; at the end of a stream just drop the decoder.

    ``last_event_id`` and ``retry`` (milliseconds, None before the first) hold what the stream has
    said so far.

    >>> StreamDecoder().feed(b"data: hi\r\r")[0].data
    'hi'
    """

    def __init__(self, *, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._max_line = max_line
        self._max_event = max_event
        self._pending = bytearray()
        self._skip_lf = False
        self._at_start = True
        self._failed: ProtocolError | None = None
        self._id_buffer = ""
        self._reset()

    def feed(self, chunk: bytes) -> list[ReceivedMessage]:
        """Take the next bytes of the stream, return the blocks that they complete.

        Raises:
            LineTooLong: a line has more than ``max_line`` bytes.
            EventTooLong: the lines of one event have more than ``max_event`` bytes. After either
                the decoder is closed: every later call raises the same.

        """
        if self._failed is not None:
            raise self._failed
        if self._skip_lf and chunk:
            # A CR ended the last line at once; the LF of a CRLF cut in two is not a second end.
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        try:
            if b"\n" in chunk or b"\r" in chunk:
                return self._take_chunk(chunk)
            self._keep(chunk)
        except ProtocolError as error:
            self._failed = error
            raise
        else:
            return []

    def _take_chunk(self, chunk: bytes) -> list[ReceivedMessage]:
        # bytes.splitlines cuts at CR, LF and CRLF only, unlike str.splitlines.
        lines = chunk.splitlines()
        rest = lines.pop() if chunk[-1] not in b"\r\n" else b""
        blocks = self._take_lines(lines)
        self._keep(rest)
        self._skip_lf = chunk.endswith(b"\r")
        return blocks

    def _take_lines(self, lines: list[bytes]) -> list[ReceivedMessage]:
        blocks: list[ReceivedMessage] = []
        for piece in lines:
            if self._pending or len(piece) > self._max_line:
                self._keep(piece)
                line = bytes(self._pending)
                self._pending.clear()
            else:
                line = piece
            if self._at_start:
                line = line.removeprefix(BOM)
                self._at_start = False
            if line:
                self._take_line(line)
            elif (block := self._dispatch()) is not None:
                blocks.append(block)
        return blocks

    def _keep(self, piece: bytes) -> None:
        self._pending += piece
        if len(self._pending) > self._max_line:
            raise LineTooLong(self._max_line)

    def _take_line(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > self._max_event:
            raise EventTooLong(self._max_event)
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "":
                self._comment.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = self._id_buffer = value
            case "retry" if value.isascii() and value.isdigit():
                self._take_retry(value)

    def _take_retry(self, digits: str) -> None:
        # Longer than any time that makes sense, and int() refuses thousands of digits.
        significant = digits.lstrip("0") or "0"
        if len(significant) <= len(str(MAX_RETRY)):
            self.retry = self._retry = int(significant)

    def _dispatch(self) -> ReceivedMessage | None:
        self.last_event_id = self._id_buffer
        block = ReceivedMessage(
            data="\n".join(self._data) if self._data else None,
            event=self._event or None,
            id=self._id,
            retry=self._retry,
            comment="\n".join(self._comment) if self._comment else None,
            last_event_id=self.last_event_id,
        )
        self._reset()
        if block.data is block.id is block.retry is block.comment is None:
            return None
        return block

    def _reset(self) -> None:
        self._size = 0
        self._data: list[str] = []
        self._comment: list[str] = []
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None


def dump_payload(message: SSEMessage) -> bytes:
    """Return the form that ``message`` has in a log; its id is left out, the log assigns one."""
    fields = message.model_dump(exclude_none=True, exclude={"id"})
    return json.dumps({"v": PAYLOAD_VERSION, **fields}, ensure_ascii=False).encode()


def load_payload(payload: bytes) -> SSEMessage:
    """Return the message of a log's payload.

    Raises:
        MalformedPayload: not JSON, another version, or not a valid message.

    """
    try:
        fields: Any = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedPayload(payload, f"is not JSON ({error})") from error
    if not isinstance(fields, dict) or not fields.keys() <= PAYLOAD_FIELDS:
        raise MalformedPayload(payload, "has other fields than a message")
    if fields.pop("v", None) != PAYLOAD_VERSION:
        raise MalformedPayload(payload, f"is not of version {PAYLOAD_VERSION}")
    try:
        return SSEMessage(**fields)
    except InvalidInput as error:
        raise MalformedPayload(payload, f"is not a valid message ({error})") from error
