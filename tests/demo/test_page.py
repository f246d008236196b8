"""sse_kit.demo.page: one document, nothing from elsewhere, everything escaped."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from fastcore.xml import to_xml

from sse_kit.demo.app import STATIC
from sse_kit.demo.models import JobStatus, Message, PageState, Roster
from sse_kit.demo.page import HEAD, SCRIPT, page

HOSTILE = "<img src=x onerror=alert(1)></script><!-- \u2028 'quoted' \"twice\" & done"


class Document(HTMLParser):
    """The elements of a document, and the text of its data block and its messages."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.texts.setdefault(self.elements[-1][0], []).append(data)

    def urls(self) -> list[str]:
        named = ("src", "href", "action")
        return [attrs[name] or "" for _, attrs in self.elements for name in named if name in attrs]


@pytest.fixture
def state() -> PageState:
    """Return the state of a page whose reader is called by an unkind name."""
    return PageState(cursor="e.1", tab=HOSTILE, samples=(), job=JobStatus(), connections=Roster())


@pytest.fixture
def document(state: PageState) -> Document:
    """Return the page, read as a browser would."""
    messages = (Message(text="first"), Message(text=HOSTILE))
    return Document(to_xml((*HEAD, *page(state, messages, origin="http://localhost:8000"))))


def test_the_script_reads_every_field_of_its_config_and_no_other() -> None:
    """What Python decides is what JavaScript uses."""
    SCRIPT.check_fields()


def test_every_address_is_our_own(document: Document) -> None:
    """There is no CDN: each address is relative, so it also holds behind a prefix."""
    assert document.urls()
    assert not [url for url in document.urls() if re.match(r"[a-z]+:|/", url)]


def test_every_file_that_is_named_is_served(document: Document) -> None:
    """A static address leads to a file of the package."""
    named = {url.removeprefix("static/") for url in document.urls() if url.startswith("static/")}
    assert named <= {*STATIC, "demo.js"}
    places = {"demo.js": "sse_kit.demo", **{name: where for name, (where, _) in STATIC.items()}}
    for name in named:
        assert resources.files(places[name]).joinpath("static", name).is_file()


def test_no_script_or_style_is_inline(document: Document) -> None:
    """What the policy would refuse is not there: no code, no handlers, no style attributes."""
    scripts = [attrs for tag, attrs in document.elements if tag == "script"]
    assert [attrs.get("type") for attrs in scripts if "src" not in attrs] == ["application/json"]
    names = {name for _, attrs in document.elements for name in attrs}
    assert not {name for name in names if name.startswith("on")} | names & {"style"}


def test_a_message_is_text_in_the_html(document: Document) -> None:
    """What somebody wrote makes no element, and is shown as it was written."""
    assert "img" not in {tag for tag, _ in document.elements}
    assert "".join(document.texts["p"]).count(HOSTILE) == 1


def test_the_newest_message_is_first(document: Document) -> None:
    """The list is read from the top."""
    texts = "".join(document.texts["p"])
    assert texts.index(HOSTILE) < texts.index("first")


def test_the_state_arrives_as_it_was(document: Document, state: PageState) -> None:
    """The data block is the state, whatever is in it."""
    assert json.loads("".join(document.texts["script"])) == state.model_dump(mode="json")


def test_every_input_has_a_label(document: Document) -> None:
    """Fields can be found without seeing them."""
    fields = {attrs["id"] for tag, attrs in document.elements if tag == "input"}
    assert fields == {attrs["for"] for tag, attrs in document.elements if tag == "label"}
