"""Faults in the splice: each loses, repeats or hides something, sometimes.

The first six are the design's; each of them is one that a hand-written splice really had.
"""

from __future__ import annotations

from tests.mutants.mutation import Mutant

HUB = "sse_kit.hub"
SUBSCRIPTION = "sse_kit.subscription"

WORLDS = ("tests/test_two_hubs.py",)

MUTANTS = (
    Mutant(
        "a pause between the last copy and going live",
        HUB,
        """        if self._enqueue_all(subscription, entries):
            # The same step: no record can come between the last copy and the first push.
            subscription.live = True
""",
        """        if getattr(self, "copied", None) is subscription:
            subscription.live, self.copied = True, None
        elif self._enqueue_all(subscription, entries):
            self.copied = subscription
""",
        WORLDS,
    ),
    Mutant(
        "what was seen already is pushed again",
        SUBSCRIPTION,
        "if not self.live or offset <= self.cursor:",
        "if not self.live:",
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
        "self.fall_back(offset - 1)",
        "self.fall_back(offset)",
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
        "subscription.live = subscription.cursor > self._head",
        "subscription.live = True",
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
        WORLDS,
    ),
    Mutant(
        "a reset leaves its readers live",
        HUB,
        "                subscription.fall_back(self._head)\n",
        "                subscription.cursor = self._head\n",
        WORLDS,
    ),
    Mutant(
        "a page is read past a full queue",
        HUB,
        "            else:\n                return False\n",
        "            else:\n                subscription.cursor = entry.position.offset\n",
        WORLDS,
    ),
)
