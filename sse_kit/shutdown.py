"""Knowing that the server was told to stop.

ASGI has no word for it: uvicorn, hypercorn and granian wait for running responses before they run
the lifespan's shutdown, so a stream that waits for that never ends. While streams are open, this
module chains the handlers of SIGTERM and SIGINT (the server's own handler runs as before; ours is
taken out when the last stream is gone), and watches the event that hypercorn gives its worker
processes instead of a signal.

There is one :class:`StopWatch` per run of an event loop, kept in a ``RunVar``: nothing here
outlives its loop or is shared between loops. Handlers can be chained in the main thread only;
elsewhere call ``registry.close()`` when the server stops.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from anyio.lowlevel import EventLoopToken, RunVar, current_token

from sse_kit.stalled import end_full

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from sse_kit.stalled import Line

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

GRACE = 1.0
"""Seconds that clients get to take what is left when the server stops."""

LINGER = 10.0
"""Seconds for which a stop is remembered: a request accepted before it may start its stream after
it, but a process that lives on (a notebook's Ctrl-C) must be able to stream again."""

POLL = 0.1
"""Seconds between two looks at hypercorn's event: were it waited for, a killed worker would block
the main process when that sets it."""


@runtime_checkable
class _Event(Protocol):
    def is_set(self) -> bool: ...


def call_soon(token: EventLoopToken, callback: Callable[[], object]) -> None:
    """Have ``callback`` called in the loop of ``token``; from any thread, also from a signal.

    Raises:
        RuntimeError: the loop has ended.

    """
    native: Any = token.native_token
    if hasattr(native, "run_sync_soon"):
        native.run_sync_soon(callback)
    else:
        native.call_soon_threadsafe(callback)


class _Link:
    """A handler in the chain of one signal: tells us, then goes on to the previous one.

    Who set a handler after us may call this one for ever, so it goes on also when it was taken out.
    The default action ends the process, so the first time it waits until the streams are closed.
    """

    def __init__(self, number: int, told: Callable[[], None]) -> None:
        self._number = number
        self._told: Callable[[], None] | None = told
        self._due = False
        self._previous: Any = signal.getsignal(number)
        # None: set by C code, which cannot be called from here.
        if self._previous is not None:
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        told, again = self._told, self._due
        if told is not None:
            told()
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous == signal.SIG_DFL:
            self._due = True
            if told is None or again:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

    def server_stops(self) -> bool:
        """Tell whether uvicorn's handler, if that is the previous one, was called before ours."""
        return getattr(getattr(self._previous, "__self__", None), "should_exit", False) is True

    def take_out(self) -> bool:
        """Leave the chain; tell whether the default action is due."""
        self._told = None
        current: object = signal.getsignal(self._number)
        # Who set a handler after us keeps it, and a server that has restored its own.
        if current is self:
            signal.signal(self._number, self._previous)
        return self._due


class Stream(Protocol):
    """What is told that the server stops."""

    @property
    def line(self) -> Line | None:
        """The connection under it; None: it is not one response, but lives as long as the app."""
        ...

    def stop(self) -> None:
        """End it; called in the event loop."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    line: Line | None
    stop: Callable[[], None]


class StopWatch:
    """The open streams of one event loop, and what tells them that the server stops."""

    def __init__(self) -> None:
        self._token = current_token()
        self._streams: dict[Stream, None] = {}
        self._chain: dict[int, _Link] = {}
        self._stopped_at: float | None = None
        self._worker_event = _hypercorn_event()
        self._idle = threading.Event()

    @property
    def stopped(self) -> bool:
        """Tell whether the server was told to stop, just now or before its first stream."""
        if self._worker_event is not None and self._worker_event.is_set():
            return True
        if any(link.server_stops() for link in self._chain.values()):
            return True
        return self._stopped_at is not None and time.monotonic() - self._stopped_at < LINGER

    def add(self, stream: Stream) -> None:
        """Watch for one more, told at once if it comes late; the first one brings the handlers."""
        if not self._streams:
            self._watch_signals()
            self._watch_hypercorn()
        self._streams[stream] = None
        if stream.line is not None and self.stopped:
            stream.stop()

    def discard(self, stream: Stream) -> None:
        """Watch for one less; the last one takes the handlers away."""
        del self._streams[stream]
        if not self._streams:
            self._idle.set()
            due = [number for number, link in self._chain.items() if link.take_out()]
            self._chain.clear()
            for number in due:
                self._call_soon(partial(signal.raise_signal, number))

    def stop(self) -> None:
        """End all streams, and later the connections that still take nothing; in the loop."""
        streams = list(self._streams)
        for stream in streams:
            stream.stop()
        lines = [line for stream in streams if (line := stream.line) is not None]
        self._later(partial(end_full, lines))

    def _watch_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._chain = {number: _Link(number, self._on_signal) for number in SIGNALS}

    def _watch_hypercorn(self) -> None:
        if self._worker_event is not None:
            self._idle = threading.Event()
            arguments = (self._worker_event, self._idle)
            threading.Thread(target=self._look, args=arguments, daemon=True).start()

    def _look(self, event: _Event, idle: threading.Event) -> None:
        while not idle.wait(POLL):
            if event.is_set():
                self._call_soon(self.stop)
                return

    def _on_signal(self) -> None:
        self._stopped_at = time.monotonic()
        self._call_soon(self.stop)

    def _later(self, callback: Callable[[], None]) -> None:
        # A thread, because event loops have no common way to say it where no task runs.
        timer = threading.Timer(GRACE, self._call_soon, (callback,))
        timer.daemon = True
        timer.start()

    def _call_soon(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it every stream
            call_soon(self._token, callback)


_watch: RunVar[StopWatch] = RunVar("sse_kit_stop_watch")


def _hypercorn_event() -> _Event | None:
    """Return the event that hypercorn passes to its worker processes, if this is one."""
    arguments: object = getattr(multiprocessing.current_process(), "_kwargs", None)
    match arguments:
        case {"shutdown_event": _Event() as event}:
            return event
        case _:
            return None


def stop_watch() -> StopWatch:
    """Return that of the running event loop."""
    try:
        return _watch.get()
    except LookupError:
        watch = StopWatch()
        _watch.set(watch)
        return watch


@contextmanager
def on_server_stop(
    end: Callable[[], None], line: Line | None = None
) -> Generator[None, None, None]:
    """Have ``end`` called once the server is told to stop.

    ``line`` is the connection of a stream: that is told at once if it comes late, and its
    connection is ended somewhat later if its client has stalled.
    """
    watch, stream = stop_watch(), _Block(line, end)
    watch.add(stream)
    try:
        yield
    finally:
        watch.discard(stream)
