"""The tree of errors: what is printed on top of it, and every sentence in it."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from sse_kit import errors
from sse_kit.errors import (
    BadTemplate,
    DuplicateConnection,
    EngineRefused,
    EngineUnavailable,
    EventTooLong,
    IllegalMove,
    InvalidInput,
    InvalidMessage,
    InvalidPosition,
    InvalidSetting,
    InvalidTopic,
    LineTooLong,
    MalformedPayload,
    MissingExtra,
    NoPresence,
    NotPublishable,
    PayloadTooLarge,
    PublishFailed,
    RegistryNotRunning,
    RegistryRunning,
    SSEKitError,
    TransportNotRunning,
    UnknownConnection,
    WrongEventLoop,
    WrongThread,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of every leaf, and every class that is raised itself: an instance, and what its sentence must
# hold, the value first, the remedy last.
SENTENCES: tuple[tuple[SSEKitError, tuple[str, ...]], ...] = (
    (
        InvalidMessage("event", "a\nb", "has CR, LF or NUL", "an event name is one line"),
        (r"event='a\nb'", "has CR, LF or NUL", "an event name is one line"),
    ),
    (
        NotPublishable("id", "7", "is the log's to give", "leave it out, or send it"),
        ("id='7'", "is the log's to give", "leave it out, or send it"),
    ),
    (
        InvalidTopic("topic", "", "is empty", "name the topic"),
        ("topic=''", "is empty", "name the topic"),
    ),
    (
        InvalidPosition("offset", -1, "is out of range", "use 0 to 2**63-1"),
        ("offset=-1", "is out of range", "use 0 to 2**63-1"),
    ),
    (
        InvalidSetting("heartbeat", 0, "is not valid", "Input should be greater than 0"),
        ("heartbeat=0", "is not valid", "greater than 0"),
    ),
    (PayloadTooLarge(2_000, 1_000), ("payload=2000", "over 1000", "publish a link")),
    (
        IllegalMove("server", "connected", "reconnecting"),
        ("server", "'connected'", "'reconnecting'", "sse_kit.states.MOVES"),
    ),
    (RegistryNotRunning("publish()"), ("publish()", "lifespan=registry.lifespan")),
    (RegistryRunning(), ("running already", "leave it before")),
    (TransportNotRunning(), ("not running", "'async with' it")),
    (DuplicateConnection("user_1"), ("'user_1'", "remove it first")),
    (UnknownConnection("user_1"), ("'user_1'", "publish to a topic")),
    (NoPresence("MyTransport"), ("'MyTransport'", "SupportsPresence", "use get_stats()")),
    (
        WrongEventLoop("PostgresTransport", "psycopg"),
        ("'PostgresTransport'", "asyncio only", "psycopg", "use a transport for any event loop"),
    ),
    (
        WrongThread("publish_from_thread()", "await publish() here"),
        ("publish_from_thread()", "await publish() here"),
    ),
    (
        BadTemplate("reconnect.js", "reads no 'delay': remove the field"),
        ("'reconnect.js'", "reads no 'delay'", "remove the field"),
    ),
    (MissingExtra("redis", "redis"), ("'redis'", "pip install 'sse-kit[redis]'")),
    (LineTooLong(1_000), ("1000 bytes", "max_line=")),
    (EventTooLong(1_000), ("1000 bytes", "max_event=")),
    (
        MalformedPayload(b"\xff", "is not JSON"),
        (r"b'\xff'", "is not JSON", "it is skipped"),
    ),
    (
        PublishFailed("key-1", "no answer in 5 s"),
        ("'key-1'", "no answer in 5 s", "publish again with the same key"),
    ),
    (
        EngineUnavailable("redis://localhost", "connection refused"),
        ("'redis://localhost'", "connection refused", "see that it runs"),
    ),
    (
        EngineRefused("redis://localhost", "WRONGPASS", "give the right password in the URL"),
        ("'redis://localhost'", "WRONGPASS", "give the right password"),
    ),
)
EACH = pytest.mark.parametrize(
    ("error", "parts"), SENTENCES, ids=[type(error).__name__ for error, _ in SENTENCES]
)


def children(parent: type[SSEKitError]) -> list[type[SSEKitError]]:
    """Return the direct subclasses of sse_kit.errors, in the order of the file."""
    return [kind for kind in parent.__subclasses__() if kind.__module__ == errors.__name__]


def leaves(parent: type[SSEKitError]) -> set[type[SSEKitError]]:
    kinds = children(parent)
    return set[type[SSEKitError]]().union(*map(leaves, kinds)) if kinds else {parent}


def drawn(parent: type[SSEKitError], indent: str = "") -> Iterator[str]:
    """Draw the tree below ``parent`` as it really is."""
    kinds = children(parent)
    for kind in kinds:
        last = kind is kinds[-1]
        foreign = [base.__name__ for base in kind.__bases__ if not issubclass(base, SSEKitError)]
        label = " ".join([kind.__name__, *(f"({name})" for name in foreign)])
        yield f"{indent}{'└── ' if last else '├── '}{label}"
        yield from drawn(kind, indent + ("    " if last else "│   "))


def printed() -> list[tuple[str, str]]:
    """Return the lines of the tree in the module's docstring: the drawing and the description."""
    block = (errors.__doc__ or "").partition("::\n\n")[2]
    line = re.compile(r"^    ([│├└─ ]*\w+(?: \(\w+\))?) *(.*)$", re.MULTILINE)
    return line.findall(block)


