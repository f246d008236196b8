"""The monitor, typed: checked, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from starlette.routing import Mount

from sse_kit.monitor import Authorise, Snapshot, View, local_only, monitor

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_kit import ConnectionRegistry


async def is_admin(request: Request) -> bool:
    """Ask a database, say."""
    return bool(request.session)


def mounts(registry: ConnectionRegistry) -> list[Mount]:
    """Any authoriser will do, waiting or not."""
    whoever: Authorise = is_admin
    return [
        Mount("/a", app=monitor(registry, authorise=local_only)),
        Mount("/b", app=monitor(registry, authorise=whoever, metadata=True)),
        Mount("/c", app=monitor(registry, interval=2, rows=10)),
    ]


def refused(registry: ConnectionRegistry, view: View) -> None:
    """Find what is no authoriser, and no change of a view, before it runs."""
    monitor(registry, authorise="admin")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    view.sort = "age"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


def facts(snapshot: Snapshot) -> None:
    """Each field has its type."""
    assert_type(snapshot.rows[0].rate, float | None)
    assert_type(snapshot.topics.shown[0].count, int)
