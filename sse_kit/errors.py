"""Every error of sse_kit, as one tree.

Fields go in, ``__str__`` writes the sentence: it names the value and says what to do about it.

::

    SSEKitError
    ├── InvalidInput (ValueError)         your fault: a value that cannot be used
    │   ├── InvalidMessage                  a message that the event stream cannot carry
    │   │   └── NotPublishable                a valid message that the log may not hold
    │   ├── InvalidTopic                    a topic with CR, LF or NUL, or an empty one
    │   ├── InvalidPosition                 an epoch or an offset outside the grammar
    │   ├── InvalidSetting                  a setting outside its range
    │   └── PayloadTooLarge                 more bytes than the transport takes
    ├── Misuse (RuntimeError)             your fault: a call that cannot be made now
    │   ├── IllegalMove                     a state that cannot follow the present one
    │   ├── RegistryNotRunning              the registry was not entered
    │   ├── RegistryRunning                 the registry was entered twice
    │   ├── TransportNotRunning             the transport was not entered
    │   ├── DuplicateConnection             a connection id that is in use
    │   ├── UnknownConnection (LookupError) a connection id that nobody has
    │   ├── NoPresence                      a transport that cannot count across processes
    │   ├── WrongEventLoop                  a transport whose client runs on asyncio only
    │   ├── WrongThread                     a blocking call from the event loop's own thread
    │   └── BadTemplate                     a script whose file and config don't fit each other
    ├── MissingExtra (ImportError)        your fault: an optional package is not installed
    ├── ProtocolError                     their fault: the peer's stream
    │   ├── LineTooLong                     a line over the limit
    │   ├── EventTooLong                    an event over the limit
    │   └── MalformedPayload                a record that is not one of ours
    └── TransportError                    their fault: the engine
        ├── PublishFailed                   not known to be stored
        ├── EngineUnavailable               no answer, or one that is none
        └── EngineRefused                   the engine said no: trying again is of no use
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python prints no int of more than 4,300 digits
            return f"<int of {x.bit_length()} bits>"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return self.repr_instance(x[: self.maxother], level)


_REPR = _Repr()
_REPR.maxstring = _REPR.maxother = 80


class SSEKitError(Exception):
    """The root: ``except SSEKitError`` catches all that sse_kit raises by itself."""


class InvalidInput(SSEKitError, ValueError):
    """A value that cannot be used: refused where it is given, before anything is sent."""

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(field, value, problem, remedy)
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy

    @classmethod
    def from_pydantic(cls, error: ValidationError) -> InvalidInput:
        """Unwrap what a validator of ours raised, or tell pydantic's own finding in our words."""
        first = error.errors(include_url=False)[0]
        raised = first.get("ctx", {}).get("error")
        if isinstance(raised, InvalidInput):
            return raised
        field = ".".join(map(str, first["loc"])) or error.title
        return cls(field, first["input"], "is not valid", first["msg"])

    def __str__(self) -> str:
        return f"{self.field}={_REPR.repr(self.value)} {self.problem}: {self.remedy}"


class InvalidMessage(InvalidInput):
    """A message that the event stream cannot carry (HTML standard, section 9.2.5)."""


class NotPublishable(InvalidMessage):
    """A message that is valid on a stream, but may not enter the log."""


class InvalidTopic(InvalidInput):
    """A topic that is empty or holds CR, LF, NUL or a lone surrogate."""


class InvalidPosition(InvalidInput):
    """An epoch, offset or mark outside the grammar of :class:`~sse_kit.Position`."""


class InvalidSetting(InvalidInput):
    """A setting outside its range."""