def test_the_printed_tree_is_the_real_one() -> None:
    """The docstring shows each class under its parent, with the built-in it also is."""
    assert [drawing for drawing, _ in printed()] == ["SSEKitError", *drawn(SSEKitError)]


def test_the_printed_tree_describes_every_class() -> None:
    """No line of the tree but its root is a bare name."""
    assert [drawing for drawing, description in printed() if not description] == ["SSEKitError"]


def test_every_leaf_has_its_sentence_read_here() -> None:
    """A new error is read by the tests below, or this one fails."""
    assert leaves(SSEKitError) <= {type(error) for error, _ in SENTENCES}


@EACH
def test_a_sentence_names_the_value_and_the_remedy(
    error: SSEKitError, parts: tuple[str, ...]
) -> None:
    """What was wrong comes first, what to do about it last."""
    sentence = str(error)
    places = [sentence.find(part) for part in parts]
    assert -1 not in places, sentence
    assert places == sorted(places), sentence


@EACH
def test_a_sentence_is_one_line_without_a_full_stop(
    error: SSEKitError, parts: tuple[str, ...]
) -> None:
    """It goes into logs and behind ``ExceptionName: `` as it is."""
    assert parts
    assert "\n" not in str(error)
    assert not str(error).endswith(".")


@EACH
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(
    error: SSEKitError, parts: tuple[str, ...], protocol: int
) -> None:
    """Errors cross processes: fields and sentence come back."""
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  our own bytes
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert parts[0] in str(again)


@EACH
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_an_error_survives_copying(
    error: SSEKitError, parts: tuple[str, ...], copied: type
) -> None:
    """Tools that collect errors copy them."""
    again: SSEKitError = copied(error)
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert parts[-1] in str(again)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Unprintables(list[object]):
    def __repr__(self) -> str:
        raise RuntimeError("no")


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def recursive() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


HOSTILE: dict[str, object] = {
    "a long text": "x" * 1_000_000,
    "long bytes": b"\xff" * 1_000_000,
    "an int that Python refuses to print": 10**5_000,
    "such an int in a list": [10**5_000],
    "such an int in an object": Unprintables([10**5_000]),
    "an object that does not print": Unprintable(),
    "a deep list": nested(100_000),
    "a list in itself": recursive(),
    "a long list": list(range(100_000)),
    "a lone surrogate": "\ud800",
    "lines": "a\r\nb\u2028c",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_sentence_is_short_and_printable_whatever_the_value(value: object) -> None:
    """An error about hostile input can always be logged."""
    sentence = str(InvalidMessage("data", value, "is no text", "send text"))
    assert len(sentence) < 300
    assert "\n" not in sentence
    assert sentence.encode()


def test_the_sentence_of_a_malformed_payload_is_short() -> None:
    """A payload of megabytes does not fill the log of whoever skips it."""
    assert len(str(MalformedPayload(b"[" * 10_000_000, "is not JSON"))) < 200


def test_a_huge_int_is_described_by_its_size() -> None:
    """Where its digits can't be printed, the sentence says how many bits there are."""
    assert "<int of 16610 bits>" in str(InvalidMessage("retry", 10**5_000, "is", "no"))


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InvalidTopic("topic", "", "is empty", "name the topic"), ValueError),
        (RegistryRunning(), RuntimeError),
        (UnknownConnection("user_1"), LookupError),
        (MissingExtra("redis", "redis"), ImportError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_your_faults_are_the_built_in_errors_too(error: Exception, builtin: type) -> None:
    """Code that knows nothing of sse_kit catches what it expects."""
    assert isinstance(error, builtin)


class Inner(BaseModel):
    count: int


class Outer(BaseModel):
    inner: Inner


def refused_by_pydantic(kind: type, value: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    return caught.value


def test_what_pydantic_finds_is_told_in_our_words() -> None:
    """Field, value and pydantic's own sentence are the fields of the error."""
    refused = refused_by_pydantic(Outer, {"inner": {"count": "many"}})
    error = InvalidSetting.from_pydantic(refused)
    assert (error.field, error.value) == ("inner.count", "many")
    assert "valid integer" in str(error)


def test_what_pydantic_finds_in_the_whole_names_the_model() -> None:
    """A finding without a field is about the model itself."""
    error = InvalidSetting.from_pydantic(refused_by_pydantic(Outer, 3))
    assert (error.field, error.value) == ("Outer", 3)


def test_what_our_own_validator_raised_comes_out_of_pydantic_as_it_was() -> None:
    """The error is unwrapped, not described a second time."""

    class Strict(BaseModel):
        def __init__(self, **values: object) -> None:
            raise InvalidMessage("event", values, "is", "no")

    refused = refused_by_pydantic(Strict, {"a": 1})
    assert InvalidInput.from_pydantic(refused).field == "event"
