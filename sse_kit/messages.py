"""What an event stream carries, as types that exist only when valid.

``SSEMessage`` is what an application sends: a value that would change the framing of the stream
(HTML standard, section 9.2.5), or that browsers cannot send back as ``Last-Event-ID``, is refused
when the message is made, never repaired. ``ReceivedMessage`` is what a decoder saw, valid or not.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Never, NoReturn, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)

from sse_kit.errors import InvalidInput, InvalidMessage, InvalidTopic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_ID_BYTES = 256
"""Longer ids make proxies and servers refuse the reconnect (hypercorn: 400, for good)."""

MAX_RETRY = 10**18 - 1
"""Milliseconds; above it the number no longer fits the 64 bits that clients keep it in."""

DEFAULT_EVENT = "message"
"""The type of an event without an ``event:`` line (section 9.2.6)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Unicode's category Cc."""

_BYTES: tuple[type, ...] = (bytes, bytearray, memoryview)
_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _refuse(field: str, value: object, problem: str, remedy: str) -> NoReturn:
    raise InvalidMessage(field, value, problem, remedy)


def has_lone_surrogate(text: str) -> bool:
    """Tell whether ``text`` has no UTF-8 form."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def breaks_line(text: str) -> bool:
    """Tell whether ``text`` would end a line of the stream, or hold the NUL that voids an id."""
    return "\n" in text or "\r" in text or "\0" in text


def _unicode(field: str, value: str) -> str:
    if has_lone_surrogate(value):
        _refuse(field, value, "has a lone surrogate", "the stream is UTF-8, decode it first")
    return value


def event_name(value: object) -> str | None:
    """Return ``value`` if it can name an event; None for ``"message"``, the unnamed one's.

    Raises:
        InvalidMessage: it cannot.

    """
    if not isinstance(value, str):
        _refuse("event", value, "is not a str", "name events by text")
    _unicode("event", value)
    if breaks_line(value):
        _refuse("event", value, "has CR, LF or NUL", "an event name is one line")
    if not value:
        _refuse("event", value, "is empty", "leave it out for an unnamed event")
    return None if value == DEFAULT_EVENT else value


def _event_id(value: str) -> str:
    _unicode("id", value)
    if _CONTROL.search(value):
        _refuse("id", value, "has a control character", "servers refuse it as Last-Event-ID")
    if value != value.strip():
        _refuse("id", value, "begins or ends with white space", "it comes back trimmed; strip it")
    if len(value.encode()) > MAX_ID_BYTES:
        _refuse("id", value, f"is over {MAX_ID_BYTES} bytes", "keep ids short, they are sent back")
    return value


EventName = Annotated[str, AfterValidator(event_name)]
"""One line, not empty; ``"message"`` becomes None: it is what an unnamed event is called anyway."""

EventId = Annotated[str, AfterValidator(_event_id)]
"""Without control characters and edge white space, at most 256 bytes of UTF-8; ``""`` resets."""


class SSEMessage(BaseModel, frozen=True, strict=True, extra="forbid"):
    """One event of a stream; frozen, and valid by construction.

    ``data`` is text of any number of lines (CR and CRLF arrive as LF), ``event`` its name,
    ``id`` what the client sends back as ``Last-Event-ID``, ``retry`` the client's reconnection
    time in milliseconds, ``comment`` lines that clients ignore. None means the field is absent,
    ``""`` that it is there and empty.

    Raises:
        InvalidMessage: a field that the stream cannot carry, an event without data, or nothing
            at all. Inside another pydantic model it is that model's ``ValidationError``.

    """

    data: Annotated[str, AfterValidator(partial(_unicode, "data"))] | None = None
    event: EventName | None = None
    id: EventId | None = None
    retry: Annotated[int, Field(ge=0, le=MAX_RETRY)] | None = None
    comment: Annotated[str, AfterValidator(partial(_unicode, "comment"))] | None = None

    def __init__(
        self,
        /,
        data: str | None = None,
        *,
        event: str | None = None,
        id: str | None = None,  # noqa: A002  the standard's own name
        retry: int | None = None,
        comment: str | None = None,
        **unknown: Never,
    ) -> None:
        fields = {"data": data, "event": event, "id": id, "retry": retry, "comment": comment}
        try:
            # What BaseModel.__init__ does; passing the keywords on costs a third of the time more.
            self.__pydantic_validator__.validate_python({**fields, **unknown}, self_instance=self)
        except ValidationError as error:
            raise InvalidMessage.from_pydantic(error) from error

    @model_validator(mode="after")
    def _something_in_it(self) -> Self:
        if self.event is not None and self.data is None:
            _refuse("event", self.event, "has no data", 'clients drop it; data="" is an event')
        if self.data is self.id is self.comment is None is self.retry:
            _refuse("message", None, "has nothing in it", "give data, id, retry or comment")
        return self

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Validate all the same: there is no way around the framing rules."""
        return cls(**values)

    def model_copy(
        self,
        *,
        update: Mapping[str, Any] | None = None,
        deep: bool = False,  # noqa: ARG002  all fields are immutable
    ) -> Self:
        """Copy with changes, validated like a new message."""
        fields: dict[str, Any] = {**dict(self), **(update or {})}
        return type(self)(**fields)

    def copy(self, **options: Any) -> Self:
        """Copy the way pydantic 1 did, validated too."""
        copied = super().copy(**options)  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]
        return type(self)(**dict(copied))

    @classmethod
    def of(cls, value: object, *, event: str | None = None) -> SSEMessage:
        """Make a message of any value that has one obvious text.

        A message stays as it is, ``str`` is the data, a pydantic model gives its JSON, anything
        with ``__html__()`` or FastHTML's ``__ft__()`` its HTML, all else its JSON.

        Raises:
            InvalidMessage: bytes, None, NaN, a value without JSON, or an ``event`` beside a message
                that is not its own.

        """
        if isinstance(value, SSEMessage):
            if event not in (None, value.event or DEFAULT_EVENT):
                _refuse("event", event, "is given beside a message", "set it in the message")
            return value
        return cls(text_of(value), event=event)


