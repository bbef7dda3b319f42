"""Comet's metrics, one message for each value, gathered to points: what came at one time for one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from trackbridge.sources.base import Points

_NOTHING = Points(0, 0, {})


class Value(NamedTuple):
    """One value of a metric, as Comet's page names it."""

    name: str
    number: float
    step: Any
    epoch: float | None


def value_of(metric: dict[str, Any], context: Any) -> Value:
    """The value in a message; `step` is as it stands there.

    Raises:
        ValueError: it is no number; NaN and infinities are texts in Comet's messages.
        LookupError: a field is missing.
    """
    name = str(metric["metricName"])
    epoch = metric.get("epoch")
    return Value(
        f"{context}_{name}" if context else name,
        float(metric["metricValue"]),
        metric.get("step"),
        None if epoch is None else float(epoch),
    )


class Gathering:
    """Takes values one by one and gives points when the next value belongs to others."""

    def __init__(self) -> None:
        self._points = _NOTHING

    def add(self, t: int, step: int, epoch: float | None, name: str, number: float) -> Iterator[Points]:
        """Take a value; the points that are complete by it."""
        points = self._points
        if name in points.metrics or (t, step, epoch) != (points.t, points.step, points.epoch):
            yield from self.flushed()
            self._points = Points(t, step, {}, epoch)
        self._points.metrics[name] = number

    def flushed(self) -> Iterator[Points]:
        """The points that wait for more."""
        if self._points.metrics:
            yield self._points
            self._points = _NOTHING
