"""Which fault comes when, from a seed: pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fault(StrEnum):
    """What is done; the second word is to whom."""

    KILL_ENGINE = "kill engine"
    FREEZE_ENGINE = "freeze engine"
    RESTART_ENGINE = "restart engine"
    CUT_NETWORK = "cut network"
    HOLD_NETWORK = "hold network"
    KILL_APP = "kill app"
    FREEZE_APP = "freeze app"
    SET_BACK_ENGINE = "set back engine"
    """Killed, and back with an older state."""


SECONDS: dict[Fault, tuple[float, float]] = {
    Fault.KILL_ENGINE: (0.0, 0.6),
    Fault.FREEZE_ENGINE: (0.1, 0.8),
    Fault.RESTART_ENGINE: (0.0, 0.0),
    Fault.CUT_NETWORK: (0.0, 0.0),
    Fault.HOLD_NETWORK: (0.1, 0.8),
    Fault.KILL_APP: (0.0, 0.3),
    Fault.FREEZE_APP: (0.1, 0.8),
    Fault.SET_BACK_ENGINE: (0.0, 0.3),
}
"""How long each lasts, at least and at most, until it is mended."""

LASTING = frozenset({Fault.FREEZE_ENGINE, Fault.HOLD_NETWORK, Fault.FREEZE_APP})
LONG = 0.1
"""The share of the lasting ones that last longer than what answers are waited for."""

LONG_SECONDS = 3.5

OF_ENGINES = (
    *(Fault.KILL_ENGINE, Fault.FREEZE_ENGINE, Fault.RESTART_ENGINE),
    *(Fault.CUT_NETWORK, Fault.HOLD_NETWORK),
)
OF_APPS = (Fault.KILL_APP, Fault.FREEZE_APP)
PAUSE = (0.3, 1.5)
"""Seconds in which all is well, between two faults."""


@dataclass(frozen=True)
class Planned:
    """A fault: after ``pause`` seconds, for ``seconds``, to the app with that index."""

    fault: Fault
    pause: float
    seconds: float
    app: int


def schedule(seed: str, faults: tuple[Fault, ...]) -> Iterator[Planned]:
    """Yield faults without end; each kind comes as often as the others, the apps in turn."""
    chance = random.Random(seed)  # noqa: S311  a seed makes a failure come again
    app = 0
    while True:
        for fault in chance.sample(faults, len(faults)):
            seconds = chance.uniform(*SECONDS[fault])
            if fault in LASTING and chance.random() < LONG:
                seconds = LONG_SECONDS
            yield Planned(fault, chance.uniform(*PAUSE), seconds, app)
            app = 1 - app if fault in OF_APPS else app
