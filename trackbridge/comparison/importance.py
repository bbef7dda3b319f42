"""
Parameter importance that can say no: which parameters a score is associated with, by evidence and not by a ranking.

A random forest or a correlation always names a winner, on pure noise too. Here a parameter is named only where random
shuffles of the scores rarely do as well. Replicates count as one setting: their seeds are no evidence for its effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.parameters import Dropped, Parameter, parameters_of, ranks
from trackbridge.comparison.statistics.multiplicity import holm

EvidenceFor: TypeAlias = Literal["associated", "no evidence", "not enough runs"]

ALPHA = 0.05
MIN_SHUFFLES = 2000
SHUFFLES_PER_PARAMETER = 100
MIN_SETTINGS = 5

VISIBLE_ENOUGH = 0.5
"""Where even a parameter that explains this share of the ranking could go unseen, "no evidence" would mislead."""

MAX_NAMED = 4
"""A sentence names so many keys that cannot be told apart."""

CLOSE = 0.5
"""From this correlation on, another parameter is named beside one that is associated with the score."""


@dataclass(frozen=True)
class ParameterImportance:
    """What the scores say of one parameter.

    `explained` is the adjusted R² of the ranks of the scores: the share of the ranking that it explains, 0 at worst.
    `smallest_visible` is the (plain) R² from which on it would have been named. `p_adjusted` is by Holm over all
    parameters. `failing_p` is the p of an association with runs that learn nothing, where some did. `closest` is the
    other parameter that varies most with it, and how much (canonical correlation), from .5 on.
    """

    parameter: Parameter
    evidence: EvidenceFor
    explained: float
    p: float
    p_adjusted: float
    smallest_visible: float
    failing_p: float | None = None
    closest: tuple[str, float] | None = None

    @property
    def sentence(self) -> str:
        """The evidence with its numbers, to be read on its own."""
        one = self.parameter
        keys = (one.key, *one.aliases)
        more = f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
        name = " = ".join(keys[:MAX_NAMED]) + more + (" (cannot be told apart)" if one.aliases else "")
        return f"{name}: {self._claim()}{self._failing()}"

    def _claim(self) -> str:
        if self.evidence == "no evidence":
            return f"no evidence (p = {self.p_adjusted:.2g})"
        if self.evidence == "not enough runs":
            return f"not enough runs to tell: only what explains {self.smallest_visible:.0%} or more could be seen"
        beside = f"; it varies with {self.closest[0]} (correlation {self.closest[1]:.2f})" if self.closest else ""
        return f"associated with about {self.explained:.0%} of the score ranking (p = {self.p_adjusted:.2g}){beside}"

    def _failing(self) -> str:
        if self.failing_p is None or self.failing_p >= ALPHA:
            return ""
        return f"; also with runs that learned nothing (p = {self.failing_p:.2g})"


@dataclass(frozen=True)
class Importance:
    """The parameters, the strongest association first; `reason` says why there are none, where there are none.

    `settings` are the groups' labels, `scores` their mean scores, NaN where no run counts; a parameter's values are
    those of the settings with a score alone, in the same order.
    """

    parameters: tuple[ParameterImportance, ...]
    dropped: tuple[Dropped, ...]
    settings: tuple[str, ...]
    scores: tuple[float, ...]
    reason: str = ""


def parameter_importance(
    groups: Sequence[ReplicateGroup], counted: Mapping[str, float], failed: Collection[str] = (), seed: int = 0
) -> Importance:
    """Which parameters the scores of settings are associated with.

    The scores become ranks. A number may act through its rank and squared rank, anything else through its levels.
    R² is compared with that of shuffled scores, the same shuffles for all parameters; p = (1 + hits) / (1 + shuffles).

    Args:
        groups: the settings, each with its replicates.
        counted: by run id, the scores that count.
        failed: ids of runs that learned nothing; whether a parameter makes runs fail is asked apart.
        seed: of the shuffles.

    Source: Fisher 1935, "The design of experiments", section 21, for shuffling; Conover and Iman 1981, "Rank
    transformations as a bridge between parametric and nonparametric statistics", for ranks; Holm 1979.
    """
    scores = [_mean([counted[run.run_id] for run in group.runs if run.run_id in counted]) for group in groups]
    labels = tuple(group.label for group in groups)
    scored = [group for group, score in zip(groups, scores, strict=True) if score is not None]
    parameters, dropped = parameters_of(scored)
    if len(scored) < MIN_SETTINGS or not parameters:
        reason = _lacking(len(scored), parameters)
        return Importance((), tuple(dropped), labels, _floats(scores), reason)
    failing = _failing(groups, failed, seed)
    found = [
        replace(one, failing_p=failing.get(one.parameter.key), closest=_closest(one, parameters))
        for one in _tested(parameters, [score for score in scores if score is not None], seed)
    ]
    found.sort(key=lambda one: (one.p_adjusted, -one.explained))
    return Importance(tuple(found), tuple(dropped), labels, _floats(scores))


def _mean(scores: Sequence[float]) -> float | None:
    return fmean(scores) if scores else None


def _floats(scores: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(float("nan") if score is None else score for score in scores)


def _lacking(n_scored: int, parameters: Sequence[Parameter]) -> str:
    if n_scored < MIN_SETTINGS:
        return f"not enough runs: {n_scored} settings have a score that counts, {MIN_SETTINGS} are needed at least"
    return "no config key differs between the settings"


def _tested(parameters: Sequence[Parameter], scores: Sequence[float], seed: int) -> list[ParameterImportance]:
    explained, shuffled = _explained(parameters, scores, seed)
    p_values = (1 + (shuffled >= explained - 1e-12).sum(axis=0)) / (1 + len(shuffled))
    visible = np.quantile(shuffled, 1 - ALPHA / len(parameters), axis=0)
    tested = []
    for index, adjusted in enumerate(holm(p_values.tolist())):
        unseen: EvidenceFor = "not enough runs" if visible[index] > VISIBLE_ENOUGH else "no evidence"
        tested.append(
            ParameterImportance(
                parameter=parameters[index],
                evidence="associated" if adjusted < ALPHA else unseen,
                explained=_adjusted_share(float(explained[index]), len(scores), parameters[index].basis.shape[1]),
                p=float(p_values[index]),
                p_adjusted=adjusted,
                smallest_visible=float(visible[index]),
            )
        )
    return tested


def _adjusted_share(explained: float, n: int, df: int) -> float:
    """R² less what so many columns explain of pure noise; 0 where nothing is left."""
    return max(0.0, 1 - (1 - explained) * (n - 1) / (n - 1 - df)) if n - 1 > df else 0.0


def _explained(
    parameters: Sequence[Parameter], scores: Sequence[float], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R² of each parameter, float[m], and of shuffled scores, float[shuffles, m]."""
    ranked = ranks(scores)
    ranked -= ranked.mean()
    size = float(np.linalg.norm(ranked))
    if size == 0:
        return np.zeros(len(parameters)), np.ones((1, len(parameters)))
    # With more parameters Holm asks for a smaller p, which takes more shuffles to reach.
    n_shuffles = max(MIN_SHUFFLES, SHUFFLES_PER_PARAMETER * len(parameters))
    shuffled = np.random.default_rng(seed).permuted(np.tile(ranked / size, (n_shuffles, 1)), axis=1)
    basis = np.hstack([one.basis for one in parameters])
    ends = np.cumsum([one.basis.shape[1] for one in parameters])
    starts = np.concatenate([[0], ends[:-1]])
    fits = np.vstack([ranked / size, shuffled]) @ basis
    squares = np.add.reduceat(fits**2, starts, axis=1)
    return squares[0], squares[1:]


def _failing(groups: Sequence[ReplicateGroup], failed: Collection[str], seed: int) -> dict[str, float]:
    """By parameter, the adjusted p of an association with the rate of failed runs; empty where none or all failed."""
    rates = [fmean(run.run_id in failed for run in group.runs) for group in groups]
    parameters, _ = parameters_of(groups) if len(set(rates)) > 1 else ([], [])
    if not parameters:
        return {}
    return {one.parameter.key: one.p_adjusted for one in _tested(parameters, rates, seed)}


def _closest(one: ParameterImportance, parameters: Sequence[Parameter]) -> tuple[str, float] | None:
    if one.evidence != "associated":
        return None
    own = one.parameter
    related = (
        (float(np.linalg.norm(own.basis.T @ other.basis, 2)), other.key) for other in parameters if other is not own
    )
    correlation, key = max(related, default=(0.0, ""))
    return (key, correlation) if correlation >= CLOSE else None
