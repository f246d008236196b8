"""The settings that every engine's transport has, and how its address is shown."""

from __future__ import annotations

from typing import Annotated, Self, TypedDict

from pydantic import Field, model_validator

from sse_kit.config import Retention, Seconds, Settings
from sse_kit.errors import InvalidSetting


class LogSettings(Settings):
    """What every engine's settings have.

    ``namespace`` names the log: transports of one namespace share one. ``dedup_window`` is for how
    long a key is remembered, and must be longer than ``publish_timeout``, for which a publish is
    tried; ``request_timeout`` is for one answer of the engine; ``connect_timeout`` for how long
    entering waits for an engine that does not answer: 0 tries once, None waits for ever.
    """

    namespace: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")] = "sse"
    retention: Retention = Retention()
    dedup_window: Seconds = 120.0
    publish_timeout: Seconds = 10.0
    request_timeout: Seconds = 2.0
    connect_timeout: Annotated[float, Field(ge=0)] | None = 5.0

    @property
    def window(self) -> float:
        """Seconds for which a key is remembered, if anything else bounds them too."""
        return self.dedup_window

    @model_validator(mode="after")
    def _keys_outlive_retries(self) -> Self:
        if self.window <= self.publish_timeout:
            problem = f"is not longer than publish_timeout, {self.publish_timeout:g} s"
            remedy = "make it longer, or that one shorter: else a retry could be stored twice"
            # What the engine forgets with its record is as short as that is kept.
            bound = "dedup_window" if self.window == self.dedup_window else "retention.max_age"
            raise InvalidSetting(bound, self.window, problem, remedy)
        return self


class LogOptions(TypedDict, total=False):
    """The settings of :class:`LogSettings`, as keyword arguments."""

    namespace: str
    retention: Retention
    dedup_window: float
    publish_timeout: float
    request_timeout: float
    connect_timeout: float | None


def redacted(url: str) -> str:
    """Return ``url`` as it may be logged: without its password, also if it is no URL."""
    head, at, place = url.rpartition("@")
    scheme, separator, user = head.rpartition("://")
    name, colon, _ = user.partition(":")
    return f"{scheme}{separator}{name}{colon and ':***'}{at}{place}"
