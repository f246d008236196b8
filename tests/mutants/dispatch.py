"""Faults in the hot path: each lets frames be lost, doubled or mixed, or a stream never end."""

from __future__ import annotations

from tests.mutants.mutation import Mutant

HANDS = "sse_kit.hands"
DISPATCH = "sse_kit.dispatch"
INLINE = "sse_kit.inline"

STEPS = ("tests/test_hands.py", "tests/test_hands_cancelled.py")
ONE = ("tests/test_inline.py", "tests/test_inline_asyncio.py")
CONTEXTS = ("tests/test_contexts.py",)
ENDS = ("tests/test_inline_ends.py", "tests/test_inline_asyncio.py")
OWNER = "tests/test_inline_owner.py::test_"
RECALLED = (
    f"{OWNER}whoever_called_goes_on_after_the_end",
    f"{OWNER}a_receive_may_make_a_message_of_its_cancellation",
)
BOTH = (f"{OWNER}a_request_that_ends_may_be_cancelled_as_well",)
ORDERLY = (
    f"{OWNER}whoever_cancels_a_request_waits_for_the_rest_of_its_send",
    f"{OWNER}a_request_may_be_cancelled_while_it_waits_for_the_rest_of_its_send",
)
RECEIVE = (f"{OWNER}what_receive_raises_is_raised_as_it_is",)
TIME = ("tests/test_inline_time.py",)
MANY = ("tests/test_dispatch.py",)
PARTS = (
    "tests/test_dispatch.py::test_a_batch_is_cut_into_as_few_parts_as_may_be",
    "tests/test_dispatch.py::test_a_batch_that_is_larger_than_a_queue_reaches_everyone",
)

