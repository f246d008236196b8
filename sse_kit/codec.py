"""Messages to bytes and back: the event-stream format (HTML standard, sections 9.2.5 and 9.2.6).

No I/O, no clock. ``encode`` takes only what is valid by construction; ``StreamDecoder`` takes any
bytes in any chunks. ``dump_payload`` and ``load_payload`` are the form a message has in a log: JSON
with a version, without the id, which the log itself assigns.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic_core import from_json, to_json

from sse_kit.errors import EventTooLong, InvalidInput, LineTooLong, MalformedPayload, ProtocolError
from sse_kit.messages import MAX_RETRY, ReceivedMessage, SSEMessage

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_END = re.compile(r"\r\n|\n|\r")
"""What ends a line of a stream, and nothing else: not U+2028, U+0085, VT or FF."""

NUL, LF, CR = b"\0\n\r"
"""As numbers: in bytes they are found several times faster than as bytes."""

BOM = b"\xef\xbb\xbf"
MAX_LINE = 16 * 1024 * 1024
"""Bytes; a published contract test sends lines of 5 MiB, Node's undici has no limit at all."""

MAX_EVENT = 4 * MAX_LINE
MAX_RETRY_DIGITS = len(str(MAX_RETRY))
PAYLOAD_VERSION = 1
PAYLOAD_FIELDS = frozenset({"v", "data", "event", "retry", "comment"})


def encode(message: SSEMessage) -> bytes:
    r"""Return the block of ``message``: its lines, each ended by LF, and the empty line.

    >>> encode(SSEMessage("a\nb", event="tick", id="1"))
    b'id: 1\nevent: tick\ndata: a\ndata: b\n\n'
    """
    block = ""
    if message.comment is not None:
        block += _lines(": ", message.comment)
    if message.retry is not None:
        block += f"retry: {message.retry}\n"
    if message.id is not None:
        block += f"id: {message.id}\n"
    if message.event is not None:
        block += f"event: {message.event}\n"
    if message.data is not None:
        block += _lines("data: ", message.data)
    return f"{block}\n".encode()


def _lines(prefix: str, text: str) -> str:
    if "\r" in text:
        text = LINE_END.sub("\n", text)
    return prefix + text.replace("\n", "\n" + prefix) + "\n"


