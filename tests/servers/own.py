"""The application as a program that is its own server, in the ways that applications do that."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import uvicorn

from tests.servers.apps import app, record, registry


def in_main_thread(config: uvicorn.Config) -> None:
    """Serve in a loop of one's own, with handlers that were there before."""

    def handle(number: int, _: object) -> None:
        record(f"handled {number}")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    asyncio.run(uvicorn.Server(config).serve())
    record(f"restored {signal.getsignal(signal.SIGTERM) is handle}")


def in_a_thread(config: uvicorn.Config) -> None:
    """Serve beside a main thread that has other things to do, and hears the signals."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.should_exit = True
    registry.close()
    thread.join()


def main() -> None:
    how, port = sys.argv[1:]
    config = uvicorn.Config(app, port=int(port))
    signal.pthread_sigmask(signal.SIG_BLOCK, set() if how == "main" else {2, 15})
    (in_main_thread if how == "main" else in_a_thread)(config)


if __name__ == "__main__":
    main()
