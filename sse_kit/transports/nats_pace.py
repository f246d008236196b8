"""How much is asked of NATS at once: no more than comes in time, and than a server will hold.

A server sends all that it was asked for, also to somebody who does not wait for it any more; its
answers to pings queue behind that, and at 64 MB it cuts the connection.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MIB = 1024 * 1024

LEAST, FIRST, MOST = 4096, MIB, 4 * MIB
"""Bytes that one read may ask for; a single record may be larger."""

TOGETHER = 32 * MIB
"""Bytes that all reads of a connection may ask for, together."""


class Read:
    """A read that may ask for ``size`` bytes; ``got``: how many came."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.got = 0


class Pace:
    """How many bytes to ask for: fewer after an answer that did not come in ``patience`` seconds.

    So large records come over a slow network too, if need be one by one. ``largest``: a record's.
    """

    def __init__(self, patience: float, *, largest: int) -> None:
        self._size = FIRST
        self._quick = patience / 4
        self._turns = anyio.Semaphore(max(1, TOGETHER // (MOST + largest)))

    @asynccontextmanager
    async def asking(self) -> AsyncGenerator[Read]:
        """Wait for a turn; then note how long what is asked inside took, and what it brought."""
        async with self._turns:
            read, start = Read(self._size), time.monotonic()
            try:
                yield read
            except BaseException:
                # What failed at once was refused or cut, and tells nothing about the network.
                if time.monotonic() - start > self._quick:
                    self._size = min(self._size, max(LEAST, read.size // 4))
                raise
            is_full = read.got >= read.size // 2
            if is_full and self._size == read.size and time.monotonic() - start < self._quick:
                self._size = min(MOST, 2 * read.size)
