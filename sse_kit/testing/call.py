"""One call of an ASGI app in a task of its own, every wait for it bounded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import anyio
from anyio import lowlevel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping

    Scope: TypeAlias = MutableMapping[str, Any]
    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ProbeError(AssertionError):
    """The app did not do what the test waits for; ``call`` names it, as its task is named."""

    def __init__(self, call: str, problem: str) -> None:
        super().__init__(call, problem)
        self.call = call
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.call}: {self.problem}"


class Silence(ProbeError):
    """Nothing came within the timeout."""


class StreamEnded(ProbeError):
    """The response came to its end before what the test waits for."""


class NotStarted(ProbeError):
    """The response has no status and no headers yet."""


class WrongMessage(ProbeError):
    """The app sent what it may not send now: ASGI servers raise for it too."""


class AppStillRunning(ProbeError):
    """The app did not return within the timeout after it was told to; it was cancelled."""


def unwrapped(error: Exception) -> Exception:
    """Return the one error inside groups of one, else ``error``."""
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return unwrapped(group.exceptions[0]) if len(group.exceptions) == 1 else group
    return error


class Call(ABC):
    """The app's side of a scope: what it may receive, what it sends, how it ends.

    A subclass says what is received and sent, and what it means to ``leave``.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self.name = name
        self.returned = False
        self._timeout = timeout
        self._failure: Exception | None = None
        self._changed = anyio.Event()

    @abstractmethod
    async def receive(self) -> Message:
        """Give the app its next message."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Take a message of the app."""

    @abstractmethod
    def leave(self) -> None:
        """Tell the app that it is over."""

    async def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until ``happened()``, at most the timeout.

        Raises:
            Exception: what the app raised, if it did.
            StreamEnded: the app returned before.
            Silence: it did not happen in time.

        """
        with anyio.move_on_after(self._timeout):
            while not happened():
                self.raise_failure()
                if self.returned:
                    raise StreamEnded(self.name, f"the app returned before {what}")
                await self._change()
            return
        raise Silence(self.name, f"no {what} came within {self._timeout} s")

    async def finished(self) -> None:
        """Wait until the app returned or raised, at most the timeout.

        Raises:
            AppStillRunning: it did neither.

        """
        with anyio.move_on_after(self._timeout):
            while not self.returned:
                await self._change()
            return
        problem = f"the app's task was still running {self._timeout} s after it was told to end"
        raise AppStillRunning(self.name, problem)

    def raise_failure(self) -> None:
        """Raise what the app raised, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Call the app; what it raises is kept for the test."""
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001  it surfaces where the test waits, or at the end
            self._failure = unwrapped(error)
        finally:
            self.returned = True
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    async def _pass(self, may: Callable[[], bool]) -> None:
        """Hold the app until it may go on, unbounded; always lets others run."""
        await lowlevel.checkpoint()
        while not may():
            await self._change()


class Lifespan(Call):
    """The app's lifespan, entered and left like a server does."""

    def __init__(self, timeout: float) -> None:
        super().__init__("lifespan", timeout)
        self._asked = self._started = self._leaving = False

    async def started(self) -> None:
        """Wait until the app has started; raises as ``until``."""
        await self.until(lambda: self._started, "lifespan.startup.complete")

    def leave(self) -> None:
        """Tell the app to shut down."""
        self._leaving = True
        self._notify()

    async def receive(self) -> Message:
        """Give the startup, and the shutdown when it is time."""
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._pass(lambda: self._leaving)
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        """Take what the app says of itself."""
        kind: str = message["type"]
        if kind == "lifespan.startup.complete":
            self._started = True
            self._notify()
        elif kind.endswith(".failed"):
            # Most apps raise the cause next: then that is what the test sees.
            self._failure = ProbeError(self.name, f"{kind}: {message.get('message', '')}")


@asynccontextmanager
async def running(call: Call, app: ASGIApp, scope: Scope) -> AsyncGenerator[None]:
    """Run the app around the body; then leave it, and wait until it returned.

    The error of the body leaves as it is, else that of the app, else ``AppStillRunning``.
    """
    error: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call.run, app, scope, name=call.name)
        try:
            yield
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as raised:  # noqa: BLE001  the task group would wrap it
            error = raised
        error = await _left(call, error)
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error


async def _left(call: Call, error: BaseException | None) -> BaseException | None:
    """Leave; return the first error, with what else went wrong as a note."""
    call.leave()
    try:
        await call.finished()
        call.raise_failure()
    except Exception as late:  # noqa: BLE001  raised when the task group is over
        if error is None:
            return late
        error.add_note(f"and then: {late!r}")
    return error
