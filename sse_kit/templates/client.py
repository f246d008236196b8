"""What a page runs on: the typed config of the runtime, and the data block that carries it.

These models are the only source of defaults. The module is served with the defaults in it; a page
sets what it wants otherwise in a data block, ``block(ClientConfig(...))``, which no policy for
scripts concerns, since a block of JSON is not run. Times are milliseconds, as JavaScript has them;
the script reads each field in camelCase.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sse_kit.config import Milliseconds  # noqa: TC001  pydantic reads it
from sse_kit.messages import MAX_RETRY
from sse_kit.templates.base import ScriptConfig, json_for_script

Factor = Annotated[float, Field(ge=1, le=10)]
Characters = Annotated[int, Field(ge=1)]
Times = Annotated[int, Field(ge=0)]
Pace = Annotated[int, Field(ge=100, le=MAX_RETRY)]
"""Milliseconds between requests: enough that a mistyped number does no harm."""

BLOCK = '<script type="application/json" data-sse-kit>{}</script>'


class ConnectionConfig(ScriptConfig):
    """How a page's stream is read, given up and taken up again.

    ``reader``: ``eventsource`` for the browser's own, which tells no status and shows no comments.
    The delay before the n-th retry in a row is random, between ``min_delay`` and ``base_delay``
    times ``factor`` to the n-1, at most ``max_delay``; a server's ``retry:`` takes the place of
    ``base_delay``, and its ``Retry-After`` is added. A stream that held for ``stable_after`` begins
    anew; ``max_retries`` in a row end it (None: nothing does).

    ``connect_timeout`` is for the headers to come; ``idle_timeout`` is the silence, three
    heartbeats of the server, after which a stream counts as dead. None: no bound.

    ``close_event`` of the server ends the stream for good (empty: none does). ``cursor``: whether
    the server is told where to go on by the header Last-Event-ID, or by the query, which another
    origin need not be asked about first. ``max_event``: characters of an event and its line.
    """

    reader: Literal["fetch", "eventsource"] = "fetch"
    base_delay: Milliseconds = 500
    factor: Factor = 2.0
    min_delay: Milliseconds = 100
    max_delay: Milliseconds = 30_000
    stable_after: Milliseconds = 5_000
    max_retries: Times | None = None
    connect_timeout: Milliseconds | None = 15_000
    idle_timeout: Milliseconds | None = 45_000
    close_event: str = "close"
    cursor: Literal["header", "query"] = "header"
    credentials: Literal["omit", "same-origin", "include"] = "same-origin"
    max_event: Characters = 16 * 1024 * 1024


class LifecycleConfig(ScriptConfig):
    """When a page lets go of its streams, beside when it is left, frozen, or kept for "back".

    ``pause_hidden_after``: how long a tab may be hidden before; None: it keeps them.
    """

    pause_hidden_after: Milliseconds | None = None


class StatusConfig(ScriptConfig):
    """The words of the status indicator for each state."""

    connecting: str = "Connecting"
    connected: str = "Connected"
    reconnecting: str = "Reconnecting"
    disconnected: str = "Disconnected"
    error: str = "Connection failed"


class ShareConfig(ScriptConfig):
    """Whether the tabs of a browser read a stream through one connection.

    ``mode``: ``auto`` is a worker that all tabs have, where that works, or else one tab reads for
    all (``locks``), which needs https or localhost; where neither works, each tab reads for itself.

    ``key`` is whose stream it is: what the server knows the user or the session by, but no secret.
    Tabs share what has the same key, address and settings, so two users of one browser never read
    one stream. ``""`` is for streams that are the same for everybody; None: nothing is shared.

    ``replay``: the newest messages kept for tabs that come late or come back; one that needs older
    ones is told by a gap. ``hung_after``: the silence after which a tab that reads for others, and
    does not answer when asked, is replaced.
    """

    mode: Literal["none", "auto", "worker", "locks"] = "none"
    key: str | None = None
    replay: Times = 500
    hung_after: Annotated[int, Field(ge=300)] = 5_000


class StatsConfig(ScriptConfig):
    """Where a page gets the numbers from that it shows in ``[data-sse-stats]``.

    ``endpoint`` is asked each ``interval``, soon after a stream opened or ended, less often while
    it fails, and not while the page is hidden; an answer has to come in ``timeout``. ``event``
    names the event of the page's own streams that brings them, as JSON. Empty: neither.
    """

    endpoint: str = ""
    interval: Pace = 10_000
    timeout: Milliseconds = 5_000
    event: str = ""


class StreamConfig(ScriptConfig):
    """A stream that the page opens by itself.

    ``element`` is the selector of what shows its state and closes it with itself; ``cursor`` the
    position that its content was rendered at, if it is not the page's; ``events`` names what a
    ``reader="eventsource"`` has to listen for; ``on_gap`` which fragments a gap concerns: selector
    to URL, or to "" for this page's own.
    """

    url: str
    element: str = ""
    cursor: str = ""
    events: tuple[str, ...] = ()
    on_gap: dict[str, str] = Field(default={})
    connection: ConnectionConfig | None = None
    share: ShareConfig | None = None


class ClientConfig(ScriptConfig):
    """All that the runtime reads.

    ``cursor`` is the position of the log, taken before the page's content was queried: streams that
    are opened while the page loads go on from there, so nothing falls between. ``debug`` has the
    page write to its console what streams do, and what in it cannot work, with the remedy; it
    needs a module of its own, which ``sse_headers`` adds.
    """

    connection: ConnectionConfig = ConnectionConfig()
    lifecycle: LifecycleConfig = LifecycleConfig()
    share: ShareConfig = ShareConfig()
    status: StatusConfig = StatusConfig()
    stats: StatsConfig = StatsConfig()
    streams: tuple[StreamConfig, ...] = ()
    cursor: str = ""
    debug: bool = False


def block(config: ClientConfig) -> str:
    """Return the data block that tells a page what was set in ``config``.

    What was not set there stays as other blocks, or the defaults, have it; streams add up.

    Raises:
        InvalidSetting: a value that :func:`~sse_kit.templates.base.json_for_script` refuses.

    """
    return BLOCK.format(overrides(config))


def overrides(config: ClientConfig) -> str:
    """Return what was set in ``config``, as the JSON of a data block."""
    said = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return json_for_script(said)
