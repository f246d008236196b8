"""A transport of your own in under a hundred lines: a journal, a file of one JSON line per record.

Processes of one machine share it, and it survives them. It keeps all: retention is left out.
"""

import fcntl
import json
import os
import secrets
import threading
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from sse_kit.transports.base import Bounds, Page, Position, Publication, Published, Record, Traits
from sse_kit.transports.log import LogTransport
from sse_kit.transports.settings import LogSettings


class JournalTransport(LogTransport):
    """Carries messages through ``folder/namespace.jsonl``."""

    poll = 0.02  # seconds between two looks for what other processes wrote

    def __init__(self, folder: Path, namespace: str = "sse") -> None:
        self._path = folder / f"{namespace}.jsonl"
        traits = Traits(shared=True, durable=True, dedup_window=float("inf"), max_payload=2**20)
        super().__init__(LogSettings(namespace=namespace), traits, address=str(self._path))

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Open the file; its first line is the epoch, which is made with it."""
        with self._path.open("a+b", buffering=0) as self._file:
            self._mutex = threading.Lock()
            self._read_to, self._epoch = 0, ""
            self._records: list[Record] = []
            self._keys: dict[str, Position] = {}
            with self._locked() as file:
                if not self._epoch:
                    file.write(secrets.token_urlsafe(9).encode() + b"\n")
            yield

    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        """Write what is new, and wait until the disk has it."""
        return await to_thread.run_sync(self._store, publications)

    async def page(self, after: int, limit: int, /) -> Page:
        """Read; records and bounds are of one moment."""
        return await to_thread.run_sync(self._look, after, limit)

    def _store(self, publications: Sequence[Publication]) -> list[Published]:
        with self._locked() as file:
            known, answers, lines = dict(self._keys), list[Published](), b""
            for each in publications:
                new = Position(self._epoch, len(self._records) + lines.count(b"\n") + 1)
                position = known.setdefault(each.key or "", new)
                answers.append(Published(position, duplicate=position is not new))
                if position is new:
                    payload = b64encode(each.payload).decode()
                    lines += json.dumps([each.topics, each.key, payload]).encode() + b"\n"
            while lines:
                lines = lines[file.write(lines) :]
            os.fsync(file.fileno())
            return answers

    def _look(self, after: int, limit: int) -> Page:
        with self._mutex:
            self._catch_up()
            bounds = Bounds(self._epoch, 1, len(self._records))
            return Page(bounds, tuple(self._records[after : after + limit]))

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Hold the file against all others, with all of it read and no torn line at its end."""
        with self._mutex:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._catch_up()
                self._file.truncate(self._read_to)
                yield self._file
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Take the whole lines that were added; one that a crash tore is not whole."""
        self._file.seek(self._read_to)
        added = self._file.read()
        for line in added[: added.rfind(b"\n") + 1].splitlines():
            self._read_to += len(line) + 1
            if not self._epoch:
                self._epoch = line.decode()
                continue
            topics, key, payload = json.loads(line)
            self._keys[key] = Position(self._epoch, len(self._records) + 1)
            self._records.append(Record(self._keys[key], tuple(topics), b64decode(payload)))
