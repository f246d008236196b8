"""What the transports that are broken on purpose have in common."""

from __future__ import annotations

from typing import ClassVar

from sse_kit.transports.memory import MemoryTransport


class BrokenTransport(MemoryTransport):
    """Keeps every promise but ``promise``, the number of the one that a subclass breaks."""

    promise: ClassVar[str]