def text_of(value: object) -> str:
    """Return the one obvious text of ``value``: see :meth:`SSEMessage.of`."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, _BYTES):
        _refuse("data", value, "is no text", 'decode bytes; send "" for an empty event')
    if not isinstance(value, BaseModel) and (markup := _html_of(value)) is not None:
        return markup
    try:
        return _json_of(value)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"has no JSON ({error})"
        raise InvalidMessage("data", value, problem, "send text, or what JSON has") from error


def _json_of(value: object) -> str:
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return _JSON.encode(value)


def _html_of(value: object) -> str | None:
    # Asked of the type, as Python does for its own: FastHTML's elements have every attribute, and
    # a class that is given instead of an instance has these methods too.
    if render := getattr(type(value), "__html__", None):
        markup: str = render(value)
        return markup
    if render := getattr(type(value), "__ft__", None):
        return _html_of_child(render(value))
    return None


def _html_of_child(value: object) -> str:
    if isinstance(value, tuple | list):
        return "".join(map(_html_of_child, cast("Iterable[object]", value)))
    if value is None:
        return ""
    markup = _html_of(value)
    return html.escape(str(value), quote=False) if markup is None else markup


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One block of a received stream, as it was: NOT validated, a peer may send anything.

    ``data``, ``event``, ``id``, ``retry`` (milliseconds) and ``comment`` are the block's own; a
    block with only an id, a retry or a comment has ``data=None`` and is no event.
    ``last_event_id`` is what a reconnect after this block sends (section 9.2.6: it is sticky).
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None
    last_event_id: str = ""

    @property
    def type(self) -> str:
        """The name under which a browser dispatches it."""
        return self.event or DEFAULT_EVENT

    def to_message(self) -> SSEMessage:
        """Validate.

        Raises:
            InvalidMessage: the peer sent what an ``SSEMessage`` may not hold.

        """
        return SSEMessage(
            self.data, event=self.event, id=self.id, retry=self.retry, comment=self.comment
        )


def check_topic(topic: object) -> str:
    """Return ``topic`` if it is one: a non-empty line of text without NUL.

    Raises:
        InvalidTopic: it is not.

    """
    if not isinstance(topic, str):
        raise InvalidTopic("topic", topic, "is not a str", "name topics by text")
    if not topic:
        raise InvalidTopic("topic", topic, "is empty", "name the topic")
    if breaks_line(topic) or has_lone_surrogate(topic):
        raise InvalidTopic("topic", topic, "has CR, LF, NUL or a lone surrogate", "use one line")
    return topic


def check_line(field: str, value: object) -> str:
    """Return ``value``, the ``field`` of something, if it is one line of text.

    Raises:
        InvalidInput: it is not.

    """
    if not isinstance(value, str) or not value:
        raise InvalidInput(field, value, "is not a line of text", "use a str that is not empty")
    if breaks_line(value) or has_lone_surrogate(value):
        problem = "has CR, LF, NUL or a lone surrogate"
        raise InvalidInput(field, value, problem, "use one line of text")
    return value
