"""Messages: what can be one, what is refused, and that nothing gets round it."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import unicodedata
from contextlib import suppress
from dataclasses import FrozenInstanceError, dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from fastcore.xml import FT, to_xml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sse_kit.errors import InvalidMessage, InvalidTopic
from sse_kit.messages import (
    MAX_ID_BYTES,
    MAX_RETRY,
    ReceivedMessage,
    SSEMessage,
    breaks_line,
    check_topic,
    has_lone_surrogate,
)
from sse_kit.testing.strategies import FALSE_LINE_ENDS, hostile_text, messages

if TYPE_CHECKING:
    from collections.abc import Callable

SURROGATES = ("\ud800", "a\udfffb", "\udc80")
CONTROLS = tuple(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
EDGES = (" a", "a ", " ", "\u00a0a", "a\u2003", "\u2028a", "a\u3000")

# What is given, and the field whose value the error names.
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    *(({"data": "x", "event": f"a{end}b"}, "event") for end in ("\n", "\r", "\0", "\r\n")),
    *(({"data": "x", "event": end}, "event") for end in ("\n", "\r", "\0", "")),
    ({"event": "tick"}, "event"),
    ({"event": "tick", "comment": "but no data"}, "event"),
    *(({"data": "x", "id": f"a{control}b"}, "id") for control in CONTROLS),
    *(({"data": "x", "id": edge}, "id") for edge in EDGES),
    ({"data": "x", "id": "a" * (MAX_ID_BYTES + 1)}, "id"),
    ({"data": "x", "id": "€" * 86}, "id"),
    *(({"retry": retry}, "retry") for retry in (-1, MAX_RETRY + 1, 10**5_000)),
    *(({"retry": retry}, "retry") for retry in (True, False, 1.0, "1", math.nan, b"1")),
    *(({"data": text}, "data") for text in SURROGATES),
    *(({"data": "x", "event": text}, "event") for text in SURROGATES),
    *(({"data": "x", "id": text}, "id") for text in SURROGATES),
    *(({"comment": text}, "comment") for text in SURROGATES),
    *(({"data": data}, "data") for data in (b"x", 1, True, ["x"], {"x": 1}, object())),
    *(({"data": "x", name: b"x"}, name) for name in ("event", "id", "comment")),
    *(({"data": "x", name: 1}, name) for name in ("evnt", "self", "last_event_id", "a b")),
)


@pytest.mark.parametrize(("fields", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_what_a_stream_cannot_carry_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    """The error says which field, with which value; nothing is repaired."""
    with pytest.raises(InvalidMessage) as caught:
        SSEMessage(**fields)
    assert caught.value.field == field
    assert caught.value.value is fields[field] or caught.value.value == fields[field]
    assert str(caught.value).startswith(f"{field}=")


@pytest.mark.parametrize("fields", [{}, {"event": "message"}, {"data": None, "event": None}])
def test_a_message_with_nothing_in_it_is_refused(fields: dict[str, Any]) -> None:
    """Its block would be an empty line, which is no block at all."""
    with pytest.raises(InvalidMessage, match="has nothing in it"):
        SSEMessage(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": ""},
        {"id": ""},
        {"id": "a" * MAX_ID_BYTES},
        {"id": "€" * 85},
        {"id": "a b \u2028 c"},
        {"retry": 0},
        {"retry": MAX_RETRY},
        {"comment": ""},
        {"comment": "a\r\n\0b"},
        {"data": "a\r\n\0\n\rb", "event": "any :name: at\tall"},
        *({"data": end, "event": f"a{end}b"} for end in FALSE_LINE_ENDS),
        {"data": "\ufeff😀\U0010ffff", "event": "\ufeff😀", "id": "\ufeff😀", "comment": "😀"},
    ],
    ids=ascii,
)
def test_what_a_stream_can_carry_stays_as_it_is(fields: dict[str, Any]) -> None:
    """Fields come out as they went in."""
    message = SSEMessage(**fields)
    assert {name: value for name, value in message if value is not None} == fields


def test_none_and_empty_are_not_the_same() -> None:
    """None leaves the field out, an empty text is there and empty."""
    assert SSEMessage(data="", id="") != SSEMessage(data="")
    assert SSEMessage(comment="", data="") != SSEMessage(comment="")


def test_data_is_the_first_argument() -> None:
    """``SSEMessage("text")`` is enough for most."""
    assert SSEMessage("text").data == "text"


def test_the_event_name_message_is_no_name() -> None:
    """An unnamed event is called so anyway, and htmx 4 swaps only unnamed ones."""
    assert SSEMessage("x", event="message") == SSEMessage("x")


@pytest.mark.parametrize("name", ["Message", "messages", " message"])
def test_only_the_exact_name_message_is_no_name(name: str) -> None:
    """Names are case-sensitive and exact."""
    assert SSEMessage("x", event=name).event == name


class Name(StrEnum):
    TICK = "tick"


class OldName(str, Enum):  # noqa: UP042  what code from before StrEnum has
    TICK = "tick"


class Text(str):  # noqa: SLOT000  like markupsafe's
    pass


@pytest.mark.parametrize("name", [Name.TICK, OldName.TICK, Text("tick")])
def test_a_name_of_a_str_subclass_becomes_plain_text(name: str) -> None:
    """What is kept is the text, whatever the subclass prints."""
    event = SSEMessage("x", event=name).event
    assert type(event) is str
    assert event == "tick"


@pytest.mark.parametrize("field", ["data", "event", "id", "comment"])
def test_no_subclass_of_str_hides_a_lone_surrogate(field: str) -> None:
    """A subclass is checked like text."""
    fields: dict[str, Any] = {"data": "x", field: Text("\ud800")}
    with pytest.raises(InvalidMessage) as caught:
        SSEMessage(**fields)
    assert caught.value.field == field


@given(st.text(), st.sampled_from(CONTROLS), st.text())
def test_no_id_has_a_control_character(before: str, control: str, after: str) -> None:
    """Wherever it stands: servers answer such a Last-Event-ID with 400, for good."""
    with pytest.raises(InvalidMessage):
        SSEMessage("x", id=before + control + after)


@given(hostile_text(), st.sampled_from("\r\n\0"), hostile_text())
def test_no_event_name_breaks_the_line(before: str, end: str, after: str) -> None:
    """Wherever CR, LF or NUL stands."""
    with pytest.raises(InvalidMessage):
        SSEMessage("x", event=before + end + after)


ANY_TEXT = st.text(st.characters(categories=("Cs", "Cc", "Zs", "L", "So")), max_size=5)
ANYTHING = st.none() | ANY_TEXT | st.integers() | st.booleans() | st.binary() | st.floats()


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_a_message_is_made_or_refused(
    data: Any,  # noqa: ANN401
    event: Any,  # noqa: ANN401
    id_: Any,  # noqa: ANN401
    retry: Any,  # noqa: ANN401
    comment: Any,  # noqa: ANN401
) -> None:
    """Whatever is given, the one error that leaves is InvalidMessage."""
    with suppress(InvalidMessage):
        message = SSEMessage(data, event=event, id=id_, retry=retry, comment=comment)
        assert message.event in (None, event)
        assert (message.data, message.id, message.comment) == (data, id_, comment)
        assert message.retry is retry


@given(st.text(st.characters(categories=("Cs", "Ll", "So"))))
def test_a_lone_surrogate_is_text_without_utf8(text: str) -> None:
    """Compared with Unicode's own category."""
    assert has_lone_surrogate(text) == any(unicodedata.category(char) == "Cs" for char in text)


