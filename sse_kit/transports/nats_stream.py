"""What a namespace looks like in NATS JetStream: names, settings, records, marks. No I/O.

One stream holds the log, and has one subject, whose last token is the epoch: made at random with
the stream. So a record tells the epoch that it belongs to, and what is published for an epoch that
is gone finds no stream. The sequence number of the stream is the offset.

A message begins with a line, the JSON array of its topics, and the rest is the payload: topics may
hold any character and be as many as fit, while headers may not exceed 64 KiB and lose white space.

The mark of a position is the time, in nanoseconds, at which the server stored the record: the
fingerprint of a record, and also what tells where two histories fork. Whatever was stored up to
then is what they share, if the server's clock does not go back.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  pydantic reads it
from ssl import SSLContext  # noqa: TC003  as above
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from sse_kit.messages import check_topic
from sse_kit.transports.base import Bounds, Position, Record
from sse_kit.transports.settings import LogOptions, LogSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_kit.transports.base import Publication

Json: TypeAlias = dict[str, Any]
Storage: TypeAlias = Literal["file", "memory"]

RESERVED = 4096
"""Bytes of a message that are left for its key and its topics."""

LARGEST = 32 * 1024 * 1024 - 1024
"""Bytes: JetStream's files take no record of 32 MiB, whatever ``max_payload`` says."""

KEY_HEADER = "Nats-Msg-Id"
HEADER = len(f"NATS/1.0\r\n{KEY_HEADER}: \r\n\r\n")

SECOND = 10**9
MARK = re.compile(r"[0-9a-f]{1,15}|[0-7][0-9a-f]{15}")

UPDATABLE = frozenset(
    {"max_msgs", "max_bytes", "max_age", "duplicate_window", "allow_direct", "num_replicas"}
)
"""Settings that a stream may be given later, without harm to what is in it."""


class NatsSettings(LogSettings):
    """Settings of :class:`~sse_kit.transports.nats.NatsTransport`.

    ``storage`` and ``replicas`` are the stream's; ``max_message`` the server's ``max_payload``, in
    bytes; ``ssl`` what TLS trusts and shows; ``credentials`` a file with a JWT and its seed.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    storage: Storage = "file"
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    max_message: Annotated[int, Field(ge=2 * RESERVED, le=LARGEST)] = 1024 * 1024
    ssl: SSLContext | None = None
    credentials: Path | str | None = None

    @property
    def window(self) -> float:
        """Seconds for which a key is remembered: not longer than its record is kept."""
        return min(self.dedup_window, self.retention.max_age or math.inf)

    @property
    def max_size(self) -> int:
        """The largest message, in bytes: it must fit the server and the stream."""
        return min(self.max_message, self.retention.max_bytes or self.max_message)


class NatsOptions(LogOptions, total=False):
    """The settings of :class:`NatsSettings`, as keyword arguments."""

    storage: Storage
    replicas: int
    max_message: int
    ssl: SSLContext | None
    credentials: Path | str | None


class Beat(BaseModel):
    """What a node says of itself: that it lives for ``lease`` seconds, and its counts."""

    lease: float
    counts: dict[str, int]


class Names:
    """The names of a namespace, which is a token itself."""

    def __init__(self, namespace: str) -> None:
        self.log = f"ssekit-log-{namespace}"
        self.nodes = f"ssekit-nodes-{namespace}"
        self.wake = f"ssekit.{namespace}.wake"
        self._prefix = f"ssekit.{namespace}."

    def records(self, epoch: str) -> str:
        """Return the subject of an epoch's records."""
        return self._prefix + epoch

    def epoch(self, subject: str) -> str | None:
        """Return the epoch whose subject it is, if it is one."""
        epoch = subject.removeprefix(self._prefix)
        is_ours = epoch != subject and re.fullmatch(r"[0-9A-Za-z_-]{1,40}", epoch)
        return epoch if is_ours else None

    def node(self, name: str) -> str:
        """Return the subject of a node's beats; ``*`` for all of them."""
        return f"{self._prefix}node.{name}"


