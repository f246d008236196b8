"""Redis and Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, Unpack
from urllib.parse import quote

from sse_kit.testing.engines.base import Engine, EngineOptions
from sse_kit.testing.engines.binaries import redis_server, valkey_server
from sse_kit.testing.engines.errors import EngineError
from sse_kit.testing.ports import HOST

if TYPE_CHECKING:
    import socket
    from pathlib import Path

RedisVariant: TypeAlias = Literal["valkey", "redis"]
Persistence: TypeAlias = Literal["aof", "rdb", "none"]

PROGRAMS = {"valkey": valkey_server, "redis": redis_server}
PERSISTENCE: dict[Persistence, dict[str, str]] = {
    "aof": {"appendonly": "yes", "appendfsync": "everysec", "save": ""},
    "rdb": {"appendonly": "no", "save": "3600 1"},
    "none": {"appendonly": "no", "save": ""},
}


class RedisRefused(EngineError):
    """The server answered a command with an error."""

    def __init__(self, command: str, answer: str) -> None:
        super().__init__(command, answer)
        self.command = command
        self.answer = answer

    def __str__(self) -> str:
        return f"{self.command!r} was refused: {self.answer}"


class RedisEngine(Engine):
    """A Redis or a Valkey server.

    Args:
        variant: ``"valkey"`` (a wheel has it) or ``"redis"`` (the system's).
        persistence: ``"aof"``: every write, fsync each second, so a kill -9 while the disk is slow
            may cost two seconds (``config={"appendfsync": "always"}``: nothing that was answered);
            ``"rdb"``: only what ``snapshot()`` and ``stop()`` save; ``"none"``: nothing.
        replica_of: a running engine that this one follows, read-only, until ``promote()``.
        options: see :class:`EngineOptions`; ``config`` as in redis.conf, ``{"maxmemory": "1mb"}``.

    Raises:
        EngineAbsent: there is no such program; the sentence says how to get it.
    """

    kind = "redis"
    no_tls = "Failed finding TLS support"
    with_tls = 'RedisEngine("redis")'

    def __init__(
        self,
        variant: RedisVariant = "valkey",
        *,
        persistence: Persistence = "aof",
        replica_of: RedisEngine | None = None,
        **options: Unpack[EngineOptions],
    ) -> None:
        program = PROGRAMS[variant]()
        super().__init__(program, **options)
        self.persistence: Persistence = persistence
        self._primary = replica_of

    @property
    def url(self) -> str:
        """``redis://…`` or, with TLS, ``rediss://…``; of database 0."""
        user = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis{'s' if self.tls else ''}://{user}{HOST}:{self.port}/0"

    def command(self, *words: str, seconds: float = 1.0) -> str:
        """Run a command and return its answer: a status, a number or a string; ``""`` for nil.

        Raises:
            RedisRefused: the answer is an error.
            OSError: no connection, or no answer in ``seconds``.
        """
        with self._connect(seconds) as plain, self._secured(plain) as connection:
            if self.password:
                _ask(connection, "AUTH", self.password)
            return _ask(connection, *words)

    def promote(self) -> None:
        """Make a replica a primary, for good."""
        self.command("REPLICAOF", "NO", "ONE")
        self._primary = None

    def snapshot(self) -> Path:
        """Copy its data; without an AOF, save them first, as ``BGSAVE`` would."""
        if self.running and self.persistence == "rdb":
            self.command("SAVE")
        return super().snapshot()

    def _command(self) -> list[str]:
        settings = {
            "bind": HOST,
            "dir": str(self.data),
            "repl-diskless-sync-delay": "0",  # else a replica waits 5 s for others
            **PERSISTENCE[self.persistence],
            **self._access(),
            **self._following(),
            **self.config,
        }
        pairs = ((f"--{name}", value) for name, value in settings.items())
        return [str(self.program), *(word for pair in pairs for word in pair)]

    def _access(self) -> dict[str, str]:
        password = {"requirepass": self.password} if self.password else {}
        if self.certificates is None:
            return {"port": str(self.port), **password}
        return {
            "port": "0",
            "tls-port": str(self.port),
            "tls-cert-file": str(self.certificates.certificate),
            "tls-key-file": str(self.certificates.key),
            "tls-ca-cert-file": str(self.certificates.authority),
            "tls-auth-clients": "no",
            **password,
        }

    def _following(self) -> dict[str, str]:
        if self._primary is None:
            return {}
        password = {"masterauth": self._primary.password} if self._primary.password else {}
        return {"replicaof": f"{HOST} {self._primary.port}", **password}

    def _ready(self, seconds: float) -> bool:
        """Ask PING, which is refused while it loads; a replica is ready once it has followed."""
        try:
            answer = self.command("PING", seconds=seconds)
            follows = self._primary is not None and self._primary.running
            linked = "master_link_status:up" in self.command("INFO", "replication", seconds=seconds)
        except RedisRefused:
            return False
        return answer == "PONG" and (linked or not follows)


def _ask(connection: socket.socket, *words: str) -> str:
    """Send one command and read one answer (RESP 2; arrays are not read)."""
    parts = (f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
    with connection.makefile("rb") as answers:
        line = answers.readline().decode().rstrip("\r\n")
        if not line:
            raise ConnectionResetError
        if line.startswith("-"):
            raise RedisRefused(words[0], line[1:])
        if line.startswith("$"):
            return answers.read(max(int(line[1:]), 0)).decode()
    return line[1:]