@given(st.text(st.sampled_from("\n\r\0a\u2028\x85")))
def test_only_cr_lf_and_nul_break_a_line(text: str) -> None:
    """Compared with the three themselves."""
    assert breaks_line(text) == bool({"\n", "\r", "\0"} & set(text))


# --- no way round ---------------------------------------------------------------------------------


class Outer(BaseModel):
    message: SSEMessage
    others: list[SSEMessage] = []


class Mine(SSEMessage, frozen=True):
    origin: str = "here"


@dataclass
class Look:
    data: str = "x"
    event: str = "a\nb"


GOOD = SSEMessage("x")
BAD: dict[str, Any] = {"data": "x", "event": "a\nb"}
BAD_JSON = json.dumps(BAD)

DETOURS: dict[str, Callable[[], object]] = {
    "model_validate": lambda: SSEMessage.model_validate(BAD),
    "model_validate with strict off": lambda: SSEMessage.model_validate(BAD, strict=False),
    "model_validate of attributes": lambda: SSEMessage.model_validate(Look(), from_attributes=True),
    "model_validate_json": lambda: SSEMessage.model_validate_json(BAD_JSON),
    "model_validate_strings": lambda: SSEMessage.model_validate_strings(BAD),
    "model_construct": lambda: SSEMessage.model_construct(**BAD),
    "model_construct with a set of fields": lambda: SSEMessage.model_construct({"data"}, **BAD),
    "model_copy": lambda: GOOD.model_copy(update={"event": "a\nb"}),
    "deep model_copy": lambda: GOOD.model_copy(update={"event": "a\nb"}, deep=True),
    "model_copy with a new field": lambda: GOOD.model_copy(update={"topic": "x"}),
    "model_copy to nothing": lambda: GOOD.model_copy(update={"data": None}),
    "a subclass": lambda: Mine(**BAD),
    "a field": lambda: Outer.model_validate({"message": BAD}),
    "a field from JSON": lambda: Outer.model_validate_json(f'{{"message":{BAD_JSON}}}'),
    "a list": lambda: Outer.model_validate({"message": GOOD, "others": [BAD]}),
    "assignment": lambda: setattr(SSEMessage("x"), "event", "a\nb"),
    "assignment of a new field": lambda: setattr(SSEMessage("x"), "topic", "x"),
    "deletion": lambda: delattr(SSEMessage("x"), "data"),
}