class StreamDecoder:
    r"""Decodes a stream: bytes in any chunks in, blocks out as soon as they are complete.

    Agrees with browsers on every stream, hostile ones included. The time is linear in the length
    of the stream however it is cut. What is not ended by an empty line is never given out; at the
    end of a stream just drop the decoder.

    A line has at most ``max_line`` bytes, the lines of one event ``max_event``; both together
    bound the memory. Give ``last_event_id`` when the stream continues an earlier one: the id
    outlives a connection.

    ``last_event_id`` and ``retry`` (milliseconds, None before the first) hold what the stream has
    said so far.

    >>> StreamDecoder().feed(b"data: hi\r\r")[0].data
    'hi'
    """

    def __init__(
        self, *, max_line: int = MAX_LINE, max_event: int = MAX_EVENT, last_event_id: str = ""
    ) -> None:
        self.last_event_id = self._id_buffer = last_event_id
        self.retry: int | None = None
        self._max_line = max_line
        self._max_event = max_event
        self._pending = bytearray()
        self._skip_lf = False
        self._at_start = True
        self._failed: Callable[[], ProtocolError] | None = None
        self._size = 0
        self._data = bytearray()
        self._comment = bytearray()
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[ReceivedMessage]:
        """Take the next bytes of the stream, return the blocks that they complete.

        Raises:
            LineTooLong: a line has more than ``max_line`` bytes.
            EventTooLong: the lines of one event have more than ``max_event`` bytes. After either
                the decoder is closed: every later call raises the same. Blocks before it in the
                same chunk are returned first, then the next call (of ``b""`` too) raises.

        """
        if self._failed is not None:
            raise self._failed()
        if self._skip_lf and chunk:
            # A CR ended the last line at once; the LF of a CRLF cut in two is not a second end.
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if LF in chunk or CR in chunk:
            return self._take_lines(chunk)
        self._keep(chunk)
        return []

    def _take_lines(self, chunk: bytes) -> list[ReceivedMessage]:
        # bytes.splitlines cuts at CR, LF and CRLF only, unlike str.splitlines.
        lines = (bytes(self._pending) + chunk).splitlines()
        self._pending.clear()
        rest = b"" if chunk[-1] in b"\r\n" else lines.pop()
        self._skip_lf = chunk.endswith(b"\r")
        blocks: list[ReceivedMessage] = []
        try:
            for line in lines:
                self._take_line(line, blocks)
            self._keep(rest)
        except ProtocolError:
            if not blocks:
                raise
        return blocks

    def _keep(self, piece: bytes) -> None:
        self._pending += piece
        if len(self._pending) > self._max_line:
            self._fail(LineTooLong, self._max_line)

    def _take_line(self, line: bytes, blocks: list[ReceivedMessage]) -> None:
        self._size += len(line)
        if len(line) > self._max_line:
            self._fail(LineTooLong, self._max_line)
        if self._size > self._max_event:
            self._fail(EventTooLong, self._max_event)
        if self._at_start:
            line = line.removeprefix(BOM)
            self._at_start = False
        if line:
            self._take_field(line)
        elif (block := self._dispatch()) is not None:
            blocks.append(block)

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data += value + b"\n"
            case b"":
                self._comment += value + b"\n"
            case b"event":
                self._event = value.decode("utf-8", "replace")
            case b"id" if NUL not in value:
                self._id = self._id_buffer = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit():
                self._take_retry(value)
            case _:
                pass

    def _take_retry(self, digits: bytes) -> None:
        # Longer than any time that makes sense, and int() refuses thousands of digits.
        significant = digits.lstrip(b"0") or b"0"
        if len(significant) <= MAX_RETRY_DIGITS:
            self.retry = self._retry = int(significant)

    def _dispatch(self) -> ReceivedMessage | None:
        self.last_event_id = self._id_buffer
        block = ReceivedMessage(
            data=_joined(self._data),
            event=self._event or None,
            id=self._id,
            retry=self._retry,
            comment=_joined(self._comment),
            last_event_id=self.last_event_id,
        )
        self._reset()
        if block.data is block.id is block.comment is None is block.retry:
            return None
        return block

    def _reset(self) -> None:
        self._size = 0
        self._data.clear()
        self._comment.clear()
        self._event = ""
        self._id = None
        self._retry = None

    def _fail(self, error: type[LineTooLong | EventTooLong], limit: int) -> NoReturn:
        self._pending.clear()
        self._reset()
        self._failed = partial(error, limit)
        raise self._failed()


def _joined(lines: bytearray) -> str | None:
    # Each line ends with LF; decoded as a whole, for no UTF-8 sequence goes over an LF.
    return lines[:-1].decode("utf-8", "replace") if lines else None


def dump_payload(message: SSEMessage) -> bytes:
    """Return the form that ``message`` has in a log; its id is left out, the log assigns one."""
    fields = message.model_dump(exclude_none=True, exclude={"id"})
    return to_json({"v": PAYLOAD_VERSION, **fields})


def load_payload(payload: bytes) -> SSEMessage:
    """Return the message of a log's payload.

    Raises:
        MalformedPayload: not JSON, another version, or not a valid message.

    """
    try:
        parsed: object = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedPayload(payload, f"is not JSON ({error})") from error
    if not isinstance(parsed, dict) or not parsed.keys() <= PAYLOAD_FIELDS:
        raise MalformedPayload(payload, "has other fields than a message")
    fields = cast("dict[str, Any]", parsed)
    version = fields.pop("v", None)
    if type(version) is not int or version != PAYLOAD_VERSION:
        raise MalformedPayload(payload, f"is not of version {PAYLOAD_VERSION}")
    try:
        return SSEMessage(**fields)
    except InvalidInput as error:
        # Without the value: what is in the log is not for logs.
        problem = f"is not a valid message ({error.field} {error.problem})"
        raise MalformedPayload(payload, problem) from error
