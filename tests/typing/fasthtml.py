"""The elements for FastHTML, by their lazy names."""

from __future__ import annotations

from typing import assert_type

from fastcore.xml import FT

from sse_kit import (
    ConnectionRegistry,
    cleanup_sse_on_unload,
    create_connection_manager_script,
    create_reconnection_script,
    create_sse_element,
)

registry = ConnectionRegistry()


def elements() -> None:
    """Each is an element of FastHTML."""
    assert_type(create_sse_element("/events"), FT)
    assert_type(create_sse_element("/events", "feed", "beforeend", True, class_="x"), FT)  # noqa: FBT003
    create_sse_element(
        "/events", htmx=4, cursor=registry.position(), targets=["#a"], trusted=True, data_x=1
    )
    assert_type(cleanup_sse_on_unload(nonce="abc"), FT)
    assert_type(create_reconnection_script(5000, 5, debug=True, inline=False), FT)
    assert_type(create_connection_manager_script("/sse/connections", 10000), FT)
    create_sse_element()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    create_sse_element("/events", htmx=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_reconnection_script("5s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