class PayloadTooLarge(InvalidInput):
    """More bytes than the transport takes; nothing was sent."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("payload", size, f"bytes are over {limit}", "publish a link to the data")
        self.args = (size, limit)
        self.size = size
        self.limit = limit


class Misuse(SSEKitError, RuntimeError):
    """A call that cannot be made now, or from here."""


class IllegalMove(Misuse):
    """A connection state that cannot follow the present one; the states did not change."""

    def __init__(self, role: str, source: str, target: str) -> None:
        super().__init__(role, source, target)
        self.role = role
        self.source = source
        self.target = target

    def __str__(self) -> str:
        return (
            f"a {self.role} connection cannot go from {self.source!r} to {self.target!r}: "
            f"sse_kit.states.MOVES lists what can follow"
        )


class RegistryNotRunning(Misuse):
    """The call needs the log, and the registry was not entered."""

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call

    def __str__(self) -> str:
        return (
            f"{self.call} needs a running registry: pass lifespan=registry.lifespan to the app, "
            f"or use 'async with registry'"
        )


class RegistryRunning(Misuse):
    """The registry is entered already; one ``async with`` at a time."""

    def __str__(self) -> str:
        return "this registry is running already: leave it before entering it again"


class TransportNotRunning(Misuse):
    """The transport was not entered."""

    def __str__(self) -> str:
        return "this transport is not running: a registry enters its own, else 'async with' it"


class DuplicateConnection(Misuse):
    """A connection with this id exists."""

    def __init__(self, connection_id: str) -> None:
        super().__init__(connection_id)
        self.connection_id = connection_id

    def __str__(self) -> str:
        return (
            f"connection {self.connection_id!r} exists: remove it first, or leave the id out "
            f"and one is made"
        )


class UnknownConnection(Misuse, LookupError):
    """No connection of this process has this id."""

    def __init__(self, connection_id: str) -> None:
        super().__init__(connection_id)
        self.connection_id = connection_id

    def __str__(self) -> str:
        return (
            f"no connection {self.connection_id!r} in this process: to reach a client wherever it "
            f"is, publish to a topic of its own"
        )


class NoPresence(Misuse):
    """The transport cannot count across processes."""

    def __init__(self, transport: str) -> None:
        super().__init__(transport)
        self.transport = transport

    def __str__(self) -> str:
        return (
            f"{self.transport!r} cannot count across processes: give it the methods of "
            f"SupportsPresence, or use get_stats() for this process alone"
        )


class WrongEventLoop(Misuse):
    """The client of this transport's engine runs on asyncio, and this is another event loop."""

    def __init__(self, transport: str, client: str) -> None:
        super().__init__(transport, client)
        self.transport = transport
        self.client = client

    def __str__(self) -> str:
        return (
            f"{self.transport!r} runs on asyncio only, for {self.client} does: enter it there, or "
            f"use a transport for any event loop, such as RedisTransport"
        )


class WrongThread(Misuse):
    """A blocking call from the thread that runs the event loop: it would wait for itself."""

    def __init__(self, call: str, instead: str) -> None:
        super().__init__(call, instead)
        self.call = call
        self.instead = instead

    def __str__(self) -> str:
        return f"{self.call} blocks, and this is the event loop's own thread: {self.instead}"


class BadTemplate(Misuse):
    """A script's file and its config model don't fit each other."""

    def __init__(self, asset: str, problem: str) -> None:
        super().__init__(asset, problem)
        self.asset = asset
        self.problem = problem

    def __str__(self) -> str:
        return f"script template {self.asset!r} {self.problem}"


class MissingExtra(SSEKitError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra)
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.package!r} is not installed: pip install 'sse-kit[{self.extra}]'"


class ProtocolError(SSEKitError):
    """The peer sent what we don't take."""


class LineTooLong(ProtocolError):
    """A line of a received stream is over the decoder's limit; the decoder is closed."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"a line of the stream is over {self.limit} bytes: raise StreamDecoder(max_line=…) "
            f"if the server is trusted"
        )


class EventTooLong(ProtocolError):
    """An event of a received stream is over the decoder's limit; the decoder is closed."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"an event of the stream is over {self.limit} bytes: raise StreamDecoder(max_event=…) "
            f"if the server is trusted"
        )


class MalformedPayload(ProtocolError):
    """A record of the log whose payload is not a message of a version we know."""

    def __init__(self, payload: bytes, problem: str) -> None:
        super().__init__(payload, problem)
        self.payload = payload
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"payload {_REPR.repr(self.payload)} {self.problem}: it is skipped, its offset is not"
        )


class TransportError(SSEKitError):
    """The engine behind a transport failed."""


class PublishFailed(TransportError):
    """Not known to be stored: publish again with the same key, it is stored once."""

    def __init__(self, key: str | None, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"publication {self.key!r} is not known to be stored ({self.reason}): "
            f"publish again with the same key, it is stored once"
        )


class EngineUnavailable(TransportError):
    """The engine did not answer, in time or at all; it may later."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the engine at {self.address!r} does not answer ({self.reason}): "
            f"see that it runs and can be reached from here"
        )


class EngineRefused(TransportError):
    """The engine said no; ``remedy`` completes "the engine … refused (…): "."""

    def __init__(self, address: str, reason: str, remedy: str) -> None:
        super().__init__(address, reason, remedy)
        self.address = address
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"the engine at {self.address!r} refused ({self.reason}): {self.remedy}"
