"""Knowing that the server stops: signals, what hypercorn has instead, and what is put back."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import EventLoopToken, current_token

from sse_kit import shutdown
from sse_kit.shutdown import SIGNALS, call_soon, on_server_stop, stop_watch
from sse_kit.stalled import Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import FrameType

    from sse_kit.testing.call import Message

pytestmark = pytest.mark.anyio

PATIENCE = 5.0
BACKENDS = ["asyncio", "trio"]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[list[int]]:
    """Handle the signals as a server does, noting them; afterwards put back what was there."""
    handled: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        handled.append(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    yield handled
    for number, handler in before.items():
        signal.signal(number, handler)


class Stream:
    """A stream that notes when it is told to end."""

    def __init__(self) -> None:
        self.told = 0
        self._event = anyio.Event()

    def end(self) -> None:
        self.told += 1
        self._event.set()

    def open(self) -> AbstractContextManager[None]:
        return on_server_stop(self.end, Line({"type": "http"}, receive))

    async def ended(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self._event.wait()


async def receive() -> Message:
    raise NotImplementedError


# Signals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_ends_every_stream(number: signal.Signals, handlers: list[int]) -> None:
    """And the server's own handler runs, once."""
    streams = [Stream() for _ in range(3)]
    with ExitStack() as stack:
        for stream in streams:
            stack.enter_context(stream.open())
        signal.raise_signal(number)
        for stream in streams:
            await stream.ended()
    assert [stream.told for stream in streams] == [1, 1, 1]
    assert handlers == [number]


async def test_a_second_signal_reaches_the_server_too(handlers: list[int]) -> None:
    """For uvicorn it means: now."""
    stream = Stream()
    with stream.open():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        await stream.ended()
    assert handlers == [signal.SIGINT, signal.SIGINT]


