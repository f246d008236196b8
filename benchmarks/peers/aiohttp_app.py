"""aiohttp-sse over a queue each, on aiohttp's own server with uvloop."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web
from aiohttp_sse import sse_response

from benchmarks.peers.publishing import publish_all
from benchmarks.peers.queues import Queues

queues: Queues[str] = Queues()


async def events(request: web.Request) -> web.StreamResponse:
    """Stream a queue."""
    async with sse_response(request) as response:
        with queues.subscribed() as queue:
            while response.is_connected():
                await response.send(await queue.get())
    return response


async def publish(request: web.Request) -> web.Response:
    """Publish what was asked for."""
    await publish_all(request.query, lambda _, data: queues.publish(data))
    return web.Response(text="published")


def main() -> None:
    """Serve on the port that the command line names."""
    app = web.Application()
    app.add_routes([web.get("/events", events), web.post("/publish", publish)])
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=2048,  # as uvicorn has
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
