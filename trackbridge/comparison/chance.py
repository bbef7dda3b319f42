"""
Chance: the score of a model that has learned nothing, and how far an evaluation set alone can move a score.

Both follow from the labels of the evaluation set, which the pipeline records under the scope `data`, and which a script
can: `config={...}` there with `examples` and `labels` (counts by label) below `eval`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trackbridge.store.records import RunRecord

_MATTHEWS = frozenset(("mcc", "matthews_corrcoef", "matthews_correlation"))
_PEARSON = frozenset(("pearson", "pearsonr", "pearson_correlation"))
_OTHER_CORRELATIONS = frozenset(("spearman", "spearmanr", "spearman_correlation", "kappa", "cohen_kappa", "r2"))
_ACCURACIES = frozenset(("accuracy", "acc"))
_AREAS = frozenset(("auc", "roc_auc", "auroc"))


ROUNDING = 1e-6
"""The same share of labels, computed in another order or in 32 bits, differs by less."""


@dataclass(frozen=True, slots=True)
class EvaluationFloor:
    """One standard error that a score has from the evaluation set's size alone, whatever the seeds."""

    n_examples: int
    standard_error: float


def chance_level(run: RunRecord, metric: str) -> float | None:
    """What a model that has learned nothing scores at best; None where that cannot be known.

    Correlations: 0, AUC: .5. Accuracy: the share of the majority label. F1 of labels 0 and 1: that of always saying
    1. The last two need the labels of the evaluation set.

    Source: Mosbach, Andriushchenko and Klakow 2021, https://arxiv.org/abs/2006.04884, section 3, whose failed runs
    score no better than the majority class at the end of training.
    """
    kind = _kind(metric)
    if kind in _MATTHEWS | _PEARSON | _OTHER_CORRELATIONS:
        return 0.0
    if kind in _AREAS:
        return 0.5
    data = _evaluated_on(run, metric)
    if kind in _ACCURACIES:
        recorded = data.get("majority_accuracy")
        return float(recorded) if isinstance(recorded, (int, float)) else _majority_share(data)
    if kind == "f1" and (share := _share_of_ones(data)) is not None:
        return 2 * share / (1 + share)
    return None


def learned_nothing(score: float, level: float) -> bool:
    """Whether a score is no better than chance; NaN is not better than anything."""
    return not score > level + ROUNDING


def evaluation_floor(run: RunRecord, metric: str, score: float) -> EvaluationFloor | None:
    """The standard error of a score on an evaluation set of this size; None where size or metric do not tell.

    Accuracy p: sqrt(p (1 - p) / n). Pearson's r: (1 - r²) / sqrt(n - 1). Matthews' correlation of two classes: the
    asymptotic error of phi for as many positive predictions as positive labels.

    Source: Bishop, Fienberg and Holland 1975, "Discrete multivariate analysis", chapter 11, for phi; Dror et
    al. 2018, "The hitchhiker's guide to testing statistical significance in NLP", for asking.
    """
    data, kind = _evaluated_on(run, metric), _kind(metric)
    n = data.get("examples")
    if not isinstance(n, int) or n < 2 or not math.isfinite(score):
        return None
    if kind in _ACCURACIES and 0 <= score <= 1:
        return EvaluationFloor(n, math.sqrt(score * (1 - score) / n))
    if kind in _PEARSON and abs(score) <= 1:
        return EvaluationFloor(n, (1 - score**2) / math.sqrt(n - 1))
    share = _majority_share(data)
    if kind in _MATTHEWS and share and len(data["labels"]) == 2:
        return EvaluationFloor(n, phi_error(score, share, n))
    return None


def phi_error(phi: float, share: float, n: int) -> float:
    """The standard error of the correlation of two binary variables, both 1 in this share of n examples."""
    spread = share * (1 - share)
    skew = (2 * share - 1) ** 2 / spread
    variance = 1 - phi**2 + (phi + phi**3 / 2) * skew - 1.5 * phi**2 * skew
    return math.sqrt(max(0.0, variance) / n)


@lru_cache(maxsize=1024)
def _kind(metric: str) -> str:
    # Whole names only: balanced accuracy and macro F1 have another chance level.
    return re.sub(r"^(?:eval|test|dev|val)_", "", metric.lower().rpartition("/")[2])


def _evaluated_on(run: RunRecord, metric: str) -> Mapping[str, Any]:
    """What is recorded of the set a metric is of; `eval/mcc` is of the only one there is, whatever its name."""
    sets = {name: one for name, one in run.config.get("data", {}).items() if isinstance(one, Mapping)}
    split = metric.partition("/")[0]
    if split in sets:
        return sets[split]
    evaluations = [one for name, one in sets.items() if name.startswith("eval")]
    return evaluations[0] if split == "eval" and len(evaluations) == 1 else {}


def _majority_share(data: Mapping[str, Any]) -> float | None:
    counts = _label_counts(data)
    return max(counts.values()) / sum(counts.values()) if counts else None


def _share_of_ones(data: Mapping[str, Any]) -> float | None:
    counts = _label_counts(data)
    return counts["1"] / sum(counts.values()) if set(counts) == {"0", "1"} else None


def _label_counts(data: Mapping[str, Any]) -> dict[str, int]:
    labels = data.get("labels")
    if not isinstance(labels, Mapping) or not all(isinstance(count, int) for count in labels.values()):
        return {}
    return {str(label): count for label, count in labels.items() if count}