async def test_handlers_are_there_while_a_stream_is_open() -> None:
    """From the first stream to the last, then it is as before."""
    before = [signal.getsignal(number) for number in SIGNALS]
    first, second = Stream(), Stream()
    with first.open():
        with second.open():
            assert [signal.getsignal(number) for number in SIGNALS] != before
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_importing_changes_no_handler() -> None:
    """Only streams do."""
    code = (
        "import signal; before = signal.getsignal(15); import sse_kit; sse_kit.ConnectionRegistry; "
        "assert signal.getsignal(15) is before"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


async def test_who_set_a_handler_meanwhile_keeps_it(handlers: list[int]) -> None:
    """It may call ours for ever, which goes on to the server's, and tells streams no more."""
    stream = Stream()
    with stream.open():
        ours = signal.getsignal(signal.SIGTERM)

        def theirs(number: int, frame: FrameType | None) -> None:
            assert callable(ours)
            ours(number, frame)

        signal.signal(signal.SIGTERM, theirs)
    assert signal.getsignal(signal.SIGTERM) is theirs
    signal.raise_signal(signal.SIGTERM)
    await anyio.wait_all_tasks_blocked()
    assert handlers == [signal.SIGTERM]
    assert stream.told == 0


async def test_a_chain_that_grew_meanwhile_has_no_end_in_itself(handlers: list[int]) -> None:
    """Streams after that hear of the signal, and each handler is called once."""
    with Stream().open():
        ours = signal.getsignal(signal.SIGTERM)
        seen: list[int] = []

        def theirs(number: int, frame: FrameType | None) -> None:
            seen.append(number)
            assert callable(ours)
            ours(number, frame)

        signal.signal(signal.SIGTERM, theirs)
    stream = Stream()
    with stream.open():
        signal.raise_signal(signal.SIGTERM)
        await stream.ended()
    assert (stream.told, seen, handlers) == (1, [signal.SIGTERM], [signal.SIGTERM])


async def test_a_server_that_restored_its_handlers_keeps_them() -> None:
    """Ours is not put back over them."""
    with Stream().open():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


async def test_an_ignored_signal_still_ends_the_streams() -> None:
    """Hypercorn's workers ignore SIGINT; there is no handler to go on to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stream = Stream()
    with stream.open():
        signal.raise_signal(signal.SIGINT)
        await stream.ended()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


DEFAULT_ACTION = """
import os, signal, sys
import anyio
from sse_kit.shutdown import on_server_stop
from sse_kit.stalled import Line

async def main():
    ended = anyio.Event()
    with on_server_stop(ended.set, Line({}, None)):
        for _ in range(int(sys.argv[2])):
            os.kill(os.getpid(), signal.SIGTERM)
        await ended.wait()
        await anyio.sleep(0.01)
        print("cleaned up", flush=True)
    await anyio.sleep(10)

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize(("signals", "output"), [(1, b"cleaned up\n"), (2, b"")])
async def test_the_default_action_waits_for_the_streams(
    anyio_backend_name: str, signals: int, output: bytes
) -> None:
    """The process ends by the signal, after the cleanups; a second signal does not wait."""
    command = [sys.executable, "-c", DEFAULT_ACTION, anyio_backend_name, str(signals)]
    done = await to_thread.run_sync(
        lambda: subprocess.run(command, check=False, capture_output=True, timeout=30)
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, output, b"")


async def test_who_hears_of_a_stop_otherwise_may_tell_all() -> None:
    """As ``registry.close()`` does, for servers that get no signal; it is not remembered."""
    first, second = Stream(), Stream()
    with first.open(), second.open():
        stop_watch().stop()
        assert (first.told, second.told) == (1, 1)
        late = Stream()
        with late.open():
            assert late.told == 0


async def test_who_is_no_stream_is_told_only_of_what_comes() -> None:
    """A registry that is entered again after a stop is meant to work."""
    with Stream().open():
        signal.raise_signal(signal.SIGTERM)
        told: list[str] = []
        with on_server_stop(lambda: told.append("told")):
            assert told == []
            signal.raise_signal(signal.SIGTERM)
            await anyio.wait_all_tasks_blocked()
    assert told


# Remembering ------------------------------------------------------------------------------------


async def test_a_stream_that_starts_after_the_stop_ends_at_once() -> None:
    """Its request may have been accepted before."""
    with Stream().open():
        signal.raise_signal(signal.SIGTERM)
        late = Stream()
        with late.open():
            assert late.told == 1


async def test_uvicorn_s_stop_is_seen_by_its_first_stream(handlers: list[int]) -> None:
    """Its request was accepted before, and nobody listened yet."""

    class Server:
        should_exit = False

        def handle_exit(self, number: int, _: FrameType | None) -> None:
            handlers.append(number)
            self.should_exit = True

    signal.signal(signal.SIGTERM, Server().handle_exit)
    signal.raise_signal(signal.SIGTERM)
    stream = Stream()
    with stream.open():
        assert stream.told == 1
    assert handlers == [signal.SIGTERM]


async def test_a_process_that_lives_on_may_stream_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's Ctrl-C is no end for ever."""
    with Stream().open():
        signal.raise_signal(signal.SIGTERM)
    later = time.monotonic() + shutdown.LINGER
    monkeypatch.setattr(time, "monotonic", lambda: later)
    stream = Stream()
    with stream.open():
        assert stream.told == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_run_of_a_loop_has_its_own_memory(backend: str) -> None:
    """A stop is nothing to the next run (F4)."""

    async def stopped() -> None:
        stream = Stream()
        with stream.open():
            signal.raise_signal(signal.SIGTERM)
            await stream.ended()

    async def running() -> None:
        stream = Stream()
        with stream.open():
            assert stream.told == 0

    anyio.run(stopped, backend=backend)
    anyio.run(running, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_signal_after_the_loop_ended_is_the_server_s_alone(
    backend: str, handlers: list[int]
) -> None:
    """A loop that was left with a stream open has nobody to tell."""
    stack = ExitStack()

    async def leaves_one_open() -> None:
        stack.enter_context(Stream().open())

    anyio.run(leaves_one_open, backend=backend)
    signal.raise_signal(signal.SIGTERM)
    assert handlers == [signal.SIGTERM]
    stack.close()


# Other threads ----------------------------------------------------------------------------------


async def test_in_another_thread_no_handler_is_touched(anyio_backend_name: str) -> None:
    """It could not be; ``registry.close()`` is for that."""
    before = [signal.getsignal(number) for number in SIGNALS]

    async def elsewhere() -> None:
        with Stream().open():
            assert [signal.getsignal(number) for number in SIGNALS] == before

    await to_thread.run_sync(lambda: anyio.run(elsewhere, backend=anyio_backend_name))


async def test_call_soon_works_from_any_thread() -> None:
    """The callback runs in the loop."""
    token, here = current_token(), threading.get_ident()
    ran: list[int] = []
    done = anyio.Event()

    def callback() -> None:
        ran.append(threading.get_ident())
        done.set()

    await to_thread.run_sync(call_soon, token, callback)
    with anyio.fail_after(PATIENCE):
        await done.wait()
    assert ran == [here]


async def test_call_soon_says_that_a_loop_has_ended(anyio_backend_name: str) -> None:
    """With a ``RuntimeError``, on both backends."""

    async def short() -> EventLoopToken:
        return current_token()

    token = await to_thread.run_sync(lambda: anyio.run(short, backend=anyio_backend_name))
    with pytest.raises(RuntimeError):
        call_soon(token, print)


# Hypercorn --------------------------------------------------------------------------------------


@pytest.fixture
def worker_event(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Be a worker process of hypercorn."""
    event = threading.Event()
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_kwargs", {"shutdown_event": event}, raising=False)
    return event


async def test_hypercorn_s_event_ends_every_stream(worker_event: threading.Event) -> None:
    """Its workers get no signal."""
    stream = Stream()
    with stream.open():
        worker_event.set()
        await stream.ended()
    assert stream.told == 1


async def test_hypercorn_s_event_is_seen_by_late_streams(worker_event: threading.Event) -> None:
    """At once, without a look by the watching thread."""
    with Stream().open():
        worker_event.set()
        late = Stream()
        with late.open():
            assert late.told == 1


async def test_nobody_watches_hypercorn_without_streams(worker_event: threading.Event) -> None:
    """The thread ends with the last stream, and there is a new one for the next."""
    for _ in range(2):
        before = set(threading.enumerate())
        with Stream().open():
            (watcher,) = set(threading.enumerate()) - before
        watcher.join(PATIENCE)
        assert not watcher.is_alive()
    assert not worker_event.is_set()


@pytest.mark.parametrize("arguments", [None, {}, {"shutdown_event": None}, ["shutdown_event"]])
async def test_other_processes_have_no_such_event(
    monkeypatch: pytest.MonkeyPatch, arguments: object
) -> None:
    """Nothing of it is taken for granted."""
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_kwargs", arguments, raising=False)
    stream = Stream()
    with stream.open():
        assert stream.told == 0
