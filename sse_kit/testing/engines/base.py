"""What all engines have in common: a folder, a port, and processes to be treated badly."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn, Protocol, Self, TypedDict, Unpack

from sse_kit.testing.engines.binaries import version_of
from sse_kit.testing.engines.certificates import Certificates
from sse_kit.testing.engines.errors import EngineAbsent, EngineFailed, EngineMisused
from sse_kit.testing.engines.processes import MYSELF, Family, Identity, wait_until
from sse_kit.testing.ports import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PATIENCE = 20.0
"""Seconds that an engine may take to be ready, or to stop."""


class Reachable(Protocol):
    """An engine that tests can use: started for them, or somebody else's."""

    @property
    def url(self) -> str:
        """What a transport connects to, with user and password."""
        ...


class EngineOptions(TypedDict, total=False):
    """What every engine takes by keyword."""

    password: str | None
    """Of the user in ``url``; None: none is asked for."""
    tls: bool
    """With certificates made for it, see ``certificates``; nothing else is accepted."""
    config: Mapping[str, str]
    """Further settings by the engine's own names."""
    folder: Path
    """For data and log; it may be one that another engine of the kind has left."""


class Engine(ABC):
    """A server on loopback, in a folder and at a port of its own, kept over restarts.

    Made, it does nothing; ``start()`` or ``with`` runs it, ``close()`` or the end of the block
    kills it and removes its folder, unless ``folder`` was given.
    """

    kind: ClassVar[str]
    stop_signal: ClassVar[int] = signal.SIGTERM
    no_tls: ClassVar[str] = "no TLS"
    """What the program logs if it was built without."""
    with_tls: ClassVar[str] = "set the variable of its program"
    """What to use instead."""

    def __init__(self, program: Path, **options: Unpack[EngineOptions]) -> None:
        self.program = program
        self.password = options.get("password")
        self.tls = options.get("tls", False)
        self.config = dict(options.get("config", {}))
        self._keeps_folder = "folder" in options
        self.folder = options.get("folder") or _new_folder(self.kind)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.certificates = Certificates.make(self.folder) if self.tls else None
        self._identity = MYSELF
        self._family: Family | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.version} at {HOST}:{self.port}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    @abstractmethod
    def url(self) -> str:
        """What a transport connects to, with user and password; the same over restarts."""

    @property
    def version(self) -> str:
        """What the program says: ``"9.1.2"``."""
        return version_of(self.program)

    @property
    def data(self) -> Path:
        """The folder of what the engine keeps."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The file of all that the engine wrote, over restarts."""
        return self.folder / "log"

    @property
    def running(self) -> bool:
        """Whether its process lives; a frozen one does."""
        return self._family is not None and self._family.exit_code is None

    def answers(self, seconds: float = 1.0) -> bool:
        """Tell whether it answers in its protocol in that time."""
        try:
            return self._ready(seconds)
        except OSError:
            return False

    def start(self) -> None:
        """Start it unless it runs, and return when it answers in its protocol.

        Raises:
            EngineFailed: it ended, or does not answer in 20 s; it was killed.
            EngineAbsent: TLS is wanted, and the program was built without.
        """
        if self.running:
            return
        if not self.data.exists():
            self._make_data()
        self._family = family = Family(self._identity, self._command(), self.log, self.folder)
        if not wait_until(lambda: family.exit_code is not None or self.answers(), PATIENCE):
            self.kill()
            self._fail(f"did not answer in {PATIENCE} s")
        if family.exit_code is not None:
            self._refuse_tls()
            self._fail(f"ended with exit code {family.exit_code}")

    def stop(self) -> None:
        """Stop it in good order, as an administrator does.

        Raises:
            EngineFailed: it did not end in 20 s; it was killed.
        """
        if self._family is None:
            return
        self._family.thaw()
        self._family.signal(self.stop_signal)
        if not self._family.ended(PATIENCE):
            self.kill()
            self._fail(f"did not stop in {PATIENCE} s")
        self._family = None

    def restart(self) -> None:
        """Stop and start it: the same port, the same data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill -9 all its processes, and return when none is left."""
        if self._family is not None:
            self._family.kill()
            self._family = None

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open, and are silent."""
        self._running_family("freeze").freeze()

    def thaw(self) -> None:
        """Let a frozen engine go on."""
        self._running_family("thaw").thaw()

    def snapshot(self) -> Path:
        """Copy its data as a kill -9 at this moment would leave them; return the copy's folder."""
        copy = self.folder / f"snapshot-{secrets.token_hex(4)}"
        if not self.running:
            return self._copy(self.data, copy)
        self.freeze()
        try:
            return self._copy(self.data, copy)
        finally:
            self.thaw()

    def restore(self, snapshot: Path) -> None:
        """Put an older state in the place of the data, so that what came after is lost.

        Raises:
            EngineMisused: it runs.
        """
        if self.running:
            raise EngineMisused(self.kind, "runs on its data", "kill() or stop() it, then restore")
        shutil.rmtree(self.data)
        self._copy(snapshot, self.data)

    def close(self) -> None:
        """Kill it, and remove its folder unless that was given."""
        self.kill()
        if not self._keeps_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log_end(self) -> str:
        """Return the last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that starts it."""

    @abstractmethod
    def _ready(self, seconds: float) -> bool:
        """Ask in the engine's protocol; OSError: it does not listen yet."""

    def _make_data(self) -> None:
        self.data.mkdir(parents=True)

    def _connect(self, seconds: float) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=seconds)

    def _secured(self, plain: socket.socket) -> socket.socket:
        """Return the connection with TLS around it, if this engine wants that."""
        if self.certificates is None:
            return plain
        return self.certificates.client().wrap_socket(plain, server_hostname=HOST)

    def _copy(self, source: Path, target: Path) -> Path:
        shutil.copytree(source, target, symlinks=True)
        own(target, self._identity)
        return target

    def _running_family(self, call: str) -> Family:
        if self._family is None:
            raise EngineMisused(self.kind, f"does not run: {call}() cannot reach it", "start() it")
        return self._family

    def _refuse_tls(self) -> None:
        """Say that the program has none, if that is why it ended."""
        if self.tls and self.no_tls in self.log_end():
            what = f"TLS in {self.program}"
            raise EngineAbsent(what, f"use {self.with_tls}")

    def _fail(self, problem: str) -> NoReturn:
        engine = f"{self.kind} {self.version}"
        raise EngineFailed(engine, problem, self.log_end())


def _new_folder(kind: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"sse-kit-{kind}-"))


def own(folder: Path, identity: Identity) -> None:
    """Give a folder and all in it to whom the engine is run as."""
    if identity.user is None:
        return
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, identity.user, identity.user)
