"""Whatever the scores are, a comparison says something, and says it in plain numbers."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from trackbridge.comparison import compare, first_divergence
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

Scores = list[list[float]]

ANY_NUMBER = st.one_of(st.floats(), st.floats(-1, 1), st.sampled_from([0.0, 0.5, math.nan, math.inf]))
SCORES = st.lists(st.lists(ANY_NUMBER, min_size=1, max_size=6), min_size=1, max_size=7)


def runs(setting: str, scores: Scores, first_seed: int = 0) -> list[RunRecord]:
    return [
        build_run(
            f"{setting}-{seed}",
            config={"script": {"setting": setting}},
            seeds=Seeds(init=1, data=seed % 2, dropout=seed),
            curves={"eval/mcc": curve, "train/loss": curve},
        )
        for seed, curve in enumerate(scores, start=first_seed)
    ]


@settings(deadline=None, max_examples=60)
@given(one=SCORES, other=SCORES, first_seed=st.integers(0, 3), at=st.sampled_from(["best", "last", "common"]))
def test_any_scores_make_a_comparison_in_strict_json(one: Scores, other: Scores, first_seed: int, at: str) -> None:
    comparison = compare([*runs("a", one), *runs("b", other, first_seed)], at=at)  # type: ignore[arg-type]

    json.dumps(comparison.to_json(), allow_nan=False)
    for verdict in comparison.verdicts:
        assert verdict.sentence
        assert verdict.p is None or 0 <= verdict.p <= (verdict.p_adjusted or 0) <= 1
        if verdict.verdict in ("better", "worse"):
            assert verdict.interval is not None
            assert not verdict.interval.holds(0)


@settings(deadline=None, max_examples=60)
@given(one=SCORES, other=SCORES)
def test_the_verdict_of_a_pair_turned_round_is_the_opposite(one: Scores, other: Scores) -> None:
    opposite = {"better": "worse", "worse": "better", "identical": "identical", "cannot tell": "cannot tell"}
    a, b = runs("a", one), runs("b", other)

    there, back = compare([*a, *b]).verdicts, compare([*b, *a]).verdicts

    assert [opposite[verdict.verdict] for verdict in there] == [verdict.verdict for verdict in back]
    assert [verdict.p for verdict in there] == [verdict.p for verdict in back]


@settings(deadline=None, max_examples=60)
@given(one=SCORES, other=SCORES)
def test_two_runs_part_at_the_same_step_whichever_is_first(one: Scores, other: Scores) -> None:
    left, right = runs("a", one)[0], runs("b", other)[0]

    there, back = first_divergence(left, right), first_divergence(right, left)

    assert [at.step for at in there.first] == [at.step for at in back.first]
    assert first_divergence(left, left).is_identical
