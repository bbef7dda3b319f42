"""Scales: where a value lies on an axis, and which values deserve a tick. One object per kind of axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from trackbridge.report.text import count_text, duration_text

_ROUND_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Tick:
    """A value worth a grid line, and its label."""

    value: float
    label: str


class ScaleKind(Protocol):
    """What makes a scale for values."""

    def covering(self, values: NDArray[np.float64], *, padding: float = 0.04) -> Scale:
        """A scale that holds the finite values, with `padding` of their span at both ends."""


class Scale(Protocol):
    """An axis from its lower end (0) to its upper end (1)."""

    note: ClassVar[str]

    @property
    def low(self) -> float:
        """The lower end, in the unit of the axis."""

    @property
    def high(self) -> float:
        """The upper end."""

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where finite values lie, as fractions of the axis."""

    def ticks(self, n: int) -> list[Tick]:
        """About `n` round values within the axis."""


@dataclass(frozen=True, slots=True)
class LinearScale:
    """Equal distances for equal differences."""

    low: float
    high: float
    note: ClassVar[str] = ""

    @classmethod
    def covering(cls, values: NDArray[np.float64], *, padding: float = 0.04) -> LinearScale:
        """A scale that holds all finite values, with `padding` of their span at both ends."""
        low, high = _span(values)
        margin = (high - low) * padding or abs(low) * 0.1 or 0.5
        return cls(low - margin, high + margin) if padding or low == high else cls(low, high)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values - self.low) / (self.high - self.low)

    def ticks(self, n: int) -> list[Tick]:
        distance = _round_distance((self.high - self.low) / max(1, n))
        first, last = math.ceil(self.low / distance), math.floor(self.high / distance)
        decimals = max(0, -math.floor(math.log10(distance) + 1e-9))
        ticks = [index * distance for index in range(first, last + 1)]
        return [Tick(value, _tick_label(value, distance, decimals)) for value in ticks]


@dataclass(frozen=True, slots=True)
class LogScale:
    """Equal distances for equal ratios; values of zero and below lie at the lower end. `low` and `high` are log10."""

    low: float
    high: float
    note: ClassVar[str] = "log scale"

    @classmethod
    def covering(cls, values: NDArray[np.float64], *, padding: float = 0.04) -> LogScale:
        """A scale that holds all finite values above zero."""
        low, high = _span(np.log10(values[np.isfinite(values) & (values > 0)]))
        margin = (high - low) * padding or 0.5
        return cls(low - margin, high + margin) if padding or low == high else cls(low, high)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithms = np.log10(values, out=np.full(values.shape, self.low), where=values > 0)
        return (logarithms - self.low) / (self.high - self.low)

    def ticks(self, n: int) -> list[Tick]:
        if self.high - self.low < 1:
            return LinearScale(10**self.low, 10**self.high).ticks(n)
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        multiples = (1, 2, 5) if self.high - self.low < n / 3 else (1,)
        every = max(1, math.ceil(len(decades) / max(1, n)))
        values = [factor * 10.0**decade for decade in decades if decade % every == 0 for factor in multiples]
        return [Tick(value, f"{value:g}") for value in values if self.low <= math.log10(value) <= self.high]


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Seconds, with ticks at round minutes, hours and days."""

    low: float
    high: float
    note: ClassVar[str] = ""

    @classmethod
    def covering(cls, values: NDArray[np.float64], *, padding: float = 0.04) -> TimeScale:
        """A scale that holds all finite values, with `padding` of their span at both ends."""
        linear = LinearScale.covering(values, padding=padding)
        return cls(linear.low, linear.high)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values - self.low) / (self.high - self.low)

    def ticks(self, n: int) -> list[Tick]:
        wanted = (self.high - self.low) / max(1, n)
        round_s = next((one for one in _ROUND_S if one >= wanted), math.ceil(wanted / 86400) * 86400)
        distance = _round_distance(wanted) if wanted < 1 else round_s
        first, last = math.ceil(self.low / distance), math.floor(self.high / distance)
        return [Tick(index * distance, self.label(index * distance)) for index in range(first, last + 1)]

    @staticmethod
    def label(seconds: float) -> str:
        """A time in words: `0.5 s`, `12 min 5 s`."""
        return duration_text(seconds) if abs(seconds) >= 60 else f"{seconds:.4g} s"


@dataclass(frozen=True, slots=True)
class NameScale:
    """Names side by side, in their order: the first one is at 0."""

    names: tuple[str, ...]
    note: ClassVar[str] = ""

    @property
    def low(self) -> float:
        """Half a place before the first name."""
        return -0.5

    @property
    def high(self) -> float:
        """Half a place after the last name."""
        return max(1, len(self.names)) - 0.5

    def covering(self, values: NDArray[np.float64], *, padding: float = 0.04) -> NameScale:
        """The same scale: its names do not depend on which of them are drawn."""
        return self

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values - self.low) / (self.high - self.low)

    def ticks(self, n: int) -> list[Tick]:
        return [Tick(index, name) for index, name in enumerate(self.names)]


def suitable_scale(curves: Sequence[NDArray[np.float64]]) -> type[LinearScale] | type[LogScale]:
    """A log scale where all values are above zero and span more than three decades, else a linear one."""
    values = np.concatenate([np.empty(0), *curves])
    finite = values[np.isfinite(values)]
    spans_decades = len(finite) > 0 and finite.min() > 0 and finite.max() / 1000 > finite.min()
    return LogScale if spans_decades else LinearScale


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


def _round_distance(distance: float) -> float:
    """The nearest of 1, 2, 2.5, 5 or 10 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(distance))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= distance * (1 - 1e-9))


def _tick_label(value: float, distance: float, decimals: int) -> str:
    if abs(value) < distance / 2:
        return "0"
    if distance >= 1:
        return count_text(value)
    if distance < 1e-4:
        return f"{value:.3g}"
    # A distance of 0.25 or 0.025 needs one digit more than its power of ten says.
    text = f"{value:.{decimals + 1}f}"
    return text[:-1] if text.endswith("0") and round(distance * 10 ** (decimals + 1)) % 10 == 0 else text
