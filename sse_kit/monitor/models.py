"""What the monitor shows: one frozen model for each part of a snapshot, and what a viewer asks for.

Times are milliseconds since 1970, as JavaScript counts them; lengths of time are seconds; rates are
per second, None where there was no earlier look to compare with.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sse_kit.states import ConnectionState  # noqa: TC001  pydantic reads it
from sse_kit.transports.base import HealthStatus  # noqa: TC001

CLIP = 200
"""Characters of a text that are shown: ids, topics and metadata may be a client's, and endless."""

Said = Annotated[str, Field(max_length=CLIP)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Sort(StrEnum):
    """What the rows are ordered by."""

    AGE = "age"
    IDLE = "idle"
    LAG = "lag"
    MESSAGES = "messages"
    RATE = "rate"
    DROPPED = "dropped"


class View(_Model):
    """Which rows a viewer wants, and which of them first; what is empty filters nothing.

    ``type`` and ``topic`` are whole, ``text`` is a part of the id, in whatever case. The largest
    come first, or, if ``ascending``, the smallest.
    """

    type: Said = ""
    state: ConnectionState | None = None
    topic: Said = ""
    text: Said = ""
    sort: Sort = Sort.AGE
    ascending: bool = False


class Row(_Model):
    """One connection: ``key`` is what a kick names it by; ``lag`` as in ``ConnectionInfo``.

    ``topics`` are the first few, of ``topic_count``; ``metadata`` is there only if asked for.
    """

    key: str
    id: str
    type: str
    state: ConnectionState
    age: float
    idle: float
    lag: int
    messages: int
    rate: float | None
    dropped: int
    topics: tuple[str, ...]
    topic_count: int
    metadata: dict[str, str]


class Counted(_Model):
    """How many there are of something."""

    name: str
    count: int


class Breakdown(_Model):
    """The most frequent, of ``kinds`` different ones."""

    kinds: int
    shown: tuple[Counted, ...]


class Sample(_Model):
    """One point of the charts: connections, and four rates."""

    at: int
    active: int
    published: float | None = None
    delivered: float | None = None
    opened: float | None = None
    closed: float | None = None


class TransportHealth(_Model):
    """How the transport is; ``answer`` is how long it took to say so, in milliseconds."""

    name: str
    shared: bool
    durable: bool
    replays: bool
    status: HealthStatus
    detail: str
    answer: float | None


class HubHealth(_Model):
    """How this process follows the log: what :class:`~sse_kit.hub.HubStatistics` counts."""

    position: str
    ring_records: int
    ring_bytes: int
    catching_up: int
    records: int
    malformed: int
    gaps: int


class Snapshot(_Model):
    """All that a page shows, as of one moment; ``matching`` rows there are, of which ``rows``.

    ``hub`` is None while the registry is not running. ``dropped`` counts messages of all
    connections there were, ``ends`` the reasons for which they ended.
    """

    at: int
    viewers: int
    total: int
    dropped: int
    sample: Sample
    types: Breakdown
    states: Breakdown
    topics: Breakdown
    ends: Breakdown
    transport: TransportHealth
    hub: HubHealth | None
    matching: int
    rows: tuple[Row, ...]


class History(_Model):
    """What the charts begin with, from the oldest."""

    samples: tuple[Sample, ...]


class Kick(_Model):
    """The order to end one connection: the ``key`` of its row."""

    key: Annotated[str, Field(max_length=64)]