def new_epoch() -> str:
    """Return an epoch that nobody has seen."""
    return secrets.token_urlsafe(6)


def log_config(names: Names, epoch: str, settings: NatsSettings) -> Json:
    """Return how the stream is set that holds the log."""
    keep = settings.retention
    return {
        **_config(names.log, names.records(epoch), settings),
        "max_msgs": keep.max_records or -1,
        "max_bytes": keep.max_bytes or -1,
        "max_age": int((keep.max_age or 0) * SECOND),
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "duplicate_window": int(settings.window * SECOND),
    }


def nodes_config(names: Names, settings: NatsSettings) -> Json:
    """Return how the stream is set that holds the latest beat of each node."""
    return {
        **_config(names.nodes, names.node("*"), settings),
        "max_msgs_per_subject": 1,
        "duplicate_window": SECOND,
        "allow_msg_ttl": True,
    }


def _config(name: str, subject: str, settings: NatsSettings) -> Json:
    return {
        "name": name,
        "subjects": [subject],
        "retention": "limits",
        "discard": "old",
        "storage": settings.storage,
        "num_replicas": settings.replicas,
        "allow_direct": True,
    }


def differences(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> Json:
    """Return the settings of a stream that are not as wanted, as they are."""
    also = {key: present[key] for key in ("mirror", "sources", "sealed") if present.get(key)}
    return also | {key: present.get(key) for key in wanted if present.get(key) != wanted[key]}


def bounds_of(info: Mapping[str, Any], epoch: str) -> Bounds:
    """Return what a stream's ``state`` says is kept."""
    state = info["state"]
    last = state["last_seq"]
    mark = mark_of(state["last_ts"]) if last else None
    return Bounds(epoch, max(state["first_seq"], 1), last, mark)


# Records --------------------------------------------------------------------------------------


def pack_topics(topics: tuple[str, ...]) -> bytes:
    """Return the first line of a message."""
    return json.dumps(topics, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def pack_key(key: str) -> str:
    """Return a key as a header carries it: any two keep their difference."""
    return quote(key, safe="")


def size_of(publication: Publication) -> int:
    """Return how many bytes the server counts for it."""
    key = HEADER + len(pack_key(publication.key or 16 * "k"))
    return key + len(pack_topics(publication.topics)) + len(publication.payload)


def record_of(names: Names, headers: Mapping[str, str], data: bytes) -> Record:
    """Return the record of a message of the log; one that is not ours has no topics.

    Raises:
        InvalidPosition: it is of no epoch.

    """
    epoch = names.epoch(headers["Nats-Subject"]) or ""
    mark = mark_of(headers["Nats-Time-Stamp"])
    position = Position(epoch, int(headers["Nats-Sequence"]), mark)
    line, newline, payload = data.partition(b"\n")
    topics = _unpack_topics(line) if newline else ()
    if not topics:
        # No payload of ours begins like this: it is counted as malformed, and keeps its offset.
        return Record(position, (), b"foreign: " + data[:80])
    return Record(position, topics, payload)


def _unpack_topics(line: bytes) -> tuple[str, ...]:
    """Return the topics of a message; none, if they are not ours."""
    try:
        parsed: object = json.loads(line)
        topics = cast("list[object]", parsed) if isinstance(parsed, list) else []
        return tuple(map(check_topic, topics))
    except (ValueError, RecursionError):  # the second where somebody nests lists by the thousand
        return ()


# Marks ----------------------------------------------------------------------------------------


def nanoseconds(stamp: str) -> int:
    """Return the time (since 1970) of a time stamp of the server's: RFC 3339, UTC."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * SECOND + int(fraction.ljust(9, "0"))


def mark_of(stamp: str) -> str:
    """Return the mark of the record that was stored then."""
    return f"{nanoseconds(stamp):x}"


def moment_after(mark: str) -> str | None:
    """Return the first moment after a record was stored, as the server takes it.

    None: that is no mark of ours; any client may send any.
    """
    if not MARK.fullmatch(mark):
        return None
    seconds, fraction = divmod(int(mark, 16) + 1, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
