"""PostgreSQL."""

from __future__ import annotations

import shutil
import signal
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, Unpack
from urllib.parse import quote

from sse_kit.testing.engines.base import Engine, EngineOptions, own
from sse_kit.testing.engines.binaries import postgres_server
from sse_kit.testing.engines.nobody import identity_for
from sse_kit.testing.engines.processes import run
from sse_kit.testing.ports import HOST

if TYPE_CHECKING:
    import socket
    from pathlib import Path

PostgresVariant: TypeAlias = Literal["18", "16", "system"]

PROTOCOL_3 = 196_608
SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
STARTING = b"C57P03\0"
"""The field of an error: cannot_connect_now."""


class PostgresEngine(Engine):
    """A PostgreSQL server, with one superuser and its database, both named ``postgres``.

    What a commit has answered survives a kill -9 and a loss of power: fsync is left on. As root it
    is run as nobody, since PostgreSQL refuses root.

    Args:
        variant: the major version that the wheel has, or ``"system"``: what is installed.
        standby_of: a running engine that this one follows, read-only, until ``promote()``; of the
            same version, with the same password.
        options: see :class:`EngineOptions`; ``config`` as in postgresql.conf,
            ``{"max_connections": "10"}``.

    Raises:
        EngineAbsent: there is no such program; the sentence says how to get it.
    """

    kind = "postgres"
    stop_signal: ClassVar[int] = signal.SIGINT  # "fast": clients are sent away
    no_tls = "SSL is not supported by this build"
    with_tls = 'PostgresEngine("system")'

    def __init__(
        self,
        variant: PostgresVariant = "18",
        *,
        standby_of: PostgresEngine | None = None,
        **options: Unpack[EngineOptions],
    ) -> None:
        program = postgres_server(variant)
        super().__init__(program, **options)
        self._primary = standby_of
        self._identity = identity_for(program, self.folder)
        own(self.folder, self._identity)

    @property
    def url(self) -> str:
        """``postgresql://…``; with TLS it tells libpq to verify the server."""
        user = f"postgres:{quote(self.password, safe='')}" if self.password else "postgres"
        url = f"postgresql://{user}@{HOST}:{self.port}/postgres"
        if self.certificates is None:
            return url
        return f"{url}?sslmode=verify-full&sslrootcert={self.certificates.authority}"

    def sql(self, statement: str) -> str:
        """Run a statement by ``psql``; return its rows, a line each, columns parted by ``|``.

        Raises:
            EngineFailed: it was refused, or there is no connection.
        """
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align")
        return self._run("psql", *options, "--dbname", self.url, "--command", statement).strip()

    def promote(self) -> None:
        """Make a standby a primary, on a timeline of its own; returns when it is one."""
        self._run("pg_ctl", "promote", "--wait", "--pgdata", str(self.data))
        self._primary = None

    def restore(self, snapshot: Path, *, new_timeline: bool = True) -> None:
        """Put an older state in the place of the data.

        Args:
            snapshot: what ``snapshot()`` returned.
            new_timeline: as after a recovery to a point in time, which is how backups come back.
                False: as after a copy of files or of a disk, of which PostgreSQL knows nothing.
        """
        super().restore(snapshot)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        if new_timeline:
            signal_file = self.data / "recovery.signal"
            signal_file.touch()
            own(signal_file, self._identity)

    def kill(self) -> None:
        """Kill -9 all its processes, and remove the shared memory that this leaves.

        PostgreSQL does that itself when it is started again; the system has room for few thousand.
        """
        super().kill()
        with suppress(OSError, IndexError):
            line = (self.data / "postmaster.pid").read_text().splitlines()[6]
            if ipcrm := shutil.which("ipcrm"):
                run(self._identity, ipcrm, "-m", line.split()[1])

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # in the folder, so nothing outlives it
            **self._recovery_settings(),
            **self._tls_settings(),
            **self.config,
        }
        pairs = (f"--{name}={value}" for name, value in settings.items())
        return [str(self.program), "-D", str(self.data), *pairs]

    def _recovery_settings(self) -> dict[str, str]:
        """Recover from what is there; let nobody in who would find it read-only meanwhile."""
        if not (self.data / "recovery.signal").exists():
            return {}
        return {"restore_command": "false", "hot_standby": "off"}

    def _tls_settings(self) -> dict[str, str]:
        if self.certificates is None:
            return {}
        files = self.certificates
        return {
            "ssl": "on",
            "ssl_cert_file": str(files.certificate),
            "ssl_key_file": str(files.key),
        }

    def _make_data(self) -> None:
        if self._primary is not None:
            self._copy_primary(self._primary.url)
            return
        how = ("--username=postgres", "--encoding=UTF8", "--locale=C", "--wal-segsize=4")
        self._run("initdb", "--pgdata", str(self.data), "--no-sync", *how, *self._auth_options())
        if self.tls:
            access = self.data / "pg_hba.conf"
            access.write_text(access.read_text().replace("\nhost ", "\nhostssl "))

    def _copy_primary(self, url: str) -> None:
        how = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast")
        self._run("pg_basebackup", "--pgdata", str(self.data), "--dbname", url, *how)

    def _auth_options(self) -> tuple[str, ...]:
        if not self.password:
            return ("--auth=trust",)
        path = self.folder / "password"
        path.write_text(self.password)
        own(path, self._identity)
        return ("--auth=scram-sha-256", f"--pwfile={path}")

    def _run(self, name: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the server is run; return what it printed."""
        program = self.program.with_name(name + self.program.suffix)
        done = run(self._identity, str(program), *arguments, cwd=self.folder)
        if done.returncode:
            with self.log.open("a") as log:
                log.write(done.stdout + done.stderr)
            self._fail(f"has a {name} that failed")
        return done.stdout

    def _ready(self, seconds: float) -> bool:
        """Send a startup packet: ``R`` is an answer, "starting up" is none."""
        with self._connect(seconds) as plain:
            if self.tls:
                plain.sendall(SSL_REQUEST)
                plain.recv(1)
            with self._secured(plain) as connection:
                answer = _startup(connection)
        return answer[:1] == b"R"


def _startup(connection: socket.socket) -> bytes:
    body = struct.pack("!i", PROTOCOL_3) + b"user\0postgres\0database\0postgres\0\0"
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    return connection.recv(1_024)
