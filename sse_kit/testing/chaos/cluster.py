"""The engine, the network before it and two apps; and what each fault does to them."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import anyio

from sse_kit.testing.chaos.schedule import OF_APPS, OF_ENGINES, Fault
from sse_kit.testing.engines import Engine, NatsEngine, PostgresEngine, RedisEngine
from sse_kit.testing.ports import HOST
from sse_kit.testing.proxy import FaultProxy
from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports.setup import SupportsSetup
from sse_kit.transports.urls import transport_from_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sse_kit.testing.chaos.schedule import Planned


class AppProcess(Engine):
    """One of the apps; a server like others, as far as killing goes."""

    kind = "app"

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(Path(sys.executable))
        self._arguments = (url, namespace)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def _command(self) -> list[str]:
        module = "sse_kit.testing.chaos.app"
        return [str(self.program), "-m", module, *self._arguments, str(self.port)]

    def _ready(self, seconds: float) -> bool:
        with self._connect(seconds) as connection:
            connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")


class Store(Protocol):
    """What keeps the log: an engine and the network before it, or a file."""

    faults: tuple[Fault, ...]

    def open(self, stack: ExitStack) -> str:
        """Start it until the stack is closed; return the URL for the apps."""
        ...

    def commit(self, fault: Fault, seconds: float) -> None:
        """Do it, wait so many seconds, and mend it."""
        ...

    def remember(self) -> None:
        """Keep the present state."""
        ...

    def set_back(self) -> None:
        """Come back with the state that was kept."""
        ...

    def log_end(self) -> str:
        """Return what it said last."""
        ...


class EngineStore:
    """An engine behind a network."""

    faults: tuple[Fault, ...] = OF_ENGINES

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._proxy: FaultProxy | None = None
        self._snapshot: Path | None = None

    def open(self, stack: ExitStack) -> str:
        """Start both."""
        stack.enter_context(self._engine)
        self._proxy = stack.enter_context(FaultProxy(self._engine.url))
        return self._proxy.url

    def commit(self, fault: Fault, seconds: float) -> None:
        """Do it, wait so many seconds, and mend it."""
        begin, mend = self._steps()[fault]
        begin()
        time.sleep(seconds)
        mend()

    def remember(self) -> None:
        """Keep a copy of its data, taken while it runs; of the last moment only."""
        if self._snapshot is not None:
            shutil.rmtree(self._snapshot)
        self._snapshot = self._engine.snapshot()

    def set_back(self) -> None:
        """Kill it; start it on that copy."""
        self._engine.kill()
        if self._snapshot is not None:
            self._engine.restore(self._snapshot)
        self._engine.start()

    def log_end(self) -> str:
        """Return the end of its log."""
        return self._engine.log_end()

    def _steps(self) -> dict[Fault, tuple[Callable[[], None], Callable[[], None]]]:
        engine, proxy = self._engine, self._proxy
        assert proxy is not None
        return {
            Fault.KILL_ENGINE: (engine.kill, engine.start),
            Fault.FREEZE_ENGINE: (engine.freeze, engine.thaw),
            Fault.RESTART_ENGINE: (engine.stop, engine.start),
            Fault.CUT_NETWORK: (proxy.cut, proxy.forward),
            Fault.HOLD_NETWORK: (proxy.hold, proxy.forward),
        }


class FileStore:
    """A file of SQLite: there is nothing to kill but the apps."""

    faults: tuple[Fault, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._file = folder / "chaos.db"
        self._copy = folder / "copy.db"

    def open(self, stack: ExitStack) -> str:
        """Leave it to the first app to make it."""
        del stack
        return f"sqlite:///{self._file}"

    def commit(self, fault: Fault, seconds: float) -> None:
        """Do nothing: no fault is of a file."""

    def remember(self) -> None:
        """Copy it as a backup does, while it is used."""
        self._copy.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(self._file)) as file,
            closing(sqlite3.connect(self._copy)) as copy,
        ):
            file.backup(copy)

    def set_back(self) -> None:
        """Put the copy in its place; nobody may have it open."""
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.unlink()
        shutil.copy(self._copy, self._file)

    def log_end(self) -> str:
        """Return nothing: a file says nothing."""
        return ""


class Cluster:
    """All that is killed. Its methods block: call them from a thread."""

    def __init__(self, store: Store) -> None:
        self.faults = (*store.faults, *OF_APPS)
        self.apps: tuple[AppProcess, ...] = ()
        self._store = store
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            url, namespace = self._store.open(stack), fresh_namespace()
            anyio.run(set_up, url, namespace)
            self.apps = tuple(stack.enter_context(AppProcess(url, namespace)) for _ in range(2))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def commit(self, planned: Planned) -> None:
        """Do it, wait, and mend it."""
        if planned.fault not in OF_APPS:
            self._store.commit(planned.fault, planned.seconds)
            return
        app = self.apps[planned.app]
        killed = planned.fault is Fault.KILL_APP
        begin, mend = (app.kill, app.start) if killed else (app.freeze, app.thaw)
        begin()
        time.sleep(planned.seconds)
        mend()

    def remember(self) -> None:
        """Keep the present state of the log."""
        self._store.remember()

    def set_back(self) -> None:
        """Come back with the state that was kept; a file is put back while nobody has it open."""
        apps = () if self._store.faults else self.apps
        for app in apps:
            app.kill()
        self._store.set_back()
        for app in apps:
            app.start()

    def logs(self) -> str:
        """Return what all of them said last."""
        said = [("store", self._store.log_end()), *((repr(a), a.log_end()) for a in self.apps)]
        return "\n".join(f"--- {name}\n{text}" for name, text in said)


async def set_up(url: str, namespace: str) -> None:
    """Make what the transport wants to be made once."""
    transport = transport_from_url(url, namespace=namespace)
    if isinstance(transport, SupportsSetup):
        await transport.setup()


ALWAYS = {"appendfsync": "always"}

ENGINES: dict[str, Callable[[Path], Store]] = {
    # With everysec a kill -9 while the disk is slow may lose what was acknowledged; it is told, but
    # here a gap shall mean that the engine was set back.
    "redis": lambda _: EngineStore(RedisEngine(config=ALWAYS)),
    "redis7": lambda _: EngineStore(RedisEngine("redis", config=ALWAYS)),
    "nats": lambda _: EngineStore(NatsEngine()),
    "postgres": lambda _: EngineStore(PostgresEngine()),
    "postgres16": lambda _: EngineStore(PostgresEngine("16")),
    "sqlite": FileStore,
}
"""By the name for the command line; the argument is a folder."""


def store_of(name: str) -> Callable[[Path], Store]:
    """Return what makes the store of that name, or the object that ``module:name`` names.

    Raises:
        ValueError: there is none.

    """
    if name in ENGINES:
        return ENGINES[name]
    module, colon, attribute = name.partition(":")
    try:
        theirs: Callable[[Path], Store] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(sorted(ENGINES))
        why = f" ({error})" if colon else ""
        problem = f"there is no engine {name!r}{why}: use one of {known}, or module:store"
        raise ValueError(problem) from error
    return theirs
