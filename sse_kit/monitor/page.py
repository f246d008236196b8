"""The monitor's page.

The page is the same for everybody, and knows nothing yet: what it shows comes on its stream. Its
rows and lists are filled from templates, as text, so whatever a client calls itself stays a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcore.xml import to_xml
from fasthtml.components import (
    H1,
    H2,
    Body,
    Button,
    Caption,
    Datalist,
    Dd,
    Dialog,
    Div,
    Dl,
    Dt,
    Fieldset,
    Form,
    Head,
    Header,
    Html,
    Img,
    Input,
    Label,
    Legend,
    Li,
    Link,
    Main,
    Meta,
    Option,
    P,
    Section,
    Select,
    Span,
    Table,
    Tbody,
    Td,
    Template,
    Th,
    Thead,
    Title,
    Tr,
    Ul,
)
from fasthtml.xtend import Script

from sse_kit.fasthtml import sse_headers, sse_status
from sse_kit.monitor.files import icon_name, script_name, style_name
from sse_kit.monitor.models import CLIP, Sort
from sse_kit.states import ConnectionState
from sse_kit.templates.client import ClientConfig, LifecycleConfig, StatusConfig

if TYPE_CHECKING:
    from fastcore.xml import FT

STATIC = "static"
"""Where the files are, relative to the page."""

WORDS = StatusConfig(connected="Live", disconnected="Not live")
CONFIG = ClientConfig(
    status=WORDS,
    # A tab that nobody sees is no viewer.
    lifecycle=LifecycleConfig(pause_hidden_after=30_000),
)

SORTS = {
    Sort.AGE: "Age",
    Sort.IDLE: "Idle",
    Sort.LAG: "Lag",
    Sort.MESSAGES: "Messages",
    Sort.RATE: "Rate",
    Sort.DROPPED: "Dropped",
}
"""The columns that have an order, and their names."""

HUB = {
    "position": "Position of the log",
    "ring": "Kept in memory",
    "catching_up": "Catching up",
    "gaps": "Gaps announced",
    "malformed": "Malformed records",
}


def page(*, metadata: bool) -> str:
    """Return the page as HTML; ``metadata``: whether there is a column for it."""
    body = Body(
        _header(),
        Main(_charts(), _connections(metadata=metadata), _breakdowns(), id="monitor"),
        _dialog(),
    )
    return "<!doctype html>\n" + to_xml(Html(_head(), body, lang="en"))


def _head() -> FT:
    return Head(
        Meta(charset="utf-8"),
        Title("sse_kit monitor"),
        Meta(name="viewport", content="width=device-width, initial-scale=1"),
        Meta(name="color-scheme", content="light dark"),
        Link(rel="icon", href=f"{STATIC}/{icon_name()}", type="image/svg+xml"),
        *sse_headers(CONFIG, prefix=STATIC, htmx=False),
        Link(rel="stylesheet", href=f"{STATIC}/{style_name()}"),
        Script(src=f"{STATIC}/{script_name()}", type="module"),
    )


def _header() -> FT:
    return Header(
        Img(src=f"{STATIC}/{icon_name()}", alt="", cls="mark", width=36, height=36),
        Div(H1("sse_kit monitor"), P("Waiting for the first look", id="as-of"), cls="name"),
        Button("Pause", id="pause", type="button", aria_pressed="false", cls="plain"),
        sse_status(words=WORDS, cls="light"),
    )


# Charts ---------------------------------------------------------------------------------------


def _charts() -> FT:
    return Section(
        _metric("active", "Connections", "open now", label="Open connections over time"),
        _metric("published", "Published", "records/s", label="Records of the log per second"),
        _metric("delivered", "Delivered", "messages/s", label="Messages to all clients per second"),
        _metric("coming", "Coming", "per second", label="Streams opened and ended", more="Going"),
        cls="metrics",
        aria_label="Rates",
    )


def _metric(name: str, title: str, unit: str, *, label: str, more: str | None = None) -> FT:
    """Return a card with a figure, or two, and a chart of as many lines."""
    titles = [title] if more is None else [title, more]
    figures = [
        Div(
            H2(each, cls="key" if more else None),
            P(Span("–", data_part=f"figure-{number}"), cls="figure"),
            cls="measure",
        )
        for number, each in enumerate(titles)
    ]
    return Div(
        Div(Div(*figures, cls="row"), P(unit, cls="unit"), cls="numbers"),
        Div(cls="chart", role="img", aria_label=label),
        id=name,
        cls="card metric",
    )


# Connections ----------------------------------------------------------------------------------


def _connections(*, metadata: bool) -> FT:
    return Section(
        Div(H2("Live connections", id="connections-title"), P(id="shown", cls="hint"), cls="row"),
        _filters(),
        P(id="done", role="status", cls="done"),
        P(id="problem", role="alert", cls="problem"),
        Div(
            _table(metadata=metadata),
            cls="scroll",
            role="region",
            tabindex=0,
            aria_labelledby="connections-title",
        ),
        P("No connection yet.", id="empty", cls="empty", hidden=True),
        Template(_row(metadata=metadata), id="row"),
        cls="card connections",
        aria_labelledby="connections-title",
    )


def _filters() -> FT:
    states = (Option(state.title(), value=state) for state in ConnectionState)
    sorts = (Option(name, value=sort) for sort, name in SORTS.items())
    text = {"maxlength": CLIP, "autocomplete": "off", "spellcheck": "false"}
    return Form(
        _field("type", "Type", Select(Option("All", value=""), name="type", id="type")),
        _field(
            "state", "State", Select(Option("All", value=""), *states, name="state", id="state")
        ),
        _field("topic", "Topic", Input(name="topic", id="topic", list="known-topics", **text)),
        _field("text", "Id contains", Input(name="text", id="text", type="search", **text)),
        Datalist(id="known-topics"),
        Fieldset(
            Legend("Order", cls="unseen"),
            _field("sort", "Order by", Select(*sorts, name="sort", id="sort")),
            Label(Input(type="checkbox", name="ascending", value="true"), "Smallest first"),
            cls="order",
        ),
        Button("Clear", type="reset", id="clear", cls="plain"),
        id="view",
        role="search",
        aria_label="Which connections",
    )


def _field(name: str, title: str, field: FT) -> FT:
    return Div(Label(title, fr=name), field, cls="field")


def _table(*, metadata: bool) -> FT:
    # The roles are said again, since rows are drawn as cards where there is no room for columns.
    heads = [
        *(_head_cell(title) for title in ("Id", "Type", "State")),
        *(_head_cell(_sorter(sort, title), sort=sort) for sort, title in SORTS.items()),
        _head_cell("Topics"),
        *([_head_cell("Metadata")] if metadata else []),
        _head_cell(Span("Action", cls="unseen")),
    ]
    return Table(
        Caption("Live connections, made anew at each look", cls="unseen"),
        Thead(Tr(*heads, role="row"), role="rowgroup"),
        Tbody(id="rows", role="rowgroup"),
        role="table",
        id="connections",
    )


def _head_cell(content: object, *, sort: Sort | None = None) -> FT:
    numeric = "number" if sort else None
    return Th(content, scope="col", role="columnheader", data_column=sort, cls=numeric)


def _sorter(sort: Sort, title: str) -> FT:
    return Button(title, type="button", data_sort=sort)


def _row(*, metadata: bool) -> FT:
    return Tr(
        Th(scope="row", role="rowheader", data_part="id"),
        _cell("type", "Type"),
        Td(
            Span(cls="lamp", aria_hidden="true"),
            Span(data_part="state"),
            role="cell",
            cls="state",
        ),
        *(_cell(sort, title, cls="number") for sort, title in SORTS.items()),
        _cell("topics", "Topics", cls="long"),
        *([_cell("metadata", "Metadata", cls="long")] if metadata else []),
        Td(Button("Kick", type="button", cls="plain kick"), role="cell", cls="action"),
        role="row",
    )


def _cell(part: str, title: str, *, cls: str | None = None) -> FT:
    return Td(role="cell", data_part=part, data_title=title, cls=cls)


# Breakdowns -----------------------------------------------------------------------------------


def _breakdowns() -> FT:
    return Section(
        _transport(),
        _breakdown("ends", "Why streams ended", "None has ended yet."),
        _breakdown("topics", "Topics", "No topic is followed.", filters="topic"),
        _breakdown("types", "Types", "No connection.", filters="type"),
        _breakdown("states", "States", "No connection.", filters="state"),
        Template(_item(Span(data_part="name")), id="item"),
        Template(_item(Button(type="button", data_part="name")), id="item-button"),
        cls="breakdowns",
        aria_label="Transport, topics and counts",
    )


def _item(name: FT) -> FT:
    return Li(name, Span(data_part="count"), Span(cls="bar", aria_hidden="true"))


def _breakdown(name: str, title: str, nothing: str, *, filters: str | None = None) -> FT:
    """Return a list of counts; ``filters`` is the field that its names go into."""
    return Div(
        Div(H2(title), Span(data_part="kinds", cls="count"), cls="row"),
        Ul(data_filters=filters),
        P(nothing, cls="hint nothing"),
        id=name,
        cls="card breakdown",
    )


def _transport() -> FT:
    facts = (Div(Dt(title), Dd("–", data_part=part)) for part, title in HUB.items())
    return Div(
        Div(
            H2("Transport"),
            Span(
                Span(cls="lamp", aria_hidden="true"),
                Span("Unknown", data_part="status"),
                cls="health",
            ),
            cls="row",
        ),
        P(Span(data_part="name", cls="engine"), " ", Span(data_part="traits", cls="hint")),
        P(data_part="detail", cls="problem"),
        Dl(Div(Dt("Answers in"), Dd("–", data_part="answer")), *facts),
        id="transport",
        cls="card",
    )


def _dialog() -> FT:
    return Dialog(
        H2("End this stream?", id="kick-title"),
        P(Span(data_part="id", cls="name")),
        P(
            "Its page is told to stay away, and does until it is loaded again. "
            "Other clients may come back at once.",
            cls="hint",
        ),
        Div(
            Button("Cancel", type="button", value="cancel", cls="plain", autofocus=True),
            Button("End it", type="button", value="kick", cls="danger"),
            cls="buttons",
        ),
        id="kick",
        aria_labelledby="kick-title",
    )
