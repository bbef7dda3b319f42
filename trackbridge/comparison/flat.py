"""What a comparison finds as flat rows, one dict each, for a data frame or a CSV file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trackbridge.comparison.finding import Finding
from trackbridge.comparison.importance import Importance

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison


def finding_rows(findings: Sequence[Finding], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One dict per finding, with the name of its run. `names` maps run ids to what the runs are called."""
    return [{"run": names[one.run_id], **dataclasses.asdict(one)} for one in findings]


def importance_rows(importance: Importance) -> list[dict[str, Any]]:
    """One dict per parameter: its evidence with numbers, and the sentence."""
    return [
        {
            "parameter": one.parameter.key,
            "aliases": " = ".join(one.parameter.aliases),
            "evidence": one.evidence,
            "explained": one.explained,
            "p": one.p,
            "p_adjusted": one.p_adjusted,
            "smallest_visible": one.smallest_visible,
            "failing_p": one.failing_p,
            "closest": one.closest[0] if one.closest else None,
            "closest_correlation": one.closest[1] if one.closest else None,
            "sentence": one.sentence,
        }
        for one in importance.parameters
    ]


def seed_rows(comparison: Comparison, metric: str | None = None) -> list[dict[str, Any]]:
    """One dict per group and part of its variance; the leading metric's when None."""
    rows = []
    for index, group in enumerate(comparison.groups):
        found = comparison.seed_variance(index, metric)
        rows += [
            {
                "group": group.label,
                "seed": part.what,
                "sd": part.sd,
                "sd_low": part.sd_interval.low,
                "sd_high": part.sd_interval.high,
                "share": part.share,
                "share_low": part.share_interval.low,
                "share_high": part.share_interval.high,
                "df": part.df,
                "design": found.design,
                "n_runs": found.n_runs,
            }
            for part in found.parts
        ]
    return rows
