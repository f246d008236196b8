"""Settings: frozen pydantic models, refused outside their range where they are made.

Times are seconds unless the name or the field says milliseconds; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable  # noqa: TC003  pydantic reads them
from typing import Annotated, Any, TypeAlias, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sse_kit.errors import InvalidSetting
from sse_kit.messages import MAX_RETRY, SSEMessage

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Milliseconds = Annotated[int, Field(ge=0, le=MAX_RETRY)]


class Settings(BaseModel):
    """Base: strict, frozen, no unknown field.

    Raises:
        InvalidSetting: a value outside its range.

    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidSetting.from_pydantic(error) from error


class Retention(Settings):
    """How much of its history a transport keeps: the tightest bound wins, None is no bound."""

    max_records: Count | None = 10_000
    max_bytes: Count | None = 64 * 1024 * 1024
    max_age: Seconds | None = None


class StreamSettings(Settings):
    """How a response is written.

    ``heartbeat`` is how long a stream may be silent (proxies cut at 30 to 60 s, so at most 15 is
    wise); ``retry`` the least reconnection time told to clients, in milliseconds, each is told
    between one and one and a half of it; ``send_timeout`` how long one write may take before the
    client counts as gone.
    """

    heartbeat: Seconds = 15.0
    retry: Milliseconds = 2_000
    send_timeout: Seconds = 30.0


class RegistrySettings(StreamSettings):
    """How a registry keeps its connections.

    ``queue_size`` and ``queue_bytes`` bound what waits for one connection; ``ring_size`` and
    ``ring_bytes`` what the process keeps for clients that come back; ``max_connections`` streams
    beyond which new ones are sent away; ``max_lifetime`` after which a stream is asked to come
    again; ``presence_lease`` for how long this process is counted in the cluster after it crashed.
    """

    queue_size: Count = 100
    queue_bytes: Count = 1024 * 1024
    ring_size: Count = 4_096
    ring_bytes: Count = 16 * 1024 * 1024
    max_connections: Count | None = None
    max_lifetime: Seconds | None = None
    presence_lease: Seconds = 15.0


class CatchUp(Settings):
    """What to do when a queue is full: nothing is lost.

    The client reads on from the ring, or from the transport's history, at its own speed.
    """


class DropOldest(Settings):
    """What to do when a queue is full: drop the oldest message that may be dropped."""


class NewestOnly(Settings):
    """Of the messages that wait, keep the newest for each key; when full, drop the oldest.

    ``key`` gives the key of a message, within its event name; None: one for each set of topics.
    """

    key: Callable[[SSEMessage], Hashable] | None = None


class Disconnect(Settings):
    """What to do when a queue is full: end the stream, with the reason ``overflow``.

    The client comes back with its last id, and has lost nothing.
    """


Overflow: TypeAlias = CatchUp | DropOldest | NewestOnly | Disconnect
"""What happens when more than ``queue_size`` or ``queue_bytes`` waits for a client."""


def check_queue(size: int, size_in_bytes: int) -> None:
    """Refuse bounds that are none; cheap for those that are, for it is asked for every connection.

    Raises:
        InvalidSetting: one that is not an integer of at least 1.

    """
    if type(size) is not int or type(size_in_bytes) is not int or min(size, size_in_bytes) < 1:
        RegistrySettings(queue_size=size, queue_bytes=size_in_bytes)


class DrainSettings(Settings):
    """How a registry sends its clients away: ``spread`` is over how long they come back."""

    spread: Annotated[float, Field(ge=0, le=24 * 60 * 60)] = 5.0
    timeout: Annotated[float, Field(ge=0)] = 10.0


class Options(TypedDict, total=False):
    """The further settings of a registry: see :class:`RegistrySettings`."""

    retry: int
    send_timeout: float
    queue_size: int
    queue_bytes: int
    ring_size: int
    ring_bytes: int
    max_connections: int | None
    max_lifetime: float | None
    presence_lease: float
