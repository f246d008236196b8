from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from fastcore.xml import FT
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import BaseRoute, Route

_Handler = TypeVar("_Handler", bound=Callable[..., object])

def EventStream(s: AsyncIterable[str | bytes]) -> StreamingResponse: ...

class FastHTML(Starlette):
    hdrs: list[FT]
    ftrs: list[FT]
    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        title: str = "FastHTML page",
        exception_handlers: Mapping[Any, Callable[..., object]] | None = None,
        on_startup: Callable[[], object] | None = None,
        on_shutdown: Callable[[], object] | None = None,
        # Not a context manager: FastHTML iterates over it.
        lifespan: Callable[[Any], AsyncIterator[object]] | None = None,
        hdrs: Iterable[FT] | None = None,
        ftrs: Iterable[FT] | None = None,
        exts: Iterable[str] | str | None = None,
        before: object = None,
        after: object = None,
        surreal: bool = True,
        htmx: bool = True,
        htmx4: bool = False,
        default_hdrs: bool = True,
        sess_cls: type | None = ...,
        secret_key: str | None = None,
        session_cookie: str = "session_",
        max_age: int = ...,
        sess_path: str = "/",
        same_site: str = "lax",
        sess_https_only: bool = False,
        sess_domain: str | None = None,
        key_fname: str = ".sesskey",
        body_wrap: Callable[..., object] = ...,
        htmlkw: dict[str, object] | None = None,
        nb_hdrs: bool = False,
        canonical: bool = True,
        max_part_size: int = ...,
        **bodykw: object,
    ) -> None: ...
    def add_route(self, route: Route) -> None: ...  # type: ignore[override]
    def route(
        self,
        path: str | None = None,
        methods: str | Sequence[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
        body_wrap: Callable[..., object] | None = None,
        host: str | None = None,
        before: object = None,
    ) -> Callable[[_Handler], _Handler]: ...
    def set_lifespan(
        self, value: Callable[[Any], AbstractAsyncContextManager[object] | AsyncIterator[object]]
    ) -> None: ...
