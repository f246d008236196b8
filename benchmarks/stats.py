"""The arithmetic of the tables."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(values: Sequence[int], share: float) -> int | None:
    """Return the value below which ``share`` of the values lie (nearest rank); None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that there are."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def spread(values: Sequence[float]) -> float:
    """Return how far apart the values are, as a share of their median."""
    centre = median(values)
    return (max(values) - min(values)) / centre if centre else 0.0


def ratio(value: float | None, base: float | None) -> float | None:
    """Return ``value`` as a multiple of ``base``; None where either is missing."""
    if value is None or not base:
        return None
    return value / base
