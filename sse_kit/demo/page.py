"""The page, as HTML, and the script that it runs.

What people wrote is in the HTML; what is drawn, and where the stream goes on, is in one JSON block.
The script has its settings put in by :class:`ScriptTemplate`, so no inline script is needed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fasthtml.components import (
    H1,
    H2,
    A,
    Article,
    Button,
    Code,
    Div,
    Footer,
    Header,
    Input,
    Label,
    Li,
    Link,
    Main,
    Meta,
    P,
    Pre,
    Progress,
    Section,
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
    ft_hx,
)
from fasthtml.xtend import Form, Script

from sse_kit.demo.models import MESSAGE_LENGTH, MESSAGES, SAMPLES
from sse_kit.templates.base import ScriptConfig, ScriptTemplate, json_for_script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastcore.xml import FT

    from sse_kit.demo.models import Message, PageState


class DemoConfig(ScriptConfig):
    """What ``demo.js`` reads: addresses, how many it shows, and milliseconds."""

    stream_url: str = "events"
    messages_url: str = "messages"
    jobs_url: str = "jobs"
    samples: int = SAMPLES
    messages: int = 2 * MESSAGES
    base_delay: int = 500
    max_delay: int = 10_000
    silence: int = 10_000


SCRIPT = ScriptTemplate(DemoConfig, package="sse_kit.demo", asset="static/demo.js")

HEAD = (
    Meta(charset="utf-8"),
    Meta(name="viewport", content="width=device-width, initial-scale=1"),
    Meta(name="color-scheme", content="light dark"),
    Link(rel="icon", href="static/icon.svg", type="image/svg+xml"),
    Link(rel="stylesheet", href="static/demo.css"),
    Script(src="static/demo.js", type="module"),
)
"""What the head of the page holds; nothing of it from another host."""


def page(state: PageState, messages: Iterable[Message], *, origin: str) -> tuple[FT, ...]:
    """Return the page: ``messages`` from the oldest, ``origin`` is how its reader got here."""
    return (
        Title("sse_kit demo"),
        _header(),
        Main(
            Section(
                _metric("cpu", "Processor", label="Load of the processor over the last minute"),
                _metric("memory", "Memory", label="Memory in use over the last minute"),
                _metric("network", "Network", label="Traffic over the last minute", key="in"),
                cls="metrics",
                aria_label="This machine",
            ),
            _messages(messages),
            Div(_job(), _connections(), cls="side"),
        ),
        _footer(origin),
        Script(json_for_script(state.model_dump(mode="json")), type="application/json", id="state"),
    )


def _header() -> FT:
    return Header(
        Span(cls="mark", aria_hidden="true"),
        Div(H1("sse_kit"), P("This machine, live"), cls="name"),
        Div(
            Span(cls="lamp", aria_hidden="true"),
            Span("Connecting", id="light-text"),
            id="light",
            data_state="connecting",
            role="status",
        ),
    )


def _metric(name: str, title: str, *, label: str, key: str | None = None) -> FT:
    """Return a card with a figure and a chart; ``key`` names the first of two lines."""
    detail = Span("\N{NO-BREAK SPACE}", data_part="detail", cls="key" if key else None)
    return Article(
        Div(
            H2(title),
            P(Span("\N{EN DASH}", data_part="figure"), Span(data_part="unit"), cls="figure"),
            P(Span(key, cls="key") if key else None, detail, cls="detail"),
        ),
        Div(cls="chart", role="img", aria_label=label),
        id=name,
        cls="card metric",
    )


def _messages(messages: Iterable[Message]) -> FT:
    return Section(
        H2("Messages"),
        P("What you write here reaches every open tab.", cls="hint"),
        Form(
            Label("Your message", fr="text", cls="unseen"),
            Input(
                id="text",
                maxlength=MESSAGE_LENGTH,
                placeholder="Say something",
                autocomplete="off",
                required=True,
            ),
            Button("Send"),
            id="write",
            method="post",
            action="messages",
            enctype="application/x-www-form-urlencoded",
        ),
        P(id="write-problem", cls="problem", role="alert"),
        Ul(*map(_message, reversed(list(messages))), id="messages", aria_live="polite"),
        P(
            "Nothing yet. Open ",
            A("a second tab", href="./", target="_blank", rel="noopener"),
            " beside this one, and write.",
            cls="empty",
        ),
        Template(Li(P(data_part="text"), _time()), id="message-item"),
        Template(Li("Server restarted", _time(), cls="notice"), id="restart-item"),
        Template(Li("Some events were missed", _time(), cls="notice"), id="gap-item"),
        cls="card messages",
    )


def _message(message: Message) -> FT:
    return Li(P(message.text, data_part="text"), _time(message.at), data_id=message.id)


def _time(at: int = 0) -> FT:
    """Return a time in UTC; the page's script makes it the reader's own."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return ft_hx("time", f"{moment:%H:%M:%S} UTC", datetime=moment.isoformat())


def _job() -> FT:
    return Section(
        Div(
            Div(
                H2("A job"),
                P("The server counts the primes up to 400 million.", cls="hint"),
            ),
            Button("Start", id="start", type="button"),
            cls="row",
        ),
        Progress(id="progress", value=0, max=1, aria_label="Progress of the job"),
        Div(Span(id="result"), Span(id="percent"), cls="row figures"),
        P(id="job-problem", cls="problem", role="alert"),
        id="job",
        cls="card",
    )


def _connections() -> FT:
    parts = ("id", "client", "age", "events")
    return Section(
        Div(
            H2("Connections"),
            A("Monitor", href="monitor/", cls="more"),
            Span(id="connection-count", cls="count"),
            cls="row",
        ),
        Table(
            Thead(Tr(*(Th(title, scope="col") for title in ("Id", "Client", "Age", "Events")))),
            Tbody(),
            id="connections",
        ),
        Template(Tr(*(Td(data_part=part) for part in parts)), id="connection-row"),
        cls="card",
    )


def _footer(origin: str) -> FT:
    return Footer(
        P("The same streams in a terminal:"),
        Pre(
            Code(
                f"curl -N '{origin}/events?topic=metrics'\n"
                f"curl -d text=hello {origin}/messages\n"
                f"curl -N {origin}/progress"
            )
        ),
        P("Stop the server and start it again: this page stays as it is, and comes back."),
    )