MUTANTS = (
    # Hands ----------------------------------------------------------------------------------------
    Mutant(
        "a step has the context of whoever takes it",
        HANDS,
        "    waits_for = context.run(next, steps, ENDED)\n",
        "    waits_for = next(steps, ENDED)\n",
        STEPS,
    ),
    Mutant(
        "what goes on has the context of its hand",
        HANDS,
        "waits_for = self._context.run(advance)",
        "waits_for = advance()",
        STEPS,
    ),
    Mutant(
        "what it waits for is asked for once",
        HANDS,
        "                    yield waits_for\n",
        "                    yield self._waits_for\n",
        STEPS,
    ),
    Mutant(
        "an error of what it waits for is the hand's",
        HANDS,
        "                advance = partial(self._throw, error)\n",
        "                raise\n",
        STEPS,
    ),
    Mutant(
        "a cancellation before the hand ran is lost",
        HANDS,
        "            self._suspended.cancel(error)\n",
        "            pass\n",
        STEPS,
    ),
    Mutant(
        "a cancellation before the hand ran is not one of what it waits for",
        HANDS,
        "        if cancel is None or not cancel(*error.args):\n",
        "        if cancel is not self:\n",
        STEPS,
    ),
    Mutant(
        "a new hand begins only with its task",
        HANDS,
        "        run.send(None)\n",
        "",
        STEPS,
    ),
    Mutant(
        "a hand is made by the loop's task factory",
        HANDS,
        'asyncio.Task(run, loop=loop, name="sse_kit hand")',
        'loop.create_task(run, name="sse_kit hand")',
        STEPS,
    ),
    Mutant(
        "a step is taken in nobody's name",
        HANDS,
        """        hands.spare = None
        _enter_task(hands.loop, self._hand.task)
        return self

    def __exit__(self, *exc_info: object) -> None:
        \"\"\"Step back.\"\"\"
        hands = self._hands
        _leave_task(hands.loop, self._hand.task)
""",
        """        hands.spare = None
        return self

    def __exit__(self, *exc_info: object) -> None:
        \"\"\"Step back.\"\"\"
        hands = self._hands
""",
        STEPS,
    ),
    Mutant(
        "those who suspend at once share a hand",
        HANDS,
        """        _leave_task(self._hands.loop, hand.task)
        self._hand = Hand(self._hands.loop)
        _enter_task(self._hands.loop, self._hand.task)
""",
        "",
        STEPS,
    ),
    Mutant(
        "a spare hand is used again though it is cancelled",
        HANDS,
        "if spare is None or spare.task.done() or spare.task.cancelling():",
        "if spare is None:",
        STEPS,
    ),
    Mutant(
        "a nested stage shares the hand",
        HANDS,
        "        hands.spare = None\n        _enter_task",
        "        _enter_task",
        STEPS,
    ),
    Mutant(
        "closing leaves the spare hand",
        HANDS,
        "            self.spare.task.cancel()\n",
        "            return\n",
        STEPS,
    ),
    # The dispatcher -------------------------------------------------------------------------------
    Mutant(
        "a step that suspended is dropped",
        DISPATCH,
        "writer.take_hand(stage, Suspended(writer.context, steps, waits_for))",
        "pass",
        MANY,
    ),
    Mutant(
        "the hot loop has one context for all",
        DISPATCH,
        "next(steps, ENDED) if own is None else own.run(next, steps, ENDED)",
        "next(steps, ENDED)",
        CONTEXTS,
    ),
    Mutant(
        "the hot loop has the context of whoever published",
        DISPATCH,
        "(common := Context()).run(self._write, rest, chunk, entries, stage, common)",
        "self._write(rest, chunk, entries, stage, Context())",
        CONTEXTS,
    ),
    Mutant(
        "what one send leaves in the common context, the others see",
        DISPATCH,
        "                if common:\n                    return True\n        return False\n",
        "        return False\n",
        CONTEXTS,
    ),
    Mutant(
        "what one send leaves before it raises, the others see",
        DISPATCH,
        "                if common:\n                    return True\n                continue\n",
        "                continue\n",
        CONTEXTS,
    ),
    Mutant(
        "what a send leaves in its context is lost",
        DISPATCH,
        "                    writer.keep(common)\n",
        "                    pass\n",
        CONTEXTS,
    ),
    Mutant(
        "a stream that left is asked whether it is silent",
        DISPATCH,
        "                if writer.due != NEVER:\n",
        "                if writer:\n",
        ("tests/test_heartbeats.py",),
    ),
    Mutant(
        "a wrapper is left out whatever it does with a body",
        "sse_kit.passthrough",
        "        if each.offset <= fork.offset or each.offset >= end\n",
        "        if each.offset <= fork.offset\n",
        ("tests/test_passthrough.py",),
    ),
    Mutant(
        "a burst is handed over as it comes",
        "sse_kit.pump",
        "            busy = bool(more)\n",
        "            busy = False\n",
        ("tests/test_pump.py",),
    ),
    Mutant(
        "a burst waits for ever",
        "sse_kit.pump",
        "        while busy and start < last:\n",
        "        while busy:\n",
        ("tests/test_pump.py",),
    ),
    Mutant(
        "whoever fails in the hot loop is forgotten",
        DISPATCH,
        "                self._writers[subscription].fail(error)\n",
        "                pass\n",
        ENDS,
    ),
    Mutant(
        "whoever fails ends the batch",
        DISPATCH,
        "                self._writers[subscription].fail(error)\n",
        "                self._writers[subscription].fail(error)\n                break\n",
        MANY,
    ),
    Mutant(
        "a cancellation in a step is the publisher's",
        DISPATCH,
        "except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001",
        "except Exception as error:  # noqa: BLE001",
        ("tests/test_inline_asyncio.py",),
    ),
    Mutant(
        "whoever is busy is passed over",
        DISPATCH,
        "                subscription.push(entries)\n",
        "",
        MANY,
    ),
    Mutant(
        "only the first part of a batch is written",
        DISPATCH,
        "            self._deliver(subscriptions, part)\n",
        "            self._deliver(subscriptions, part)\n            break\n",
        PARTS,
    ),
    Mutant(
        "a part is larger than a queue",
        DISPATCH,
        "        if part and size + len(entry.frame) > max_bytes:\n",
        "        if part and size > max_bytes:\n",
        PARTS,
    ),
    Mutant(
        "the woken write in the middle of a step",
        DISPATCH,
        "            self.hands.loop.call_soon(self._advance_woken)\n",
        "            self._woken.append(writer)\n            return self._advance_woken()\n",
        ONE,
    ),
    Mutant(
        "the woken are woken once",
        DISPATCH,
        "        woken, self._woken = self._woken, []\n",
        "        woken = self._woken\n",
        ONE,
    ),
    # The writer -----------------------------------------------------------------------------------
    Mutant(
        "a hand's end does not look again",
        INLINE,
        """            while (message := self._next_message()) is not None:
                self._set_timer()
""",
        """            while False:
                message = {}
                self._set_timer()
""",
        ONE,
    ),
    Mutant(
        "idle while a hand writes",
        INLINE,
        "follows.queue or self.hand or self._over:",
        "follows.queue or self._over:",
        ONE,
    ),
    Mutant(
        "whoever has a hand is still written to past the queue",
        INLINE,
        "            self.subscription.send = None\n",
        "            pass\n",
        ONE,
    ),
    Mutant(
        "a heartbeat while a hand writes",
        INLINE,
        "        if self.hand is None and not self._over:\n            self._take_step",
        "        if not self._over:\n            self._take_step",
        ONE,
    ),
    Mutant(
        "a failure is swallowed",
        INLINE,
        "            self._failure = error\n",
        "            pass\n",
        ENDS,
    ),
    Mutant(
        "a failure does not end the stream",
        INLINE,
        "error=repr(error))\n        self._recall()\n",
        "error=repr(error))\n",
        ENDS,
    ),
    Mutant(
        "the request is not recalled after the farewell",
        INLINE,
        "        if self._finishing:\n            self._recall()\n",
        "        if self._finishing:\n            self._over = True\n",
        ENDS,
    ),
    Mutant(
        "a recall is taken for a cancellation",
        INLINE,
        "                if not self._recalled or self._owner.uncancel() > before:\n",
        "                if self._owner.uncancel() >= before:\n",
        RECALLED,
    ),
    Mutant(
        "a cancellation is taken for a recall",
        INLINE,
        "                if not self._recalled or self._owner.uncancel() > before:\n",
        "                if not self._recalled:\n",
        BOTH,
    ),
    Mutant(
        "a recall that receive() made a message of stays",
        INLINE,
        "                    self._owner.uncancel()\n",
        "                    pass\n",
        RECALLED,
    ),
    Mutant(
        "what a request is sending outlives it",
        INLINE,
        "            self.hand.task.cancel()\n        while self.hand is not None:\n",
        "            pass\n        while self.hand is not None:\n",
        TIME,
    ),
    Mutant(
        "a cancelled scope disturbs what a send puts in order",
        INLINE,
        "                with anyio.CancelScope(shield=True):\n",
        "                with anyio.CancelScope():\n                    self.hand.task.cancel()\n",
        ORDERLY,
    ),
    Mutant(
        "a cancellation while the send ends is lost",
        INLINE,
        "        if cancelled is not None:\n            raise cancelled\n",
        "",
        ORDERLY,
    ),
    Mutant(
        "the rest of the last send is cancelled",
        INLINE,
        "            await self._let_finish()\n",
        "",
        ENDS,
    ),
    Mutant(
        "no timer for a send",
        INLINE,
        "        self._timer = loop.call_at(deadline, self._expire)\n",
        "        self._timer = None\n",
        TIME,
    ),
    Mutant(
        "one timer for all sends of a hand",
        INLINE,
        "                self._set_timer()\n                again = ",
        "                again = ",
        TIME,
    ),
    Mutant(
        "a stream that is over has all the time",
        INLINE,
        "        self._last_moment = self._dispatcher.hands.loop.time() + GRACE\n",
        "",
        TIME,
    ),
    Mutant(
        "a send under way when its stream ends has all the time",
        INLINE,
        "        if self.hand is not None:\n            self._set_timer()\n",
        "",
        TIME,
    ),
    Mutant(
        "what took too long counts as a client that left",
        INLINE,
        "            self._expired = True\n",
        "            pass\n",
        TIME,
    ),
    Mutant(
        "what receive() raises is no error",
        INLINE,
        "as error:\n                self.session.end(CloseReason.ERROR",
        "as error:\n                self.session.end(CloseReason.CLOSED",
        RECEIVE,
    ),
)
