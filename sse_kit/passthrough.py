"""Leaving out the wrappers around ``send`` that do nothing with a response's body.

Frameworks wrap ``send`` several times: to note that the response has started, to add a header to
its start. Each wrapper is one more coroutine for every message to every client: with Starlette's
three, a quarter of what a delivery cost. Once the response *has* started they hand on what they
get, so a body may as well go to what is inside of them.

Which wrappers those are is not a matter of names or versions. One is left out if it is written as
:func:`_acts_on_start` is::

    async def sender(message):
        if message["type"] == "http.response.start":
            ...                                         # anything
        await send(message)

that is, if its bytecode up to the branch, and after it, is that of the function here, compiled by
the same Python. So for a body it does just this. Any other is called as ever.
"""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from sse_kit.asgi import Message, Send

KIND = 0x3FF
"""The flags of code that say how it is called; not those of ``__future__``."""


def _acts_on_start(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send(message)

    return sender


class _Guarded(Protocol):
    """A line of an exception table; offsets, ``end`` not included."""

    start: int
    end: int
    target: int
    depth: int
    lasti: bool


class _Step(NamedTuple):
    """One instruction: what it does, with what, and where an error in it goes."""

    name: str
    value: object
    handler: tuple[int, int, bool] | None


def _without_the_branch(code: CodeType) -> tuple[object, ...] | None:
    """Return all that code does unless its first branch is taken; None: it has no branch.

    Places in it are counted from the end of the branch, so that the branch may be of any length.
    """
    instructions = [each for each in dis.get_instructions(code) if each.opname != "EXTENDED_ARG"]
    fork = next((each for each in instructions if "JUMP" in each.opname), None)
    if fork is None:
        return None
    end: int = fork.argval
    table: list[_Guarded] = vars(dis.Bytecode(code))["exception_entries"]
    handlers = [
        (range(each.start, each.end), (each.target - end, each.depth, each.lasti)) for each in table
    ]
    steps = (
        _Step(
            each.opname,
            _value(each, end),
            next((handler for covered, handler in handlers if each.offset in covered), None),
        )
        for each in instructions
        if each.offset <= fork.offset or each.offset >= end
    )
    kind = code.co_flags & KIND
    return (kind, code.co_argcount, code.co_kwonlyargcount, code.co_varnames[:1], *steps)


def _value(instruction: dis.Instruction, end: int) -> object:
    if instruction.opname == "COPY_FREE_VARS":
        return None  # how many variables the branch has from outside
    if "JUMP" in instruction.opname or instruction.opname == "SEND":
        return instruction.argval - end
    return instruction.argval


_SENDER = _without_the_branch(
    next(const for const in _acts_on_start.__code__.co_consts if isinstance(const, CodeType))
)


@lru_cache(maxsize=256)
def _hands_on(code: CodeType) -> bool:
    """Tell whether this is the code of a wrapper that may be left out."""
    return _without_the_branch(code) == _SENDER


def innermost(send: Send) -> Send:
    """Return what is inside of the wrappers that act on the response's start alone.

    For what is sent after ``http.response.start`` it does the same as ``send``.
    """
    while isinstance(send, FunctionType) and _hands_on(send.__code__):
        assert send.__closure__ is not None, "it is closed over what it wraps"  # noqa: S101
        send = send.__closure__[send.__code__.co_freevars.index("send")].cell_contents
    return send