@pytest.mark.parametrize("detour", DETOURS.values(), ids=DETOURS)
def test_nothing_gets_round_the_rules(detour: Callable[[], object]) -> None:
    """Promise 2: every way that pydantic has to make or change a model validates."""
    with pytest.raises((InvalidMessage, ValidationError)):
        detour()


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.parametrize("detour", ["copy", "construct"])
def test_the_names_of_pydantic_1_are_no_way_round_either(detour: str) -> None:
    """They are deprecated, and still there."""
    with pytest.raises(InvalidMessage):
        getattr(GOOD, detour)(**({"update": BAD} if detour == "copy" else BAD))


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
def test_the_copy_of_pydantic_1_copies() -> None:
    """What is valid passes."""
    changed = GOOD.copy(update={"event": "tick"})
    assert changed == SSEMessage("x", event="tick")


def test_inside_another_model_it_is_that_model_s_validation_error() -> None:
    """Pydantic reports it with its place, and with our sentence."""
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"message": BAD})
    (found,) = caught.value.errors()
    assert found["loc"] == ("message",)
    assert r"event='a\nb' has CR, LF or NUL" in found["msg"]


def test_inside_another_model_a_message_is_validated_to_one() -> None:
    """A dict becomes a message, a message stays the same object."""
    outer = Outer.model_validate({"message": {"data": "x"}, "others": [GOOD]})
    assert outer.message == GOOD
    assert outer.others[0] is GOOD


def test_model_copy_changes_what_it_is_told() -> None:
    """The rest stays, and the original too."""
    message = SSEMessage("x", event="tick", id="1")
    assert message.model_copy(update={"id": None}) == SSEMessage("x", event="tick")
    assert message.model_copy() == message == SSEMessage("x", event="tick", id="1")


def test_model_construct_makes_what_the_constructor_makes() -> None:
    """It only validates all the same."""
    assert SSEMessage.model_construct(data="x", event="message") == GOOD


def test_a_subclass_may_have_fields_of_its_own() -> None:
    """They are kept by copies and pickles like the others."""
    mine = Mine(data="x", origin="there")
    assert mine.model_copy(update={"data": "y"}).origin == "there"
    assert pickle.loads(pickle.dumps(mine)) == mine  # noqa: S301


@given(messages())
def test_a_message_survives_pickling_and_copying(message: SSEMessage) -> None:
    """With its hash, for it is a value."""
    for again in (
        pickle.loads(pickle.dumps(message)),  # noqa: S301
        copy.copy(message),
        copy.deepcopy(message),
        SSEMessage.model_validate(message.model_dump()),
        SSEMessage.model_validate_json(message.model_dump_json()),
    ):
        assert again == message
        assert hash(again) == hash(message)


# --- SSEMessage.of --------------------------------------------------------------------------------


class Point(BaseModel):
    x: int = 1
    label: str = "é"


class Anything(BaseModel):
    value: object


class HTML:
    def __init__(self, text: object = "<b>&amp;</b>") -> None:
        self.text = text

    def __html__(self) -> object:
        return self.text


