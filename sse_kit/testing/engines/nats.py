"""NATS with JetStream."""

from __future__ import annotations

import json
from typing import Unpack
from urllib.parse import quote

from sse_kit.testing.engines.base import Engine, EngineOptions
from sse_kit.testing.engines.binaries import nats_server
from sse_kit.testing.ports import HOST

USER = "sse_kit"


class NatsEngine(Engine):
    """A NATS server; whether a stream is kept in memory or in files is the stream's own setting.

    Args:
        jetstream: False: a server without streams.
        sync_interval: after how long JetStream calls fsync, in its own notation; ``"always"``: for
            each message. A kill -9 loses nothing either way, a loss of power does.
        options: see :class:`EngineOptions`; ``config`` as in NATS' configuration file,
            ``{"max_payload": "1KB"}``.

    Raises:
        EngineAbsent: there is no such program; the sentence says how to get it.
    """

    kind = "nats"

    def __init__(
        self,
        *,
        jetstream: bool = True,
        sync_interval: str = "2m",
        **options: Unpack[EngineOptions],
    ) -> None:
        super().__init__(nats_server(), **options)
        self.jetstream = jetstream
        self.sync_interval = sync_interval

    @property
    def url(self) -> str:
        """``nats://…`` or, with TLS, ``tls://…``."""
        user = f"{USER}:{quote(self.password, safe='')}@" if self.password else ""
        return f"{'tls' if self.tls else 'nats'}://{user}{HOST}:{self.port}"

    def _command(self) -> list[str]:
        path = self.folder / "nats.conf"
        lines = [f"{name}: {value}" for name, value in self._settings().items()]
        path.write_text("\n".join(lines) + "\n")
        return [str(self.program), "--config", str(path)]

    def _settings(self) -> dict[str, str]:
        """Return the lines; JSON's strings and objects are NATS' too."""
        settings = {"listen": json.dumps(f"{HOST}:{self.port}")}
        if self.jetstream:
            store = {"store_dir": str(self.data), "sync_interval": self.sync_interval}
            settings["jetstream"] = json.dumps(store)
        if self.password:
            settings["authorization"] = json.dumps({"user": USER, "password": self.password})
        if self.certificates:
            files = self.certificates
            pair = {"cert_file": str(files.certificate), "key_file": str(files.key)}
            settings["tls"] = json.dumps(pair)
        return {**settings, **self.config}

    def _ready(self, seconds: float) -> bool:
        """Read the line INFO, which comes in plain text; it tells whether JetStream runs."""
        with self._connect(seconds) as connection, connection.makefile("rb") as answers:
            verb, _, info = answers.readline().partition(b" ")
        if verb != b"INFO":
            return False
        return bool(json.loads(info).get("jetstream")) == self.jetstream
