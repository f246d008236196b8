"""What an element needs to show a stream by htmx: its attributes, for htmx 2 and for htmx 4.

htmx 2 reads the ``sse-…`` attributes by its extension ``sse``, htmx 4 the ``hx-sse:…`` ones by its
extension ``hx-sse``, or ``hx-sse-…`` where FastHTML made ``-`` its meta character. Under both, the
kit's runtime, where a page has it, puts its own connection behind the element; without it htmx
connects as it does by itself.

htmx 4 swaps nameless events only, and of ``sse-swap`` it knows nothing: ``data-sse-swap`` tells the
runtime which names it is to take away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from sse_kit.config import Settings
from sse_kit.errors import InvalidSetting
from sse_kit.messages import DEFAULT_EVENT, event_name

if TYPE_CHECKING:
    from collections.abc import Iterator

HtmxVersion: TypeAlias = Literal[2, 4]

SWAP_STYLES = (
    *("innerHTML", "outerHTML", "textContent", "delete", "none"),
    *("beforebegin", "afterbegin", "beforeend", "afterend"),
    *("innerMorph", "outerMorph", "outerSync"),
)
"""Those of htmx 2, and then those that only htmx 4 has."""

OWN_OF_EVENTSOURCE = frozenset({"open", "error"})

_SPACE = re.compile(r"\s")


def _swapped_event(name: str) -> str:
    event_name(name)
    if "," in name or name != name.strip():
        raise InvalidSetting("events", name, "cannot be told apart in a list", "rename the event")
    if name in OWN_OF_EVENTSOURCE:
        raise InvalidSetting("events", name, "is an EventSource's own", "rename the event")
    return name


def _address(value: str) -> str:
    if value.strip() != value or "\0" in value:
        raise InvalidSetting("endpoint", value, "is no address", "encode what is special in it")
    return value


SwappedEvent = Annotated[str, AfterValidator(_swapped_event)]
Address = Annotated[str, AfterValidator(_address), Field(min_length=1)]


class ElementConfig(Settings):
    """An element that connects to a stream, and shows its events.

    ``events`` are swapped into it by the style ``swap``, that of htmx, modifiers too (empty: what
    htmx is configured for); ``close_event`` ends the stream (empty: none does). ``cursor`` is the
    position that its content was rendered at.

    What users wrote may be in a message, so the page takes out what would act before it shows one:
    scripts, handlers, ``javascript:`` addresses, forms, all attributes of htmx but
    ``hx-swap-oob``. That may change what is inside the element, since this is the stream's own, and
    what matches one of the ``targets`` (selectors). ``trusted``: no message has anything in it that
    a user wrote, or all of that is escaped; then nothing is taken out.
    """

    endpoint: Address
    events: Annotated[tuple[SwappedEvent, ...], Field(min_length=1)] = (DEFAULT_EVENT,)
    swap: str = ""
    close_event: str = "close"
    cursor: str = ""
    targets: tuple[str, ...] = ()
    trusted: bool = False

    def attributes(self, version: HtmxVersion) -> dict[str, str]:
        """Return the attributes of the element, by name, not yet escaped."""
        pairs = {2: self._of_htmx_2, 4: self._of_htmx_4}[version]
        return {name: value for name, value in (*pairs(), *self._of_both()) if value}

    def _of_htmx_2(self) -> Iterator[tuple[str, str]]:
        yield "hx-ext", "sse"
        yield "sse-connect", self.endpoint
        yield "sse-swap", ",".join(self.events)
        yield "sse-close", self.close_event

    def _of_htmx_4(self) -> Iterator[tuple[str, str]]:
        for meta in ":-":
            yield f"hx-sse{meta}connect", self.endpoint
            yield f"hx-sse{meta}close", self.close_event
        if self.events != (DEFAULT_EVENT,):
            yield "data-sse-swap", ",".join(self.events)

    def _of_both(self) -> Iterator[tuple[str, str]]:
        yield "hx-swap", self.swap
        yield "data-sse-cursor", self.cursor
        yield "data-sse-targets", ", ".join(self.targets)
        yield "data-sse-trusted", "true" if self.trusted else ""


def events_and_style(swap_strategy: str) -> tuple[tuple[str, ...], str]:
    """Read the origin's ``swap_strategy``: a style of htmx, or names of events between commas."""
    style = _SPACE.split(swap_strategy, maxsplit=1)[0]
    if style in SWAP_STYLES:
        return (DEFAULT_EVENT,), swap_strategy
    return tuple(name.strip() for name in swap_strategy.split(",")), ""
