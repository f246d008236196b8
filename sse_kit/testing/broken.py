"""Transports broken on purpose: the proof of the conformance suite, which must fail each of them.

Each keeps all promises but one, or as nearly all as it can, and breaks that one as engines and
their adapters do. ``promise`` is its number: among the tests that fail must be one of that number.
"""

from __future__ import annotations

import inspect

from sse_kit.testing import (
    broken_lifetime,
    broken_presence,
    broken_publish,
    broken_replay,
    broken_tail,
)
from sse_kit.testing.broken_base import BrokenTransport

BROKEN: tuple[type[BrokenTransport], ...] = tuple(
    member
    for module in (broken_publish, broken_tail, broken_lifetime, broken_replay, broken_presence)
    for member in vars(module).values()
    if inspect.isclass(member)
    and issubclass(member, BrokenTransport)
    and hasattr(member, "promise")
)
"""All of them, in the order of the promises."""
