"""Curve detectors: what they find, and how seldom noise alone trips them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trackbridge.comparison.detectors import (
    Signal,
    Values,
    diverged,
    first_nonfinite,
    late_jump,
    never_learned,
    overfit,
    plateau,
    spike,
)

Noise = Callable[[np.random.Generator, int], Values]

NOISES: dict[str, Noise] = {
    "normal": lambda generator, n: generator.normal(1, 0.1, n),
    "gamma": lambda generator, n: generator.gamma(4, 0.25, n),
    "exponential": lambda generator, n: generator.exponential(1, n),
    "lognormal": lambda generator, n: generator.lognormal(0, 0.5, n),
    "t with 3 degrees of freedom": lambda generator, n: np.maximum(0.01, 1 + 0.1 * generator.standard_t(3, n)),
}
N_CURVES = 100


def falling(n: int) -> Values:
    return np.asarray(0.2 + np.exp(-np.linspace(0, 4, n)), dtype=np.float64)


def rate(detect: Callable[[Values], Signal | None], make: Callable[[np.random.Generator], Values]) -> float:
    generator = np.random.default_rng(0)
    return sum(detect(make(generator)) is not None for _ in range(N_CURVES)) / N_CURVES


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("n", [100, 1000])
def test_a_healthy_loss_trips_nothing(noise: Noise, n: int) -> None:
    assert rate(diverged, lambda generator: falling(n) * noise(generator, n)) <= 0.02
    assert rate(never_learned, lambda generator: falling(n) * noise(generator, n)) <= 0.05
    assert rate(spike, lambda generator: falling(n) * noise(generator, n)) <= 0.08


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_a_loss_that_rises_for_good_has_diverged(noise: Noise) -> None:
    n = 1000
    curve = np.where(np.arange(n) < 600, falling(n), 1.2)

    assert rate(diverged, lambda generator: curve * noise(generator, n)) >= 0.98
    found = diverged(np.asarray(curve, dtype=np.float64))
    assert found is not None
    assert 500 <= found.index <= 600


def test_a_loss_that_rises_a_little_has_not_diverged() -> None:
    assert diverged(np.concatenate([falling(500), np.full(500, 0.3)])) is None


@pytest.mark.parametrize(("name", "least"), [("normal", 0.95), ("lognormal", 0.85), ("exponential", 0.7)])
def test_a_flat_loss_never_learned(name: str, least: float) -> None:
    assert rate(never_learned, lambda generator: 0.69 * NOISES[name](generator, 1000)) >= least


def test_a_spike_is_found_where_it_is() -> None:
    curve = falling(500) * NOISES["normal"](np.random.default_rng(0), 500)
    curve[321] *= 50

    found = spike(curve)

    assert found is not None
    assert found.index == 321
    assert found.value > found.threshold == 20


def saturating(generator: np.random.Generator, n: int, jump: float = 0.0) -> Values:
    """Accuracies on 277 examples, as RTE has, that rise from .55 to .70, and jump at 85 % of the way."""
    way = np.linspace(0, 1, n)
    level = 0.55 + 0.15 * (1 - np.exp(-5 * way)) + np.where(way > 0.85, jump, 0)
    return np.asarray(generator.binomial(277, level) / 277, dtype=np.float64)


@pytest.mark.parametrize("n", [15, 20, 50])
def test_noise_of_a_small_evaluation_set_is_no_late_jump(n: int) -> None:
    assert rate(late_jump, lambda generator: saturating(generator, n)) <= 0.03


@pytest.mark.parametrize("n", [20, 50])
def test_a_steady_climb_is_no_late_jump(n: int) -> None:
    climb = np.linspace(0.55, 0.70, n)

    assert rate(late_jump, lambda generator: generator.binomial(277, climb) / 277) <= 0.06


def test_a_late_jump_is_found_where_it_is() -> None:
    assert rate(late_jump, lambda generator: saturating(generator, 50, jump=0.12)) >= 0.85
    found = late_jump(saturating(np.random.default_rng(1), 50, jump=0.12))
    assert found is not None
    assert 40 <= found.index <= 44
    assert found.value == pytest.approx(0.12, abs=0.05)


def test_slow_waves_are_seldom_late_jumps() -> None:
    def wave(generator: np.random.Generator) -> Values:
        values = np.zeros(50)
        for index in range(1, 50):
            values[index] = 0.5 * values[index - 1] + generator.normal(0, 0.01)
        return 0.6 + values

    assert rate(late_jump, wave) <= 0.25


def test_too_few_evaluations_have_no_late_jump() -> None:
    assert late_jump(np.array([0.5] * 8 + [0.9] * 3)) is None


def test_an_evaluation_loss_that_rises_while_the_training_loss_falls_is_overfitting() -> None:
    evaluation = np.array([0.7, 0.5, 0.4, 0.42, 0.45, 0.5, 0.6])

    found = overfit(evaluation, falling(100))

    assert found is not None
    assert (found.index, found.value) == (2, pytest.approx(1.5))
    assert overfit(evaluation, falling(100)[::-1].copy()) is None
    assert overfit(np.array([0.7, 0.5, 0.4, 0.41, 0.40, 0.41]), falling(100)) is None


def test_a_curve_that_no_longer_moves_is_a_plateau() -> None:
    assert rate(plateau, lambda generator: saturating(generator, 50)) >= 0.85
    assert plateau(np.linspace(0, 1, 50)) is None


def test_the_first_nan_is_found_and_all_are_counted() -> None:
    assert first_nonfinite(np.array([1.0, np.nan, 2.0, np.inf])) == Signal(1, 2.0, 0.0)
    assert first_nonfinite(np.array([1.0])) is None


@pytest.mark.parametrize("detect", [diverged, never_learned, late_jump, plateau, spike])
@pytest.mark.parametrize("values", [[], [1.0], [0.0] * 100, [-1.0] * 100], ids=["none", "one", "zeros", "negative"])
def test_odd_curves_break_no_detector(detect: Callable[[Values], Signal | None], values: list[float]) -> None:
    found = detect(np.array(values))

    assert found is None or found.index < len(values)
