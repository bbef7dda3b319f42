"""
Which seed matters: how much of a score's variance comes from initial weights, from the order of the data, from dropout.

Dodge et al. 2020 (https://arxiv.org/abs/2002.06305) found initial weights and data order to matter about equally, on
grids of 25 by 25 seeds. A grid is not needed: three runs for each seed, one varied at a time, say something already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.statistics.intervals import LEVEL, Interval
from trackbridge.store.records import RunRecord

SeedName: TypeAlias = Literal["init", "data", "dropout"]
Part: TypeAlias = Literal["init", "data", "dropout", "interaction"]
SEED_NAMES: tuple[SeedName, ...] = ("init", "data", "dropout")

N_DRAWS = 10_000
MIN_RUNS_OF_A_SEED = 3


@dataclass(frozen=True, slots=True)
class SeedPart:
    """What one seed does to a score: its sd, and its share of the variance, each with a 95 % interval.

    `df` are the degrees of freedom that the sd is known with. `what` is a seed, or "interaction" for what seeds do
    together that none does alone, which only a crossed design can tell apart.
    """

    what: Part
    sd: float
    sd_interval: Interval
    share: float
    share_interval: Interval
    df: int


@dataclass(frozen=True, slots=True)
class SeedVariance:
    """The parts of a score's variance. `design` says how the seeds were varied; `reason` why there are no parts.

    `one at a time`: each part is conditional on the values at which the other seeds were held, and holds what they
    do together. `crossed`: seeds were combined, so parts are of the whole.
    """

    design: Literal["crossed", "one at a time", "none"]
    parts: tuple[SeedPart, ...]
    n_runs: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _MeanSquare:
    """A mean square, its degrees of freedom, and how often the part of interest is in what it is expected to be."""

    value: float
    df: int
    size: float


def seed_variance(runs: Sequence[RunRecord], scores: Mapping[str, float], seed: int = 0) -> SeedVariance:
    """Which share of the variance of a score each seed has, among replicates.

    Args:
        runs: replicates, with the seeds they recorded.
        scores: by run id, the scores that count; runs without one are left out.
        seed: of the draws that the intervals are made of.
    """
    scored = [run for run in runs if run.run_id in scores and run.seeds.all is None]
    recorded = [name for name in SEED_NAMES if any(getattr(run.seeds, name) is not None for run in scored)]
    known = [run for run in scored if recorded and all(getattr(run.seeds, name) is not None for name in recorded)]
    values = np.array([scores[run.run_id] for run in known], dtype=np.float64)
    levels = {name: _codes([getattr(run.seeds, name) for run in known]) for name in recorded}
    varied = {name: codes for name, codes in levels.items() if codes.max(initial=0) > 0}
    if len(known) < MIN_RUNS_OF_A_SEED or not varied:
        return SeedVariance("none", (), len(known), _lacking(len(known), len(runs)))
    if _is_crossed(varied) and _rest_df(varied, len(values)) > 0:
        return SeedVariance("crossed", _crossed_parts(varied, values, seed), len(values))
    squares = {name: square for name in varied if (square := _one_at_a_time(name, varied, values)) is not None}
    if not squares:
        reason = "no two runs differ in one seed alone: vary one seed at a time, or all combinations of two"
        return SeedVariance("none", (), len(values), reason)
    alone = f"only the {next(iter(varied))} seed was varied, so there is nothing to share"
    reason = alone if len(varied) == 1 else ""
    return SeedVariance("one at a time", _parts(squares, None, seed), len(values), reason)


def _lacking(n_known: int, n_runs: int) -> str:
    return (
        f"{n_known} of {n_runs} runs recorded their seeds apart and have a score that counts:"
        f" {MIN_RUNS_OF_A_SEED} or more are needed, and a seed that varies"
    )


def _codes(values: Sequence[int]) -> NDArray[np.int64]:
    return np.unique(np.array(values, dtype=np.int64), return_inverse=True)[1].astype(np.int64)


def _is_crossed(levels: Mapping[SeedName, NDArray[np.int64]]) -> bool:
    """Whether several seeds were combined: each value of one occurs with two or more values of every other."""
    if len(levels) < 2:
        return False
    for one, other in permutations(levels.values(), 2):
        cells = {(int(a), int(b)) for a, b in zip(one, other, strict=True)}
        if min(Counter(a for a, _ in cells).values()) < 2:
            return False
    return True


def _design(
    levels: Mapping[SeedName, NDArray[np.int64]], n: int, without: SeedName | None = None
) -> NDArray[np.float64]:
    columns = [np.ones((n, 1))]
    columns += [np.eye(codes.max() + 1)[codes][:, 1:] for name, codes in levels.items() if name != without]
    return np.hstack(columns)


def _rest_df(levels: Mapping[SeedName, NDArray[np.int64]], n: int) -> int:
    return n - int(np.linalg.matrix_rank(_design(levels, n)))


def _crossed_parts(
    levels: Mapping[SeedName, NDArray[np.int64]], values: NDArray[np.float64], seed: int
) -> tuple[SeedPart, ...]:
    """Variance components of main effects by fitting constants; what is left is what seeds do together.

    In a full grid these are the usual mean squares of a crossed analysis of variance.

    Source: Henderson 1953, "Estimation of variance and covariance components", method 3, Biometrics 9; Searle,
    Casella and McCulloch 1992, "Variance components", section 5.5.
    """
    n = len(values)
    full = _residual_maker(_design(levels, n))
    rest = _MeanSquare(float(values @ full @ values) / _rest_df(levels, n), _rest_df(levels, n), 0.0)
    squares: dict[SeedName, _MeanSquare] = {}
    for name, codes in levels.items():
        reduced = _residual_maker(_design(levels, n, without=name))
        df = round(float(np.trace(reduced - full)))
        indicators = np.eye(codes.max() + 1)[codes]
        size = float(np.trace(indicators.T @ reduced @ indicators)) / df
        squares[name] = _MeanSquare(float(values @ (reduced - full) @ values) / df, df, size)
    return _parts(squares, rest, seed)


def _residual_maker(design: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.eye(len(design)) - design @ np.linalg.pinv(design)


def _one_at_a_time(
    name: SeedName, levels: Mapping[SeedName, NDArray[np.int64]], values: NDArray[np.float64]
) -> _MeanSquare | None:
    """The variance within sets of runs that share the other two seeds, pooled."""
    others = [codes for other, codes in levels.items() if other != name]
    sets: dict[tuple[int, ...], list[float]] = {}
    for index, value in enumerate(values.tolist()):
        sets.setdefault(tuple(int(codes[index]) for codes in others), []).append(value)
    repeated = [np.array(one) for one in sets.values() if len(one) > 1]
    df = sum(len(one) - 1 for one in repeated)
    return _MeanSquare(sum(float(np.sum((one - one.mean()) ** 2)) for one in repeated) / df, df, 1.0) if df else None


def _parts(squares: Mapping[SeedName, _MeanSquare], rest: _MeanSquare | None, seed: int) -> tuple[SeedPart, ...]:
    """The parts with generalized intervals: each mean square over its chi-square is what it may really be.

    Source: Weerahandi 1993, "Generalized confidence intervals", JASA 88.
    """
    generator = np.random.default_rng(seed)
    noise = _with_draws(rest, generator) if rest else np.zeros(N_DRAWS + 1)
    variances: dict[Part, NDArray[np.float64]] = {
        name: np.maximum(0.0, (_with_draws(square, generator) - noise) / square.size)
        for name, square in squares.items()
    }
    dfs: dict[Part, int] = {name: square.df for name, square in squares.items()}
    if rest:
        variances["interaction"], dfs["interaction"] = noise, rest.df
    total = np.sum(list(variances.values()), axis=0)
    if not total[0]:
        return ()
    return tuple(
        SeedPart(
            what=what,
            sd=float(np.sqrt(variance[0])),
            sd_interval=_percentiles(np.sqrt(variance[1:])),
            share=float(variance[0] / total[0]),
            share_interval=_percentiles(variance[1:] / total[1:]),
            df=dfs[what],
        )
        for what, variance in variances.items()
    )


def _with_draws(square: _MeanSquare, generator: np.random.Generator) -> NDArray[np.float64]:
    """The mean square at hand, and after it what it may really be."""
    drawn = square.value * square.df / generator.chisquare(square.df, N_DRAWS)
    return np.concatenate([[square.value], drawn])


def _percentiles(draws: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
