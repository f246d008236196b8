"""JetStream spoken by hand, as far as the tests of the fixtures need it."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

CREATE = "$JS.API.STREAM.CREATE.numbers"
DELETE = "$JS.API.STREAM.DELETE.numbers"
INFO = "$JS.API.STREAM.INFO.numbers"


def ask(url: str, subject: str, payload: bytes = b"") -> dict[str, Any]:
    """Send a request, and return its answer."""
    parts = urlsplit(url)
    with (
        socket.create_connection((parts.hostname, parts.port), 5.0) as connection,
        connection.makefile("rb") as lines,
    ):
        lines.readline()  # INFO
        connection.sendall(b'CONNECT {"verbose":false}\r\nSUB inbox 1\r\n')
        connection.sendall(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
        while not (line := lines.readline()).startswith(b"MSG"):
            assert line, "the server hung up"
        answer: dict[str, Any] = json.loads(lines.read(int(line.split()[-1])))
        return answer


def create(url: str) -> None:
    """Make a stream of files, with nothing in it."""
    ask(url, DELETE)
    config = {"name": "numbers", "subjects": ["numbers"], "storage": "file"}
    assert "error" not in ask(url, CREATE, json.dumps(config).encode())


def publish(url: str) -> None:
    """Append a message, and wait for the acknowledgement."""
    assert "seq" in ask(url, "numbers", b"1")


def count(url: str) -> int:
    """Return how many messages there are."""
    number: int = ask(url, INFO)["state"]["messages"]
    return number
