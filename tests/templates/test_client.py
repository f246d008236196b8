"""The config of the page: what is refused, and what a data block says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sse_kit.errors import InvalidSetting
from sse_kit.templates.client import (
    BLOCK,
    ClientConfig,
    ConnectionConfig,
    LifecycleConfig,
    StatusConfig,
    StreamConfig,
    block,
    overrides,
)


def read(config: ClientConfig) -> dict[str, Any]:
    """Return what the script reads of a block."""
    before, after = BLOCK.split("{}")
    said: dict[str, Any] = json.loads(block(config).removeprefix(before).removesuffix(after))
    return said


@pytest.mark.parametrize(
    "values",
    [
        {"base_delay": -1},
        {"base_delay": 0.5},
        {"base_delay": "500"},
        {"factor": 0.9},
        {"factor": float("inf")},
        {"max_retries": -1},
        {"max_event": 0},
        {"reader": "websocket"},
        {"cursor": "cookie"},
        {"credentials": "always"},
        {"retries": 3},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(values: dict[str, Any]) -> None:
    """Where it is written, not in the page."""
    with pytest.raises(InvalidSetting):
        ConnectionConfig(**values)


def test_a_config_does_not_change() -> None:
    """It is one for all pages."""
    with pytest.raises(ValidationError):
        ClientConfig().cursor = "e.7"


def test_a_block_says_nothing_of_what_was_not_set() -> None:
    """The defaults are in the script already."""
    assert read(ClientConfig()) == {}
    assert read(ClientConfig(lifecycle=LifecycleConfig(pause_hidden_after=1))) == {
        "lifecycle": {"pauseHiddenAfter": 1}
    }


def test_a_block_says_what_was_set_in_the_words_of_the_script() -> None:
    """Names are in camelCase; selectors and events are values, which stay as they are."""
    stream = StreamConfig(
        url="/events", on_gap={"#a_b": ""}, events=("a_b",), connection=ConnectionConfig()
    )
    assert read(ClientConfig(streams=(stream,), cursor="e.7")) == {
        "streams": [{"url": "/events", "onGap": {"#a_b": ""}, "events": ["a_b"], "connection": {}}],
        "cursor": "e.7",
    }


@given(text=st.text(st.characters()))
def test_any_text_arrives_as_it_is_and_is_inert(text: str) -> None:
    """The block has no tag but its own, and the script reads what was written."""
    config = ClientConfig(status=StatusConfig(error=text), streams=(StreamConfig(url=text),))
    assert read(config)["status"]["error"] == read(config)["streams"][0]["url"] == text
    assert not set("<>&\u2028\u2029") & set(overrides(config))