class Component:
    def __init__(self, *children: object) -> None:
        self.children = children

    def __ft__(self) -> object:
        return self.children if len(self.children) != 1 else self.children[0]


class Markup(str):  # noqa: SLOT000
    def __html__(self) -> str:
        return "another text"


class Model(BaseModel):
    x: int = 1

    def __html__(self) -> str:
        return "<b>"


class Whatever:
    """Answers every attribute, like FastHTML's elements."""

    def __getattr__(self, name: str) -> str:
        return name


OF: dict[str, tuple[object, str]] = {
    "text": ("a\nb", "a\nb"),
    "no text": ("", ""),
    "text that looks like JSON": ('{"a":1}', '{"a":1}'),
    "text with markup of its own": (Markup("<i>"), "<i>"),
    "the member of a StrEnum": (Name.TICK, "tick"),
    "a pydantic model": (Point(), '{"x":1,"label":"é"}'),
    "a pydantic model with HTML": (Model(), '{"x":1}'),
    "an object with __html__": (HTML(), "<b>&amp;</b>"),
    "an object with __ft__": (Component(HTML()), "<b>&amp;</b>"),
    "__ft__ of text": (Component("a < b & 'c'"), "a &lt; b &amp; 'c'"),
    "__ft__ of a tuple": (Component(HTML("<i>"), "<", HTML("</i>")), "<i>&lt;</i>"),
    "__ft__ of a list in a tuple": (Component([HTML("a"), [HTML("b")]], HTML("c")), "abc"),
    "__ft__ of __ft__": (Component(Component(HTML("a")), Component(Component("b"), 1)), "ab1"),
    "__ft__ of nothing": (Component(None), ""),
    "__ft__ with nothing in it": (Component(HTML("a"), None), "a"),
    "__ft__ of no children": (Component(), ""),
    "a dict": ({"a": [1, None, True], "b": "é\u2028"}, '{"a":[1,null,true],"b":"é\u2028"}'),
    "a list": ([1, "<"], '[1,"<"]'),
    "a tuple": ((1, 2), "[1,2]"),
    "a number": (1, "1"),
    "a float": (1.5, "1.5"),
    "a bool": (False, "false"),
    "an empty dict": ({}, "{}"),
}


@pytest.mark.parametrize(("value", "text"), OF.values(), ids=OF)
def test_of_a_value_is_its_one_obvious_text(value: object, text: str) -> None:
    """Text, HTML or JSON, by the kind of the value."""
    message = SSEMessage.of(value, event="tick")
    assert message == SSEMessage(text, event="tick")
    assert type(message.data) is str


LOOP: list[object] = []
LOOP.append(LOOP)

NOT_OF: dict[str, object] = {
    "bytes": b"x",
    "a bytearray": bytearray(b"x"),
    "a memoryview": memoryview(b"x"),
    "None": None,
    "NaN": math.nan,
    "infinity inside": {"a": [math.inf]},
    "a set": {1},
    "bytes inside": [b"x"],
    "a tuple for a key": {(1, 2): 3},
    "a value in itself": LOOP,
    "an int of too many digits": 10**5_000,
    "an object": object(),
    "a class with __html__": HTML,
    "an object with every attribute": Whatever(),
    "__html__ that is no text": HTML(5),
    "a lone surrogate": "\ud800",
    "a lone surrogate in JSON": {"a": "\ud800"},
    "a lone surrogate in HTML": HTML("\ud800"),
    "a lone surrogate in a model": Point(label="\ud800"),
    "a model without JSON": Anything(value=object()),
    "a model in a list": [Point()],
    "an unprintable": type("Unprintable", (), {"__repr__": lambda _: 1 / 0})(),
}


@pytest.mark.parametrize("value", NOT_OF.values(), ids=NOT_OF)
def test_of_a_value_without_one_obvious_text_is_refused(value: object) -> None:
    """With the typed error, whose sentence can be printed."""
    with pytest.raises(InvalidMessage) as caught:
        SSEMessage.of(value)
    assert caught.value.field == "data"
    assert str(caught.value).startswith("data=")


def test_of_a_message_is_that_message() -> None:
    """It is not made again, nor is its id lost."""
    message = SSEMessage("x", event="tick", id="1")
    assert SSEMessage.of(message) is message
    assert SSEMessage.of(message, event="tick") is message
    assert SSEMessage.of(GOOD, event="message") is GOOD


