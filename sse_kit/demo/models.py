"""What the demo shows: one frozen model for each kind of event, and for the page's first state.

Times are milliseconds since 1970, as JavaScript counts them.
"""

from __future__ import annotations

import secrets
import time
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SAMPLES = 60
"""How many samples are kept for a page that opens: its charts begin full."""

MESSAGES = 50
MESSAGE_LENGTH = 500


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Topic(StrEnum):
    """The topics of the demo; each carries events of its own name."""

    METRICS = "metrics"
    MESSAGES = "messages"
    JOB = "job"
    CONNECTIONS = "connections"


class JobState(StrEnum):
    """Where the job stands."""

    IDLE = "idle"
    RUNNING = "running"
    FINISHED = "finished"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sample(_Model):
    """The machine at one moment: percent, bytes, and bytes a second over all interfaces."""

    at: int = Field(default_factory=now)
    cpu: float
    cores: int
    memory: float
    used: int
    total: int
    received: float
    sent: float


class Message(_Model):
    """A line somebody wrote. Its ``id`` is its own: the page shows each once, however it came."""

    id: str = Field(default_factory=lambda: secrets.token_urlsafe(9))
    at: int = Field(default_factory=now)
    text: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MESSAGE_LENGTH)
    ]


class JobStatus(_Model):
    """How far the job is; ``found`` primes in ``seconds``."""

    state: JobState = JobState.IDLE
    done: int = 0
    steps: int = 100
    found: int = 0
    seconds: float = 0.0


class Connection(_Model):
    """One live connection; ``tab`` is what its page calls itself, to know its own row."""

    id: str
    tab: str
    client: str
    since: int
    events: int


class Roster(_Model):
    """The live connections: ``total`` of them, of which ``shown`` are the oldest."""

    total: int = 0
    shown: tuple[Connection, ...] = ()


class PageState(_Model):
    """What a page's script starts from; ``cursor`` is where its stream goes on."""

    cursor: str
    tab: str
    samples: tuple[Sample, ...]
    job: JobStatus
    connections: Roster
