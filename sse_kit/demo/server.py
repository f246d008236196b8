"""Uvicorn (the extra ``cli``), run so that it says when it is ready, and stops without a word.

Importing this module without uvicorn or psutil raises ``MissingExtra``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from sse_kit.demo.app import create_app
from sse_kit.errors import MissingExtra
from sse_kit.transports.setup import SupportsSetup

try:
    import uvicorn
except ImportError as error:  # pragma: no cover - a test runs it in another process
    raise MissingExtra("uvicorn", "cli") from error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection

    from sse_kit.transports.base import Transport


class _Server(uvicorn.Server):
    """Calls ``ready`` once it answers; from then on a signal stops it in good order."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(
    listener: socket.socket,
    *,
    hosts: Collection[str] | None,
    transport: Transport,
    ready: Callable[[], object],
) -> None:
    """Serve the demo on ``listener`` until a signal comes; see ``create_app``.

    Raises:
        InvalidSetting: ``transport`` keeps no history.
        TransportError: its engine cannot be used.
        KeyboardInterrupt: Ctrl-C, after everything was stopped.

    """
    app = create_app(hosts=hosts, transport=transport)
    anyio.run(_try, transport)  # uvicorn would tell of it by a traceback
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    _Server(config, ready).run(sockets=[listener])


async def _try(transport: Transport) -> None:
    """Set the transport up, and enter it once, to see that it can be."""
    if isinstance(transport, SupportsSetup):
        await transport.setup()
    async with transport:
        pass
