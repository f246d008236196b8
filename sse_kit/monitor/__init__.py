"""The monitor: a live page about a registry, to be mounted into an app.

::

    from sse_kit.monitor import monitor

    Mount("/monitor", app=monitor(registry, authorise=is_admin))  # FastHTML, FastAPI, Starlette

It shows every connection of this process, what they follow and how far behind they are, the rates,
and how the transport is; and it can end a single stream. ``authorise`` takes each request for it
(Starlette's, with the session and the user that the app around it has put there) and tells whether
it may be answered; a kick is the one that is a POST. Without an authoriser nobody is served: in a
proxy's shadow every client of the world comes from 127.0.0.1, so there is no safe guess. For a
machine of one's own there is :func:`local_only`.

Theory of operation. What is shown is made once a tick for all who watch, by whichever of them is
first, and not at all while nobody does (:mod:`sse_kit.monitor.feed`). It goes out over streams of
its own, which are no connections of the registry, are not in its log, and not counted. Of thousands
of connections a page gets the counts, and the rows that are first by its filter and its order.
"""

from sse_kit.monitor.app import monitor
from sse_kit.monitor.guard import Authorise, local_only
from sse_kit.monitor.models import Snapshot, View

__all__ = ("Authorise", "Snapshot", "View", "local_only", "monitor")