@pytest.mark.parametrize(
    ("message", "event"),
    [(SSEMessage("x", event="tick"), "tock"), (SSEMessage("x", event="tick"), "message"),
     (SSEMessage("x"), "tick"), (SSEMessage("x"), "")],
)  # fmt: skip
def test_of_a_message_with_another_event_is_refused(message: SSEMessage, event: str) -> None:
    """Which of the two holds cannot be guessed."""
    with pytest.raises(InvalidMessage, match="is given beside a message") as caught:
        SSEMessage.of(message, event=event)
    assert caught.value.value == event


def test_of_a_value_with_a_bad_event_is_refused() -> None:
    """The event is checked whatever the value."""
    with pytest.raises(InvalidMessage, match="has CR, LF or NUL"):
        SSEMessage.of({"a": 1}, event="a\nb")


def test_of_an_element_of_fasthtml_is_what_fasthtml_renders() -> None:
    """With its attributes, children and escapes."""
    element = FT("div", (FT("p", ("a < b",)), "c & 'd'", None), {"id": "one"})
    text = SSEMessage.of(element).data
    assert text == to_xml(element, indent=False)
    assert text is not None
    assert "a &lt; b" in text


def test_of_components_is_what_fasthtml_renders() -> None:
    """``__ft__`` may give a tuple of elements and text."""
    first, second = FT("p", ("one",)), FT("p", ("two",))
    component = Component(first, Component(second, "a < 'b'"), None)
    assert SSEMessage.of(component).data == to_xml(component, indent=False)


@given(hostile_text())
def test_of_escapes_text_in_a_component(text: str) -> None:
    """What comes back from an HTML parser's point of view has no tag that was not there."""
    data = SSEMessage.of(Component(text, None)).data
    assert data is not None
    assert "<" not in data
    assert ">" not in data


# --- what was received ----------------------------------------------------------------------------


def test_what_was_received_is_not_validated() -> None:
    """A peer may send ids and names that a message may not have."""
    received = ReceivedMessage(data="x", event="a\0b", id=" edge ")
    assert (received.event, received.id) == ("a\0b", " edge ")


@pytest.mark.parametrize(("event", "name"), [(None, "message"), ("tick", "tick")])
def test_the_type_is_the_name_that_a_browser_dispatches(event: str | None, name: str) -> None:
    """An unnamed event is a ``message``."""
    assert ReceivedMessage(data="x", event=event).type == name


@given(messages())
def test_what_was_received_turns_into_the_message_it_was(message: SSEMessage) -> None:
    """All five fields of it."""
    assert ReceivedMessage(**message.model_dump()).to_message() == message


@pytest.mark.parametrize(
    ("received", "field"),
    [
        (ReceivedMessage(data="x", event="a\0b"), "event"),
        (ReceivedMessage(data="x", id=" edge "), "id"),
        (ReceivedMessage(event="tick", id="1"), "event"),
        (ReceivedMessage(), "message"),
    ],
)
def test_to_message_refuses_what_no_message_may_hold(received: ReceivedMessage, field: str) -> None:
    """It validates like the constructor."""
    with pytest.raises(InvalidMessage) as caught:
        received.to_message()
    assert caught.value.field == field


def test_what_was_received_cannot_be_changed() -> None:
    """It is a value: frozen, comparable, with a hash."""
    received = ReceivedMessage(data="x")
    with pytest.raises(FrozenInstanceError):
        received.data = "y"  # type: ignore[misc]
    assert {received} == {dataclasses.replace(received)}


# --- topics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["a", "user:42", " ", "a/b#c", "é\u2028", "\x01"])
def test_a_topic_is_any_line_of_text(topic: str) -> None:
    """Topics never reach the wire, so only what breaks a line is out."""
    assert check_topic(topic) is topic


@pytest.mark.parametrize(
    "topic", ["", "a\n", "\rb", "a\0b", "\ud800", b"a", None, 1, ("a",)], ids=ascii
)
def test_what_is_no_topic_is_refused(topic: object) -> None:
    """With the value in the error."""
    with pytest.raises(InvalidTopic) as caught:
        check_topic(topic)
    assert (caught.value.field, caught.value.value) == ("topic", topic)
