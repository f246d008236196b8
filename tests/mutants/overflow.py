"""Faults in the policies of streams that may lose messages: each loses more, or says less."""

from __future__ import annotations

from tests.mutants.mutation import Mutant

OVERFLOW = "sse_kit.overflow"
TESTS = ("tests/test_overflow.py",)

MUTANTS = (
    Mutant(
        "what was dropped is not told",
        OVERFLOW,
        "        if self._untold:\n",
        "        if self._untold > self._dropped:\n",
        TESTS,
    ),
    Mutant(
        "it is told again and again",
        OVERFLOW,
        "            self._untold = 0\n",
        "            pass\n",
        TESTS,
    ),
    Mutant(
        "what was taken may still be dropped",
        OVERFLOW,
        "        self._droppable.clear()\n",
        "",
        TESTS,
    ),
    Mutant(
        "the bytes of what was dropped stay counted",
        OVERFLOW,
        "        self.queued_bytes -= len(entry.frame)\n",
        "",
        TESTS,
    ),
    Mutant(
        "the newest is dropped instead of the oldest",
        OVERFLOW,
        "self._drop(next(iter(self._droppable)))",
        "self._drop(next(reversed(self._droppable)))",
        TESTS,
    ),
    Mutant(
        "the newest of a key does not replace the older one",
        OVERFLOW,
        "        policy, key = self._look_at(entry)\n        self._drop_same(key)\n",
        "        policy, key = self._look_at(entry)\n",
        TESTS,
    ),
    Mutant(
        "what has no policy is dropped as well",
        OVERFLOW,
        "            return policy, None\n        try:\n",
        "            return policy, entry.position\n        try:\n",
        TESTS,
    ),
    Mutant(
        "a full queue does not disconnect",
        OVERFLOW,
        "            if isinstance(policy, Disconnect):\n",
        "            if policy is Disconnect:\n",
        TESTS,
    ),
)
