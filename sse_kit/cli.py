"""The command ``sse-kit``: ``demo`` runs the demo."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import webbrowser
from importlib import metadata
from typing import TYPE_CHECKING

from sse_kit.errors import InvalidSetting, MissingExtra, TransportError
from sse_kit.transports.urls import transport_from_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_kit.transports.base import Transport

HOST = "127.0.0.1"
PORT = 8000
MAX_PORT = 65_535
LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  a name for it, not a default


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 1 for what could not be done, 2 for a misuse."""
    options = _parser().parse_args(arguments)
    try:
        transport = transport_from_url(options.transport, namespace=options.namespace)
        _demo(options.host, options.port, transport, browser=options.open)
    except (MissingExtra, InvalidSetting, TransportError, _CannotListen) as error:
        sys.stderr.write(f"sse-kit: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0  # how a demo is meant to end
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sse-kit", description="Server-Sent Events for Python.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="run a page with live figures of this machine",
        description="Run a page with live figures of this machine, messages and a job.",
        epilog="One process serves it, there is no --workers: the default transport is this "
        "process's memory, which no other process can read. With another --transport start it "
        "several times, on several ports: what is written on one page appears on all.",
    )
    demo.add_argument("--host", default=HOST, help="address to listen on (default: %(default)s)")
    demo.add_argument(
        "--port", default=PORT, type=_port, help="0 takes a free one (default: %(default)s)"
    )
    demo.add_argument(
        "--transport",
        default="memory://",
        metavar="URL",
        help="where the messages go, such as sqlite:///demo.db, redis://localhost, "
        "nats://localhost, postgresql://localhost (default: %(default)s)",
    )
    demo.add_argument(
        "--namespace",
        default="sse_demo",
        metavar="NAME",
        help="whose messages, on a shared transport (default: %(default)s)",
    )
    demo.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser


def _version() -> str:
    try:
        return f"sse-kit {metadata.version('sse-kit')}"
    except metadata.PackageNotFoundError:
        return "sse-kit, not installed"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        problem = f"{text!r} is no port: use 0 to {MAX_PORT}"
        raise argparse.ArgumentTypeError(problem)
    return int(text)


class _CannotListen(Exception):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        super().__init__(host, port, error)
        self.host, self.port = host, port
        code = error.errno or 0  # below 0 for names that do not resolve
        self.reason = os.strerror(code) if code > 0 else error.strerror

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.host!r}, port {self.port} ({self.reason}): stop what "
            f"listens there, or choose others with --host and --port (0 takes a free port)"
        )


def _demo(host: str, port: int, transport: Transport, *, browser: bool) -> None:
    from sse_kit.demo.server import serve  # noqa: PLC0415  needs the extra

    with _listen(host, port) as listener:
        url = _url(listener)

        def ready() -> None:
            _announce(url)
            if browser:
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

        hosts = None if host in EVERYWHERE else LOCAL | {host}
        serve(listener, hosts=hosts, transport=transport, ready=ready)


def _listen(host: str, port: int) -> socket.socket:
    """Listen before the server runs: its own failure would be a traceback in a log."""
    try:
        family, *_, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
        return socket.create_server((address[0], port), family=family, backlog=2048)
    except OSError as error:
        raise _CannotListen(host, port, error) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in EVERYWHERE:
        host = HOST
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(url: str) -> None:
    sys.stdout.write(
        f"The demo is at {url} (Ctrl-C stops it)\n"
        f"The same in a terminal: curl -N '{url}/events?topic=metrics'\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
