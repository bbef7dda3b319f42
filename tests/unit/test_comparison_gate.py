"""The gate: where the interval of a difference lies decides, as in a non-inferiority trial; failed runs fail."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
import scipy.stats

from trackbridge.comparison import Decision, Gate
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

MARGIN = 10.0
LEVEL_OF_SCORES = 50.0
# Three pairs that differ by -1, 0 and 1: the half width of their 95 % interval.
HALF_WIDTH = float(scipy.stats.t.ppf(0.975, 2)) / math.sqrt(3)


def setting(
    name: str, scores: Sequence[float], metric: str = "eval/mcc", first_seed: int = 0, **fields: Any
) -> list[RunRecord]:
    return [
        build_run(
            f"{name}-{seed}",
            curves={metric: [score]},
            config={"script": {"setting": name}},
            seeds=Seeds(init=1, data=1, dropout=seed),
            **fields,
        )
        for seed, score in enumerate(scores, start=first_seed)
    ]


def decided(
    change: Sequence[float], baseline: Sequence[float], margin: float = MARGIN, metric: str = "eval/mcc", **layout: Any
) -> Decision:
    gate = Gate(metric, margin)
    return gate.decide(setting("new", change, metric, **layout), baseline=setting("old", baseline, metric))


# Piaggio et al. 2012, JAMA 308, figure 1: the eight ways that an interval can lie, here with more being better.
CASES = [
    ("A", 5, 3, "pass", "is better than the baseline"),
    ("B", 1, 3, "pass", "is not worse than the baseline by more than 10: "),
    ("C", -3, 3.5, "pass", "is not worse than the baseline by more than 10: "),
    ("D", -5, 3, "pass", "is not worse than the baseline by more than 10, though it is worse"),
    ("E", -3, 12, "cannot tell", "may be worse than the baseline by more than 10, or not: "),
    ("F", -8, 9, "cannot tell", "may be worse than the baseline by more than 10, or not: "),
    ("G", -9, 3, "cannot tell", "may be worse than the baseline by more than 10, or not, though it is worse"),
    ("H", -15, 3, "fail", "is worse than the baseline by more than 10"),
]


@pytest.mark.parametrize(("case", "effect", "half", "outcome", "claim"), CASES)
@pytest.mark.parametrize(("metric", "sign"), [("eval/mcc", 1), ("eval/loss", -1)], ids=["higher", "lower"])
def test_each_case_of_the_consort_figure_is_decided_as_there(
    metric: str, sign: int, case: str, effect: float, half: float, outcome: str, claim: str
) -> None:
    spread = half / HALF_WIDTH
    baseline = [LEVEL_OF_SCORES, 51.0, 52.0]
    change = [score + sign * (effect + spread * place) for score, place in zip(baseline, (-1, 0, 1), strict=True)]

    decision = decided(change, baseline, metric=metric)

    scored = decision.cases[1]
    assert (decision.outcome, scored.outcome) == (outcome, outcome)
    assert f"{metric}: setting=new {claim}" in scored.sentence
    assert scored.interval is not None
    assert scored.interval.low == pytest.approx(sign * effect - half)
    assert scored.interval.high == pytest.approx(sign * effect + half)


@pytest.mark.parametrize("layout", ["equal seeds", "other seeds"])
def test_it_decides_as_two_one_sided_tests_of_scipy_at_a_fortieth(layout: str) -> None:
    outcomes = set()
    for draw in range(60):
        luck = random.Random(draw)
        n, margin, effect = luck.choice((3, 4, 5)), luck.uniform(0, 3), luck.uniform(-6, 2)
        old = [LEVEL_OF_SCORES + luck.gauss(0, 1) for _ in range(n)]
        new = [LEVEL_OF_SCORES + effect + luck.gauss(0, 1) for _ in range(n)]
        shifted = [score - margin for score in old]
        test = scipy.stats.ttest_rel if layout == "equal seeds" else scipy.stats.ttest_ind
        how = {} if layout == "equal seeds" else {"equal_var": False}
        shown = {side: test(new, shifted, alternative=side, **how).pvalue < 0.025 for side in ("greater", "less")}

        decision = decided(new, old, margin, first_seed=0 if layout == "equal seeds" else 100)

        assert decision.outcome == ("pass" if shown["greater"] else "fail" if shown["less"] else "cannot tell")
        outcomes.add(decision.outcome)
    assert outcomes == {"pass", "fail", "cannot tell"}


def test_runs_that_score_the_same_pass_without_any_margin() -> None:
    decision = decided([50.0], [50.0], margin=0)

    assert decision.outcome == "pass"
    assert "scores as the baseline in every run of equal seeds" in decision.sentence


def test_single_runs_that_differ_cannot_be_told_apart() -> None:
    decision = decided([49.0], [50.0])

    assert decision.outcome == "cannot tell"
    assert "-1, but 1 and 1 runs, and too few other replicates" in decision.sentence


def test_it_says_how_many_more_runs_would_tell() -> None:
    # The margin is one standard deviation of the pairs' differences away, which takes ten pairs.
    decision = decided([49.0, 51.0, 53.0], [50.0, 51.0, 52.0], margin=1)

    assert decision.outcome == "cannot tell"
    assert "run 7 more of each to tell, if the difference stays as it is" in decision.sentence


def test_a_difference_at_the_margin_would_take_more_than_a_thousand_runs() -> None:
    decision = decided([48.0, 50.0, 52.0], [50.0, 51.0, 52.0], margin=1)

    assert "more than 1000 runs of each would be needed" in decision.sentence


def test_the_intervals_of_several_settings_hold_together() -> None:
    old = setting("old", [50.0, 51.0, 52.0])
    new = {name: [score + shift for score, shift in zip((50, 51, 52), (-1, 0, 1), strict=True)] for name in "ab"}
    runs = [run for name, scores in new.items() for run in setting(name, scores)]

    cases = Gate("eval/mcc", MARGIN).decide(runs, baseline=old).cases

    expected = scipy.stats.t.ppf(1 - 0.05 / 2 / 2, 2) / math.sqrt(3)
    scored = [case for case in cases if case.aspect == "eval/mcc"]
    assert [case.setting for case in scored] == ["setting=a", "setting=b"]
    assert [case.interval.high for case in scored if case.interval] == pytest.approx([expected, expected])
    assert {case.level for case in scored} == {0.975}


def test_the_worst_of_several_settings_decides() -> None:
    old = setting("old", [50.0, 51.0, 52.0])
    runs = setting("good", [60.0, 61.5, 62.0]) + setting("bad", [20.0, 21.5, 22.0])

    decision = Gate("eval/mcc", 1).decide(runs, baseline=old)

    assert decision.outcome == "fail"
    assert [case.setting for case in decision.deciding] == ["setting=bad"]


TROUBLES = [
    ({"status": "failed"}, 50.0, "ended by an error"),
    ({"status": "killed"}, 50.0, "killed"),
    ({"status": "lost"}, 50.0, "lost"),
    ({"status": "running"}, 50.0, "still running"),
    ({}, math.nan, "eval/mcc ended as NaN or infinite"),
    ({}, -0.5, "learned nothing"),
]


@pytest.mark.parametrize(("fields", "score", "told"), TROUBLES, ids=[told for _, _, told in TROUBLES])
def test_a_run_that_failed_fails_the_gate_however_good_the_others_are(
    fields: dict[str, Any], score: float, told: str
) -> None:
    runs = setting("new", [60.0, 61.0, 62.5]) + setting("new", [score], first_seed=3, **fields)

    decision = Gate("eval/mcc", 1).decide(runs, baseline=setting("old", [50.0, 51.0, 52.0]))

    assert decision.outcome == "fail"
    assert decision.sentence == f"1 of 4 runs of setting=new failed: new-3 ({told})"


def test_a_run_without_the_metric_fails_the_gate() -> None:
    runs = setting("new", [60.0, 61.0, 62.5]) + setting("new", [1.0], "train/loss", first_seed=3)

    decision = Gate("eval/mcc", 1).decide(runs, baseline=setting("old", [50.0, 51.0, 52.0]))

    assert decision.sentence == "1 of 4 runs of setting=new failed: new-3 (no eval/mcc)"


def test_a_loss_that_became_nan_fails_though_its_best_is_finite() -> None:
    runs = setting("new", [0.5, 0.51, 0.52], "eval/loss")
    runs.append(build_run("nan", curves={"eval/loss": [0.4, math.nan]}, config={"script": {"setting": "new"}}))

    decision = Gate("eval/loss", 1).decide(runs, baseline=setting("old", [0.5, 0.51, 0.53], "eval/loss"))

    assert decision.sentence == "1 of 4 runs of setting=new failed: nan (eval/loss ended as NaN or infinite)"


def test_as_many_runs_may_fail_as_are_allowed() -> None:
    runs = setting("new", [50.1, 51.0, 51.9, -0.5])

    decision = Gate("eval/mcc", 1, failed_allowed=1).decide(runs, baseline=setting("old", [50.0, 51.0, 52.0, 53.0]))

    assert decision.outcome == "pass"
    assert "1 of 4 runs of setting=new failed: new-3 (learned nothing); 1 may" in decision.sentence


def test_a_run_that_a_rule_halted_is_no_failure() -> None:
    halted = setting("new", [40.0], first_seed=9, status="killed", summary={"halted_at": 100})

    decision = Gate("eval/mcc", 1).decide(
        setting("new", [50.0, 51.0, 52.0]) + halted, baseline=setting("old", [50.0, 51.0, 52.0])
    )

    assert decision.cases[0].outcome == "pass"


def test_a_baseline_without_a_score_says_so() -> None:
    decision = Gate("eval/mcc", 1).decide(
        setting("new", [50.0, 51.0, 52.0]), baseline=setting("old", [1.0, 2.0], "train/loss")
    )

    assert decision.outcome == "cannot tell"
    assert "baseline: setting=old has no run whose score counts" in decision.sentence


def test_of_several_baselines_the_one_of_equal_config_counts() -> None:
    baselines = setting("a", [50.0, 51.0, 52.0]) + setting("b", [70.0, 71.0, 72.0])
    again = [build_run(f"again-{run.name}", curves={"eval/mcc": [50.0 + seed]}, config=run.config, seeds=run.seeds)
             for seed, run in enumerate(baselines[:3])]  # fmt: skip

    same = Gate("eval/mcc", 1).decide(again, baseline=baselines)
    other = Gate("eval/mcc", 1).decide(setting("c", [50.0, 51.0, 52.0]), baseline=baselines)

    assert same.outcome == "pass"
    assert other.outcome == "cannot tell"
    assert "there are several, and none has its config" in other.sentence


def test_a_change_of_the_code_alone_is_named_after_its_group() -> None:
    def of(group: str, shift: float) -> list[RunRecord]:
        return [
            build_run(f"{group}-{seed}", curves={"eval/mcc": [50 + seed + shift]}, seeds=Seeds(all=seed), group=group)
            for seed in range(3)
        ]

    decision = Gate("eval/mcc", 1).decide(of("pr-7", 0), baseline=of("main", 0))

    assert {case.setting for case in decision.cases} == {"pr-7"}


def test_what_could_overturn_the_decision_is_told() -> None:
    long = [build_run("long", curves={"eval/mcc": {9000: 51.0}}, config={"script": {"setting": "new"}})]

    decision = Gate("eval/mcc", 1).decide(
        setting("new", [50.0, 51.0, 52.0]) + long, baseline=setting("old", [50.0, 51.0, 52.0])
    )

    assert any("longer than the shortest" in warning for warning in decision.warnings)


def test_a_decision_is_plain_json() -> None:
    told = json.loads(json.dumps(decided([20.0, 21.5, 22.0], [50.0, 51.0, 52.0]).to_json(), allow_nan=False))

    assert (told["outcome"], told["metric"], told["worse_than"]) == ("fail", "eval/mcc", MARGIN)
    runs, scored = told["cases"]
    assert (runs["outcome"], runs["low"]) == ("pass", None)
    assert scored["difference"] == pytest.approx(-29.8333333)
    assert scored["low"] < scored["difference"] < scored["high"] < -MARGIN


def test_only_the_baseline_is_nothing_to_judge() -> None:
    runs = setting("old", [50.0, 51.0])

    with pytest.raises(MisuseError, match="all runs are the baseline's own"):
        Gate("eval/mcc", 1).decide(runs, baseline=runs)
    with pytest.raises(MisuseError, match="the baseline has no runs"):
        Gate("eval/mcc", 1).decide(runs, baseline=[])


def test_a_metric_that_nobody_has_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'eval/mcc'"):
        Gate("eval/mc", 1).decide(setting("new", [1.0]), baseline=setting("old", [1.0]))


@pytest.mark.parametrize("margin", [-0.01, math.nan, math.inf])
def test_a_margin_is_a_finite_number_of_at_least_zero(margin: float) -> None:
    with pytest.raises(MisuseError, match="expected 0 or more, in the unit of eval/mcc"):
        Gate("eval/mcc", margin)


def test_fewer_than_no_failed_runs_cannot_be_allowed() -> None:
    with pytest.raises(MisuseError, match="-1 failed runs are allowed"):
        Gate("eval/mcc", 1, failed_allowed=-1)
