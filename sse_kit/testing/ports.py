"""Ports for servers that tests start, and kill."""

from __future__ import annotations

import secrets
import socket
import sys

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below what systems give to outgoing connections (Linux: from 32768, elsewhere from 49152).

While a server is dead its port is free. A client that tries it again and again from a port of the
same range would sooner or later be given that very one, and be connected with itself.
"""


def free_port() -> int:
    """Return a port of loopback that nobody listens at, and that no client is given."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            if sys.platform != "win32":  # there it would share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if _binds(probe, port):
                return port


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((HOST, port))
    except OSError:
        return False
    return True
