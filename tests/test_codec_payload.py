"""The form that a message has in a log, and what else may be found there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit.codec import dump_payload, load_payload
from sse_kit.errors import MalformedPayload
from sse_kit.messages import SSEMessage
from sse_kit.testing.strategies import hostile_text, messages


@given(messages())
def test_a_payload_gives_back_the_message_without_its_id(message: SSEMessage) -> None:
    """CR and CRLF as they were: a log keeps text, the wire has lines."""
    kept = {name: value for name, value in message if name != "id"}
    if all(value is None for value in kept.values()):
        kept["comment"] = ""
    assert load_payload(dump_payload(SSEMessage(**kept))) == SSEMessage(**kept)
    assert b'"id"' not in dump_payload(message.model_copy(update={"data": "x"}))


def test_a_payload_is_json_with_a_version() -> None:
    """Compact, in UTF-8, with what is there and nothing else."""
    message = SSEMessage("é\n", event="tick", id="1")
    assert dump_payload(message) == '{"v":1,"data":"é\\n","event":"tick"}'.encode()


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"data: x\n\n",
    "half a JSON": b'{"v":1,"data":"x"',
    "two JSONs": b'{"v":1,"data":"x"}{}',
    "invalid UTF-8": b'{"v":1,"data":"\xff"}',
    "a surrogate in UTF-8": b'{"v":1,"data":"\xed\xa0\x80"}',
    "a surrogate in JSON": rb'{"v":1,"data":"\ud800"}',
    "UTF-16": '{"v":1,"data":"x"}'.encode("utf-16"),
    "UTF-16 without a BOM": '{"v":1,"data":"x"}'.encode("utf-16-le"),
    "a BOM": b'\xef\xbb\xbf{"v":1,"data":"x"}',
    "a pickle": b"\x80\x04K\x01.",
    "a number": b"1",
    "null": b"null",
    "a string": b'"v"',
    "an array": b'["v","data"]',
    "an empty object": b"{}",
    "no version": b'{"data":"x"}',
    "the next version": b'{"v":2,"data":"x"}',
    "version true": b'{"v":true,"data":"x"}',
    "version 1.0": b'{"v":1.0,"data":"x"}',
    "version in a string": b'{"v":"1","data":"x"}',
    "version in an array": b'{"v":[1],"data":"x"}',
    "version NaN": b'{"v":NaN,"data":"x"}',
    "an id": b'{"v":1,"data":"x","id":"1"}',
    "another field": b'{"v":1,"data":"x","topic":"a"}',
    "self": b'{"v":1,"data":"x","self":"a"}',
    "an empty name": b'{"v":1,"data":"x","":1}',
    "no field": b'{"v":1}',
    "nulls only": b'{"v":1,"data":null}',
    "an event alone": b'{"v":1,"event":"x"}',
    "an event of two lines": rb'{"v":1,"data":"x","event":"a\nb"}',
    "data NaN": b'{"v":1,"data":NaN}',
    "data that is no text": b'{"v":1,"data":{"a":1}}',
    "retry true": b'{"v":1,"retry":true}',
    "retry 1.0": b'{"v":1,"retry":1.0}',
    "retry -1": b'{"v":1,"retry":-1}',
    "a huge retry": b'{"v":1,"retry":' + b"9" * 4_000 + b"}",
    "a retry that Python refuses": b'{"v":1,"retry":' + b"9" * 100_000 + b"}",
    "deep arrays": b"[" * 1_000_000,
    "deep arrays in a field": b'{"v":1,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"data":' * 100_000,
    "the version twice": b'{"v":1,"v":2,"data":"x"}',
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_a_payload_that_is_no_message_is_refused(payload: bytes) -> None:
    """With the one typed error, whose sentence is fit for a log."""
    with pytest.raises(MalformedPayload) as caught:
        load_payload(payload)
    assert caught.value.payload is payload
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "payload",
    [
        b'{"v":1,"data":"x"}',
        b' {"data" : "x",\r\n"v" : 1, "retry":null} ',
        b'{"v":2,"v":1,"data":"y","data":"x"}',
        rb'{"\u0076":1,"data":"\u0078"}',
    ],
)
def test_a_payload_may_have_any_form_that_json_allows(payload: bytes) -> None:
    """Another program may have written it: space, order, escapes; of a name twice the last."""
    assert load_payload(payload) == SSEMessage("x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "v": st.sampled_from((1, 1, 1, 2, True, 1.0, "1", None)),
        "data": hostile_text() | JSON,
        "event": hostile_text() | JSON,
        "retry": st.integers() | JSON,
        "comment": hostile_text() | JSON,
        "id": JSON,
    },
)


@given(OBJECTS.map(json.dumps).map(str.encode) | JSON.map(json.dumps).map(str.encode) | st.binary())
def test_any_payload_is_a_message_or_malformed(payload: bytes) -> None:
    """Whatever another program put into the log, the reader skips it or has a valid message."""
    try:
        message = load_payload(payload)
    except MalformedPayload:
        return
    assert SSEMessage(**dict(message)) == message
    assert message.id is None
