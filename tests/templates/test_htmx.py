"""sse_kit.templates.htmx: what an element needs, in each version of htmx."""

from __future__ import annotations

from typing import Any

import pytest

from sse_kit.errors import InvalidInput
from sse_kit.templates.htmx import SWAP_STYLES, ElementConfig, events_and_style


def test_an_element_of_htmx_2() -> None:
    """It reads the attributes of its extension ``sse``."""
    assert ElementConfig(endpoint="/events").attributes(2) == {
        "hx-ext": "sse",
        "sse-connect": "/events",
        "sse-swap": "message",
        "sse-close": "close",
    }


def test_an_element_of_htmx_4() -> None:
    """Whatever its meta character is; no old attribute, which it would warn of."""
    assert ElementConfig(endpoint="/events").attributes(4) == {
        "hx-sse:connect": "/events",
        "hx-sse:close": "close",
        "hx-sse-connect": "/events",
        "hx-sse-close": "close",
    }


def test_names_of_events_are_told_to_both() -> None:
    """To htmx 2 by its attribute, to the kit under htmx 4, which swaps no named event."""
    config = ElementConfig(endpoint="/events", events=("price", "message"), close_event="")
    assert config.attributes(2)["sse-swap"] == "price,message"
    assert config.attributes(4) == {
        "hx-sse:connect": "/events",
        "hx-sse-connect": "/events",
        "data-sse-swap": "price,message",
    }


@pytest.mark.parametrize("version", [2, 4])
def test_what_both_versions_share(version: int) -> None:
    """The style of htmx, and what the kit reads."""
    config = ElementConfig(
        endpoint="/events",
        swap="beforeend scroll:bottom",
        cursor="epoch.7",
        targets=("#a", ".b > p"),
        trusted=True,
    )
    attributes = config.attributes(version)  # type: ignore[arg-type]
    assert attributes["hx-swap"] == "beforeend scroll:bottom"
    assert attributes["data-sse-cursor"] == "epoch.7"
    assert attributes["data-sse-targets"] == "#a, .b > p"
    assert attributes["data-sse-trusted"] == "true"


@pytest.mark.parametrize("style", SWAP_STYLES)
def test_a_style_is_told_from_names(style: str) -> None:
    """With its modifiers; it is for nameless events."""
    for strategy in (style, f"{style} swap:1s"):
        assert events_and_style(strategy) == (("message",), strategy)


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        ("message", ("message",)),
        ("price, news", ("price", "news")),
        ("inner", ("inner",)),
        ("innerhtml", ("innerhtml",)),
    ],
)
def test_names_are_what_is_no_style(strategy: str, names: tuple[str, ...]) -> None:
    """Several stand between commas."""
    assert events_and_style(strategy) == (names, "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", ""),
        ("endpoint", " /events"),
        ("endpoint", "/events\n"),
        ("endpoint", "/ev\0ents"),
        ("events", ()),
        ("events", ("",)),
        ("events", ("a,b",)),
        ("events", (" a",)),
        ("events", ("a\nb",)),
        ("events", ("open",)),
        ("events", ("error",)),
        ("events", "a"),
        ("trusted", "yes"),
        ("no_such_field", 1),
    ],
)
def test_what_cannot_be_an_attribute_is_refused(field: str, value: object) -> None:
    """Never repaired silently."""
    values: dict[str, Any] = {"endpoint": "/events", field: value}
    with pytest.raises(InvalidInput):
        ElementConfig(**values)
