"""Faults in the splice: each loses, repeats or hides something, sometimes.

The first six are the design's; each of them is one that a hand-written splice really had.
"""

from __future__ import annotations

from tests.mutants.mutation import Mutant

HUB = "sse_kit.hub"
SUBSCRIPTION = "sse_kit.subscription"
AUDIENCE = "sse_kit.audience"

WORLDS = ("tests/test_two_hubs.py",)
STEPS = ("tests/test_hub.py",)

MUTANTS = (
    Mutant(
        "a pause between the last copy and going live",
        HUB,
        """        if self._enqueue_all(subscription, entries):
            # The same step: no record can come between the last copy and the first push.
            subscription.go_live()
""",
        """        if getattr(self, "copied", None) is subscription:
            subscription.go_live()
            self.copied = None
        elif self._enqueue_all(subscription, entries):
            self.copied = subscription
""",
        WORLDS,
    ),
    Mutant(
        "what was seen already is pushed again",
        HUB,
        """        if subscription.cursor > self._head:
            # The engine has it, this process does not yet.
            self._park(subscription, question)
""",
        """        if subscription.cursor > self._head:
            subscription.go_live()
""",
        WORLDS,
    ),
    Mutant(
        "the floor of the ring is off by one",
        HUB,
        "        if subscription.cursor < self._floor:\n            return Read",
        "        if subscription.cursor < self._floor - 1:\n            return Read",
        WORLDS,
    ),
    Mutant(
        "overflow counts as delivered",
        SUBSCRIPTION,
        "self.fall_back(Position(epoch, offset - 1))",
        "self.fall_back(Position(epoch, offset))",
        WORLDS,
    ),
    Mutant(
        "a trim is not told",
        HUB,
        "            self._tell(subscription, gap)\n        elif entries:",
        "            subscription.resume_at(gap.resume)\n        elif entries:",
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
        """        if subscription.cursor > self._head:
            # The engine has it, this process does not yet.
            self._park(subscription, question)
""",
        "        subscription.go_live()\n",
        WORLDS,
    ),
    Mutant(
        "a page of another epoch is taken",
        HUB,
        "if not bounds.epoch == subscription.epoch == self._epoch:",
        "if bounds.epoch != self._epoch:",
        WORLDS,
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
        "                subscription.cursor = self._head\n",
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
        "                subscription.cursor = entry.position.offset\n",
        WORLDS,
    ),
)
