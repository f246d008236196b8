"""The writer of one stream on asyncio: inline while ``send`` does not suspend.

It does what :class:`sse_kit.asgi.Responder` does, with one task instead of two, which sleeps in
``receive()`` until the client leaves. See :mod:`sse_kit.dispatch` for who writes.
"""

from __future__ import annotations

import asyncio
import math
import random
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

import anyio

from sse_kit.dispatch import HEARTBEAT_SPREAD, NEVER
from sse_kit.hands import first_step
from sse_kit.passthrough import innermost
from sse_kit.shutdown import GRACE
from sse_kit.stalled import Line, end_full
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from contextvars import Context

    from sse_kit.asgi import Message, Receive, Scope, Send
    from sse_kit.dispatch import Dispatcher
    from sse_kit.hands import Hand, Stage, Suspended
    from sse_kit.session import ConnectionSession


class InlineWriter:
    """One answer to one request, as :class:`sse_kit.asgi.Responder` gives it."""

    __slots__ = (
        "_dispatcher",
        "_expired",
        "_failure",
        "_finishing",
        "_last_moment",
        "_opened",
        "_over",
        "_owner",
        "_parked",
        "_patience",
        "_recalled",
        "_start",
        "_timer",
        "context",
        "due",
        "hand",
        "line",
        "send",
        "session",
        "subscription",
    )

    context: Context
    due: int
    _owner: asyncio.Task[Any]
    send: Send
    line: Line

    def __init__(self, session: ConnectionSession, dispatcher: Dispatcher) -> None:
        self.session = session
        self.subscription = session.subscription
        self.due = NEVER
        self.hand: Hand | None = None
        """Who writes, from when ``send`` suspends until nothing waits."""
        heartbeat = dispatcher.settings.heartbeat
        self._patience = heartbeat * (1 - HEARTBEAT_SPREAD * random.uniform(0.5, 1))  # noqa: S311
        self._dispatcher = dispatcher
        self._start: Message | None = None
        self._opened = self._finishing = self._over = False
        self._parked = self._recalled = self._expired = False
        self._failure: BaseException | None = None
        self._last_moment = math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, scope: Scope, receive: Receive, send: Send, *, start: Message) -> None:
        """Send ``start`` and the stream; see :meth:`sse_kit.asgi.Responder.run`."""
        self._start, self.send = start, send
        self.context = copy_context()
        self._owner = cast("asyncio.Task[Any]", asyncio.current_task())
        self.line = Line(scope, receive)
        watch = self._dispatcher.watch
        watch.add(self)
        try:
            self.session.listen(self)
            self._dispatcher.add(self)
            # Not in a method: of each coroutine there may be very many, parked here.
            before = self._owner.cancelling()
            self._parked = True
            try:
                while not self._over and (await receive())["type"] != "http.disconnect":
                    pass
            except asyncio.CancelledError:
                if not self._recalled or self._owner.uncancel() > before:
                    raise
            except Exception as error:
                self.session.end(CloseReason.ERROR, error=repr(error))
                raise
            else:
                if self._recalled:  # and receive() made a message of it
                    self._owner.uncancel()
            self._parked = False
            self.session.end(CloseReason.CLIENT_LEFT)
            await self._let_finish()
            if self._failure is not None:
                raise self._failure
        finally:
            self._parked = False
            watch.discard(self)
            self._dispatcher.discard(self)
            # Without an end of its own it was cancelled from outside: by a server that stops.
            self.session.end(CloseReason.SERVER_STOP)
            await self._stop_writing()

    # In the connection's own task -------------------------------------------------------------

    async def _let_finish(self) -> None:
        """Let the hand write the last bytes, if it is at them.

        Servers say that the client left also when they have all of the response: hypercorn in the
        middle of the last ``send``, whose rest must not be cancelled.
        """
        if self._finishing and self.hand is not None:
            self.hurry()
            await asyncio.wait([self.hand.task])

    async def _stop_writing(self) -> None:
        """Return when nobody writes any more, also when cancelled."""
        self._over = True
        cancelled: BaseException | None = None
        if self.hand is not None:
            self.hand.task.cancel()
        while self.hand is not None:
            try:
                # A cancelled scope of anyio cancels in each turn; what send() puts in order takes
                # some, and is not disturbed by it again.
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([self.hand.task])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _recall(self) -> None:
        """Bring the connection's task back from ``receive()``."""
        self._over = True
        if self._parked and not self._recalled:
            self._recalled = True
            self._owner.cancel()

    # Where it is written ----------------------------------------------------------------------

    def wake(self) -> None:
        """Have what there is written; a hand finds it by itself."""
        if self.hand is None and not self._over:
            self._dispatcher.wake(self)

    def advance(self, stage: Stage) -> None:
        """Write all there is, or until ``send`` suspends."""
        try:
            while self.hand is None and (message := self._next_message()) is not None:
                self._take_step(stage, message)
            self._note_idle()
        except Exception as error:  # noqa: BLE001  of the session: raised in run()
            self.fail(error)

    def beat(self, stage: Stage, now: float) -> float:
        """Write a heartbeat if it is time, unless something is on its way."""
        due = self.session.connection.touched + self._patience
        if now < due:
            return due
        if self.hand is None and not self._over:
            self._take_step(stage, _body(self.session.heartbeat()))
            return now + self._patience
        return now

    def _take_step(self, stage: Stage, message: Message) -> None:
        try:
            suspended = first_step(self.context, self.send(message))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  raised in run()
            self.fail(error)
        else:
            if suspended is not None:
                self.take_hand(stage, suspended)

    def keep(self, context: Context) -> None:
        """Have ``send`` run in this context from now on: it has left variables in it."""
        self.context = context
        self._note_idle()

    def take_hand(self, stage: Stage, suspended: Suspended) -> None:
        """Have a hand finish a step, and write what comes meanwhile."""
        self.hand = stage.hand_over(suspended, self._finish)
        self._set_timer()
        if self.subscription is not None:
            self.subscription.send = None

    def _note_idle(self) -> None:
        """Let the dispatcher write past the queue, if nothing waits in it."""
        follows = self.subscription
        if follows is None or not follows.live or follows.queue or self.hand or self._over:
            return
        follows.send, follows.context = self.send, self.context or None

    async def _finish(self, suspended: Suspended) -> None:
        """Finish a step, and write what comes meanwhile; in a hand's task."""
        try:
            await suspended
            while (message := self._next_message()) is not None:
                self._set_timer()
                again = first_step(self.context, self.send(message))
                if again is not None:
                    await again
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  raised in run()
            self.fail(error)
        finally:
            # The same step as the last look: nothing can have come between.
            self.hand = None
            self._cancel_timer()
            self._note_idle()

    def _next_message(self) -> Message | None:
        """Return what to write next; None: nothing now, or no more."""
        if self._finishing:
            self._recall()
        if self._over:
            return None
        if self._start is not None:
            start, self._start = self._start, None
            return start
        if not self._opened:
            self._opened = True
            self.send = innermost(self.send)
            return _body(self.session.opening())
        return self._next_chunk()

    def _next_chunk(self) -> Message | None:
        if chunk := self.session.take():
            return _body(chunk)
        if self.session.is_over():
            self._finishing = True
            return _body(self.session.farewell(), more=False)
        return None

    def fail(self, error: BaseException) -> None:
        """End the stream: nothing more can be written. A client that left is no error."""
        if self._expired or isinstance(error, TimeoutError):  # the latter of a middleware
            self.session.end(CloseReason.SEND_TIMEOUT)
            end_full([self.line])
        elif isinstance(error, OSError):
            self.session.end(CloseReason.CLIENT_LEFT)
        elif not isinstance(error, asyncio.CancelledError):
            self._failure = error
            self.session.end(CloseReason.ERROR, error=repr(error))
        self._recall()

    # How long it may take ---------------------------------------------------------------------

    def stop(self) -> None:
        """End the stream: the server stops."""
        self.session.end(CloseReason.SERVER_STOP)

    def hurry(self) -> None:
        """Give up writing soon."""
        self._last_moment = self._dispatcher.hands.loop.time() + GRACE
        if self.hand is not None:
            self._set_timer()

    def _set_timer(self) -> None:
        self._cancel_timer()
        loop = self._dispatcher.hands.loop
        deadline = min(loop.time() + self._dispatcher.settings.send_timeout, self._last_moment)
        self._timer = loop.call_at(deadline, self._expire)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        if self.hand is not None:
            self._expired = True
            self.hand.task.cancel()


def _body(chunk: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
