"""sse_kit.demo.metrics: the machine's own figures, in their ranges."""

from __future__ import annotations

from itertools import count

from sse_kit.demo.metrics import Meter


def test_figures_are_in_their_ranges() -> None:
    """Percent are percent, and no more memory is used than there is."""
    sample = Meter().sample()
    assert 0 <= sample.cpu <= 100
    assert 0 <= sample.memory <= 100
    assert 0 < sample.used < sample.total
    assert sample.cores >= 1


def test_traffic_is_per_second() -> None:
    """The same bytes over a longer time are a smaller rate."""
    slow = Meter(clock=count(step=10**12).__next__).sample()
    assert slow.received < 1
    assert slow.sent < 1


def test_two_samples_at_the_same_moment_have_a_rate() -> None:
    """A clock that stands still divides nothing by zero."""
    sample = Meter(clock=lambda: 0.0).sample()
    assert sample.received >= 0
    assert sample.sent >= 0
