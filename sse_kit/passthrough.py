"""Leaving out the wrappers around ``send`` that do nothing for a response's body.

Starlette and FastAPI wrap ``send`` two or three times, to note that the response has started: an
error handler must not answer once more then. Each wrapper is one more coroutine for every message
to every client, a third of what a delivery costs us. Once the response *has* started they hand on
what they get, so a body may as well go to what is inside of them.

Which wrappers those are is not a matter of names or versions: a wrapper is left out if its bytecode
is that of :func:`_noting` here, compiled by the same Python. So it does just this; any other, a
middleware's of yours too, is called as ever.
"""

from __future__ import annotations

from functools import lru_cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_kit.asgi import Message, Send


def _noting(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send(message)

    return sender


def _behaviour(code: CodeType) -> tuple[object, ...]:
    """Return all that decides what a call of this code does, given what it is closed over."""
    return (
        code.co_code,
        code.co_exceptiontable,
        code.co_consts,
        code.co_names,
        code.co_freevars,
        code.co_cellvars,
        code.co_nlocals,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags,
    )


_NOTES = next(
    _behaviour(const) for const in _noting.__code__.co_consts if isinstance(const, CodeType)
)


@lru_cache(maxsize=64)
def _only_notes(code: CodeType) -> bool:
    """Tell whether this is the code of a wrapper that may be left out."""
    return _behaviour(code) == _NOTES


def innermost(send: Send) -> Send:
    """Return what is inside of the wrappers that only note that the response has started.

    For what is sent after ``http.response.start`` it does the same as ``send``.
    """
    while isinstance(send, FunctionType) and _only_notes(send.__code__):
        assert send.__closure__ is not None, "it is closed over what it wraps"  # noqa: S101
        send = send.__closure__[send.__code__.co_freevars.index("send")].cell_contents
    return send
