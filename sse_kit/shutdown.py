"""Knowing that the server was told to stop.

ASGI has no word for it: uvicorn, hypercorn and granian wait for running responses before they run
the lifespan's shutdown, so a stream that waits for that never ends. While streams are open, this
module chains the handlers of SIGTERM and SIGINT (the server's own handler runs as before; ours is
taken out when the last stream is gone), and watches the event that hypercorn gives its worker
processes instead of a signal.

There is one :class:`_StopWatch` per run of an event loop, kept in a ``RunVar``: nothing here
outlives its loop or is shared between loops. Handlers can be chained in the main thread only;
elsewhere call ``registry.close()`` when the server stops.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from anyio.lowlevel import EventLoopToken, RunVar, current_token

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

LINGER = 10.0
"""Seconds for which a stop is remembered: a request accepted before it may start its stream after
it, but a process that lives on (a notebook's Ctrl-C) must be able to stream again."""

POLL = 0.1
"""Seconds between two looks at hypercorn's event: were it waited for, a killed worker would block
the main process when that sets it."""


class _Event(Protocol):
    def is_set(self) -> bool: ...


def call_soon(token: EventLoopToken, callback: Callable[[], object]) -> None:
    """Have ``callback`` called in the loop of ``token``; from any thread, also from a signal."""
    native: Any = token.native_token
    if hasattr(native, "run_sync_soon"):
        native.run_sync_soon(callback)
    else:
        native.call_soon_threadsafe(callback)


class _StopWatch:
    """The open streams of one event loop, and what tells them that the server stops."""

    def __init__(self) -> None:
        self._token = current_token()
        self._streams: dict[object, Callable[[], None]] = {}
        self._previous: dict[int, Any] = {}
        self._stopped_at: float | None = None
        self._worker_event = _hypercorn_event()
        self._idle = threading.Event()

    @property
    def stopped(self) -> bool:
        """Tell whether the server was told to stop, just now."""
        if self._worker_event is not None and self._worker_event.is_set():
            return True
        return self._stopped_at is not None and time.monotonic() - self._stopped_at < LINGER

    def add(self, stream: object, end: Callable[[], None]) -> None:
        if not self._streams:
            self._chain()
            self._poll()
        self._streams[stream] = end

    def discard(self, stream: object) -> None:
        del self._streams[stream]
        if not self._streams:
            self._unchain()
            self._idle.set()

    def stop(self) -> None:
        """End all streams; runs in the loop."""
        for end in list(self._streams.values()):
            end()

    def _chain(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if previous is not None:
                # None: set by C code, which cannot be called from here.
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def _unchain(self) -> None:
        for number, previous in self._previous.items():
            # Somebody who set a handler after us, a server that has restored its own, keeps it.
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        self._previous.clear()

    def _poll(self) -> None:
        if self._worker_event is not None:
            self._idle = threading.Event()
            arguments = (self._worker_event, self._idle)
            threading.Thread(target=self._look, args=arguments, daemon=True).start()

    def _look(self, event: _Event, idle: threading.Event) -> None:
        while not idle.wait(POLL):
            if event.is_set():
                call_soon(self._token, self.stop)
                return

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopped_at = time.monotonic()
        try:
            call_soon(self._token, self.stop)
        except RuntimeError:
            logger.debug("signal %s after the event loop closed", number)
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


_watch: RunVar[_StopWatch] = RunVar("sse_kit_stop_watch")


def _hypercorn_event() -> _Event | None:
    """Return the event that hypercorn passes to its worker processes, if this is one."""
    arguments = getattr(multiprocessing.current_process(), "_kwargs", {})
    event = arguments.get("shutdown_event") if isinstance(arguments, dict) else None
    return event if hasattr(event, "is_set") else None


@contextmanager
def on_server_stop(end: Callable[[], None]) -> Generator[None, None, None]:
    """Have ``end`` called once the server is told to stop; at once, if it was already."""
    try:
        watch = _watch.get()
    except LookupError:
        watch = _StopWatch()
        _watch.set(watch)
    stream = object()
    watch.add(stream, end)
    try:
        if watch.stopped:
            end()
        yield
    finally:
        watch.discard(stream)
