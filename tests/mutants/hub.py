"""Faults in the splice: each loses, repeats or hides something, sometimes.

The first six are the design's; each of them is one that a hand-written splice really had.
"""

from __future__ import annotations

from tests.mutants.mutation import Mutant

HUB = "sse_kit.hub"
RING = "sse_kit.ring"
REPLAY = "sse_kit.replay"
SUBSCRIPTION = "sse_kit.subscription"
AUDIENCE = "sse_kit.audience"

STEPS = ("tests/test_hub.py",)
MARKS = ("tests/test_hub_marks.py",)
WORLDS = (*STEPS, *MARKS, "tests/test_two_hubs.py")
"""Each world is one of many: a fault that few of them meet is met by a step too."""

MUTANTS = (
    Mutant(
        "who arrives ahead of the tail is served from the ring",
        REPLAY,
        "            if is_lost:\n",
        "            if is_lost and not subscription.arrives:\n",
        MARKS,
    ),
    Mutant(
        "a pause between the last copy and going live",
        HUB,
        """        if self._enqueue_all(subscription, missing):
            # The same step: no record can come between the last copy and the first push.
            subscription.go_live()
""",
        """        if getattr(self, "copied", None) is subscription:
            subscription.go_live()
            self.copied = None
        elif self._enqueue_all(subscription, missing):
            self.copied = subscription
""",
        WORLDS,
    ),
    Mutant(
        "what was seen already is pushed again",
        HUB,
        """        if resume.offset > ring.head:
            # The engine has it, this process does not yet.
            self.park(subscription, question)
""",
        """        if resume.offset > ring.head:
            subscription.go_live()
""",
        WORLDS,
    ),
    Mutant(
        "the floor of the ring is off by one",
        RING,
        "return position.epoch == self.epoch and self.floor <= position.offset <= self.head",
        "return position.epoch == self.epoch and self.floor - 1 <= position.offset <= self.head",
        WORLDS,
    ),
    Mutant(
        "overflow counts as delivered",
        SUBSCRIPTION,
        "self.fall_back(Position(epoch, offset - 1, entry.before))",
        "self.fall_back(Position(epoch, offset, entry.before))",
        WORLDS,
    ),
    Mutant(
        "a trim is not told",
        HUB,
        "            self._tell(subscription, gap)\n        elif entries:",
        "            subscription.position = gap.resume\n        elif entries:",
        WORLDS,
    ),
    Mutant(
        "a checkpoint while something is queued",
        HUB,
        "if not subscription.live or subscription.queue:",
        "if not subscription.live:",
        WORLDS,
    ),
    Mutant(
        "whoever was located is live",
        HUB,
        "        if resume.offset > ring.head:\n",
        "        subscription.go_live()\n        if resume.offset < 0:\n",
        WORLDS,
    ),
    Mutant(
        "a page of another epoch is taken",
        HUB,
        "if not bounds.epoch == position.epoch == self._ring.epoch:",
        "if bounds.epoch != self._ring.epoch:",
        STEPS,
    ),
    Mutant(
        "an answer that came too late is taken",
        HUB,
        "return subscription.live or subscription.position != question.position",
        "return False",
        STEPS,
    ),
    Mutant(
        "a reset leaves its readers live",
        HUB,
        "                subscription.fall_back(self.position)\n",
        "                subscription.position = position\n",
        WORLDS,
    ),
    Mutant(
        "a record of two topics is pushed twice",
        AUDIENCE,
        "elif entries[-1] is entry:",
        "elif entries[-1] is None:",
        WORLDS,
    ),
    Mutant(
        "a reset forgets what was collected",
        HUB,
        "        self._share_out()\n        for subscription in self._subscriptions:",
        "        self._audiences.share_out()\n        for subscription in self._subscriptions:",
        STEPS,
    ),
    Mutant(
        "a page is read past a full queue",
        HUB,
        "            elif not subscription.enqueue(entry):\n                return False\n",
        "            elif not subscription.enqueue(entry):\n"
        "                subscription.position = entry.position\n",
        WORLDS,
    ),
    Mutant(
        "marks are ignored",
        RING,
        "position.mark is not None and self.mark_at(position.offset) != position.mark",
        "False",
        WORLDS,
    ),
    Mutant(
        "a page need not continue what came before",
        REPLAY,
        "again = position.mark is not None and position.offset > 0",
        "again = False",
        WORLDS,
    ),
    Mutant(
        "a page of another history is a page",
        REPLAY,
        "            if records[0].position != position:\n",
        "            if records[0].position.epoch != position.epoch:\n",
        WORLDS,
    ),
    Mutant(
        "overflow forgets the mark",
        SUBSCRIPTION,
        "Position(epoch, offset - 1, entry.before)",
        "Position(epoch, offset - 1)",
        MARKS,
    ),
    Mutant(
        "a fork is told while the ring is of the lost history",
        REPLAY,
        "return isinstance(await self._engine.locate(head), Gap)",
        "return False",
        MARKS,
    ),
    Mutant(
        "an older record of the ring is taken for the engine's",
        HUB,
        "            self._go_by_engine(subscription, question)\n",
        "            subscription.position = Position(resume.epoch, resume.offset)\n",
        MARKS,
    ),
    Mutant(
        "the floor has no mark",
        RING,
        "self._floor_mark = oldest.position.mark",
        "self._floor_mark = None",
        MARKS,
    ),
)
