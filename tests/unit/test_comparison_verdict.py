"""Verdicts: better, worse, identical, or what it would take to tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from trackbridge.comparison import Comparison, compare
from trackbridge.comparison.verdict import PairVerdict
from trackbridge.errors import MisuseError
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

A = (0.62, 0.60, 0.64, 0.61, 0.63, 0.59, 0.65, 0.62)
B = (0.60, 0.59, 0.61, 0.61, 0.60, 0.58, 0.62, 0.61)


def runs(
    setting: str,
    scores: Sequence[float],
    *,
    first_seed: int = 0,
    metric: str = "eval/mcc",
    name: str = "",
    **data: object,
) -> list[RunRecord]:
    config: dict[str, dict[str, object]] = {"script": {"setting": setting}}
    if data:
        config["data"] = {"eval_dev": data}
    return [
        build_run(
            f"{name or setting}-{seed}",
            config=config,
            seeds=Seeds(init=1, data=2, dropout=seed),
            curves={metric: [score]},
        )
        for seed, score in enumerate(scores, start=first_seed)
    ]


def judged(*groups: Sequence[RunRecord], **options: object) -> PairVerdict:
    verdicts = compare([run for group in groups for run in group], **options).verdicts  # type: ignore[arg-type]
    assert len(verdicts) == 1
    return verdicts[0]


def test_the_worked_example_is_better_by_pairs_of_equal_seeds() -> None:
    verdict = judged(runs("b", B), runs("a", A))

    assert (verdict.verdict, verdict.method, verdict.p) == ("better", "paired sign flips", 0.015625)
    assert verdict.effect == pytest.approx(0.0175)
    expected = stats.ttest_rel(A, B).confidence_interval(0.95)
    assert verdict.interval is not None
    assert (verdict.interval.low, verdict.interval.high) == pytest.approx((expected.low, expected.high))
    assert verdict.seed_correlation == pytest.approx(stats.pearsonr(A, B).statistic)
    assert verdict.sentence == (
        "eval/mcc: setting=a is better than setting=b by +0.0175 [+0.007761, +0.02724]"
        " (paired over 8 seeds, sign flips, p = 0.016)"
    )


def test_other_seeds_are_judged_by_welch_and_cannot_be_told() -> None:
    verdict = judged(runs("b", B), runs("a", A, first_seed=100))

    assert (verdict.verdict, verdict.method) == ("cannot tell", "Welch")
    assert verdict.p == pytest.approx(0.05938667674982984)
    expected = stats.ttest_ind(A, B, equal_var=False).confidence_interval(0.95)
    assert verdict.interval is not None
    assert (verdict.interval.low, verdict.interval.high) == pytest.approx((expected.low, expected.high))
    assert "with 8 seeds only differences above 0.0257 can be seen; run 8 more of each" in verdict.sentence


def test_the_direction_follows_the_metric() -> None:
    verdict = judged(runs("b", B, metric="eval/loss"), runs("a", A, metric="eval/loss"))

    assert verdict.verdict == "worse"
    assert verdict.effect is not None
    assert verdict.effect > 0


def test_three_seeds_are_judged_by_t_since_flips_of_so_few_can_show_nothing() -> None:
    verdict = judged(runs("b", B[:3]), runs("a", A[:3]))

    assert (verdict.verdict, verdict.method) == ("cannot tell", "paired t")
    assert verdict.p == pytest.approx(stats.ttest_rel(A[:3], B[:3]).pvalue)
    assert verdict.runs_more == 2


def test_two_runs_of_equal_seeds_that_score_the_same_are_identical() -> None:
    golden = runs("same", B, name="golden")

    comparison = compare(runs("same", B), baseline=golden)

    verdict = comparison.verdicts[0]
    assert (verdict.verdict, verdict.n_pairs, verdict.n_family) == ("identical", 8, 0)
    assert comparison.metrics["eval/mcc"].verdict == "identical"
    assert "identical in 8 of 8 runs of equal seeds" in verdict.sentence


def test_one_run_that_differs_from_its_golden_run_cannot_be_judged_alone() -> None:
    comparison = compare(runs("same", [0.6]), baseline=runs("same", [0.5], name="golden"))

    assert comparison.metrics["eval/mcc"].verdict == "cannot tell"
    assert "1 and 1 runs, and too few other replicates" in comparison.verdicts[0].sentence
    assert "run each with 3 seeds or more" in comparison.verdicts[0].sentence


@pytest.mark.parametrize(("sd", "p", "told"), [(0.02, 0.0466, "better"), (0.03, 0.1727, "cannot tell")])
def test_single_runs_are_judged_by_the_seed_noise_of_other_replicates(sd: float, p: float, told: str) -> None:
    """The dropout seed alone moved CoLA's MCC from .56 to .62."""
    # Seven groups of three and one more run have 20 degrees of freedom; -1, 0, 1 has a variance of 1.
    others = [runs(f"other-{k}", [0.4 + sd, 0.4, 0.4 - sd]) for k in range(10)]

    verdict = judged(runs("plain", [0.56]), runs("warmup", [0.62]), noise_from=[run for one in others for run in one])

    assert (verdict.method, verdict.verdict) == ("seed-noise ruler", told)
    assert verdict.noise is not None
    assert (verdict.noise.df, verdict.noise.sd) == (20, pytest.approx(sd))
    assert verdict.p == pytest.approx(p, abs=1e-4)


def test_the_ruler_needs_five_degrees_of_freedom() -> None:
    others = [*runs("c", [0.4, 0.5, 0.6]), *runs("d", [0.4, 0.5, 0.6])]

    verdict = judged(runs("a", [0.5]), runs("b", [0.6]), noise_from=others)

    assert (verdict.method, verdict.p) == ("none", None)


def test_scores_that_do_not_vary_prove_nothing() -> None:
    verdict = judged(runs("a", [0.5] * 3), runs("b", [0.6] * 3, first_seed=100))

    assert (verdict.verdict, verdict.p) == ("cannot tell", None)
    assert "the scores do not vary" in verdict.sentence


def test_all_pairs_that_are_shown_are_one_family() -> None:
    groups = [
        runs(setting, [score + shift for score in B]) for setting, shift in zip("abc", (0, 0.01, 0.011), strict=True)
    ]
    groups[2] = runs("c", A)

    verdicts = compare([run for group in groups for run in group]).verdicts

    assert len(verdicts) == 3
    raw = [verdict.p for verdict in verdicts]
    assert [verdict.p_adjusted for verdict in verdicts] == pytest.approx(multipletests(raw, method="holm")[1])
    assert {verdict.n_family for verdict in verdicts} == {3}
    assert "among 3 comparisons (Holm)" in verdicts[0].sentence


def test_another_metric_on_the_screen_raises_the_bar() -> None:
    both = [
        build_run(
            f"{setting}-{seed}",
            config={"script": {"setting": setting}},
            seeds=Seeds(dropout=seed),
            curves={"eval/mcc": [score], "eval/other": [1 + score * (seed % 3)]},
        )
        for setting, scores in (("b", B), ("a", A))
        for seed, score in enumerate(scores)
    ]

    alone = compare(both, metrics=["eval/mcc"]).verdicts[0]
    beside = compare(both).metrics["eval/mcc"].verdicts[0]

    assert (alone.p_adjusted, beside.p_adjusted) == (0.015625, 0.03125)


def test_with_many_comparisons_pairs_are_judged_by_t_which_can_still_decide() -> None:
    curves = {f"eval/m{k}": B for k in range(8)}
    both = [
        build_run(
            f"{setting}-{seed}",
            config={"script": {"setting": setting}},
            seeds=Seeds(dropout=seed),
            curves={name: [score[seed] + shift * (1 + seed / 100)] for name, score in curves.items()},
        )
        for setting, shift in (("b", 0.0), ("a", 0.1))
        for seed in range(8)
    ]

    verdicts = compare(both).verdicts

    assert {verdict.method for verdict in verdicts} == {"paired t"}
    assert {verdict.verdict for verdict in verdicts} == {"better"}


def test_each_group_is_judged_against_its_baseline_only() -> None:
    golden = [*runs("a", B, name="golden-a"), *runs("b", A, name="golden-b")]

    comparison = compare([*runs("a", A), *runs("b", B)], baseline=golden)

    told = [(verdict.one.label, verdict.other.label, verdict.verdict) for verdict in comparison.verdicts]
    assert told == [
        ("setting=a", "baseline: setting=a", "better"),
        ("setting=b", "baseline: setting=b", "worse"),
    ]
    assert comparison.metrics["eval/mcc"].verdict == "worse"


@pytest.mark.parametrize("first_seed", [0, 100], ids=["same seeds", "other seeds"])
def test_equal_settings_are_told_apart_in_one_of_twenty_cases(first_seed: int) -> None:
    """`tests/benchmarks/verdict_error_rates.py` measures this with thousands of draws."""
    generator = np.random.default_rng(0)

    def scores() -> list[float]:
        return [float(score) for score in generator.normal(0.6, 0.02, 5)]

    wrong = [judged(runs("a", scores()), runs("b", scores(), first_seed=first_seed)).verdict for _ in range(200)]

    assert 200 - wrong.count("cannot tell") <= 20


def test_a_family_of_comparisons_claims_falsely_in_one_of_twenty_cases() -> None:
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        groups = [
            runs(name, generator.normal(0.6, 0.02, 5).tolist(), first_seed=10 * k) for k, name in enumerate("abcd")
        ]
        told = compare([run for group in groups for run in group]).verdicts
        wrong += any(one.verdict != "cannot tell" for one in told)

    assert wrong <= 11


def test_more_than_six_groups_without_a_baseline_are_not_judged_but_told_how() -> None:
    groups = [run for k in range(7) for run in runs(f"s{k}", B)]

    comparison = compare(groups)

    assert comparison.verdicts == ()
    assert comparison.metrics["eval/mcc"].verdict == "cannot tell"
    assert [note.code for note in comparison.notes] == ["many_groups"]
    assert "7 groups make 21 pairs" in comparison.notes[0].text
    assert len(compare(groups, baseline=groups[0]).verdicts) == 6


def test_the_probability_of_improvement_comes_with_ten_runs() -> None:
    nine, ten = [0.5 + k / 100 for k in range(9)], [0.5 + k / 100 for k in range(10)]

    assert judged(runs("a", nine), runs("b", [0.2 + one for one in nine], first_seed=50)).improvement is None
    higher = judged(runs("a", ten), runs("b", [0.2 + one for one in ten], first_seed=50))

    assert higher.improvement is not None
    assert (higher.improvement.probability, higher.improvement.size) == (1.0, "meaningful")
    assert "is the better one in 100% of cases" in higher.sentence


def test_the_probability_of_improvement_of_a_loss_is_that_of_a_lower_one() -> None:
    ten = [0.5 + k / 100 for k in range(10)]
    lower = judged(
        runs("a", ten, metric="eval/loss"), runs("b", [one - 0.2 for one in ten], metric="eval/loss", first_seed=50)
    )

    assert lower.improvement is not None
    assert (lower.verdict, lower.improvement.probability) == ("better", 1.0)


def test_a_difference_below_the_evaluation_sets_own_error_is_told_so() -> None:
    few = {"examples": 277, "labels": {"0": 146, "1": 131}}
    verdict = judged(runs("b", B, **few), runs("a", A, **few))

    assert verdict.verdict == "better"
    assert verdict.floor is not None
    assert "other examples may say otherwise: the 277 of the evaluation set" in verdict.sentence


def test_runs_without_seeds_are_not_paired() -> None:
    both = [
        build_run(f"{setting}-{k}", config={"script": {"setting": setting}}, curves={"eval/mcc": [score]})
        for setting, scores in (("b", B), ("a", A))
        for k, score in enumerate(scores)
    ]

    assert judged(both).method == "Welch"


def test_seeds_in_the_config_pair_runs_that_recorded_none() -> None:
    both = [
        build_run(f"{setting}-{k}", config={"script": {"setting": setting, "seed": k}}, curves={"eval/mcc": [score]})
        for setting, scores in (("b", B), ("a", A))
        for k, score in enumerate(scores)
    ]

    assert judged(both).method == "paired sign flips"


def test_seeds_that_hardly_match_are_not_paired() -> None:
    assert judged(runs("b", B), runs("a", A, first_seed=3)).method == "Welch"
    assert judged(runs("b", B), runs("a", A, first_seed=2)).n_pairs == 6


def test_verdicts_are_plain_data_and_rows() -> None:
    comparison: Comparison = compare([*runs("b", B), *runs("a", A)])

    told = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    rows = comparison.verdict_rows()

    assert told["metrics"]["eval/mcc"]["verdict"] == "better"
    assert told["metrics"]["eval/mcc"]["verdicts"][0]["p"] == 0.015625
    assert told["metrics"]["eval/mcc"]["verdicts"][0]["sentence"] == rows[0]["sentence"]
    assert rows[0]["verdict"] == "better"
    assert "is better than setting=b" in comparison._repr_html_()


def test_runs_that_learned_nothing_are_left_out_and_told_beside_the_verdict() -> None:
    verdict = judged(runs("b", B), runs("a", [*A[:5], 0.0, 0.0, -0.01]))

    assert (verdict.verdict, verdict.n_pairs) == ("better", 5)
    assert verdict.sentence.endswith("; left out, since they learned nothing: 3 of 8 runs of setting=a")


def test_pairs_are_those_in_which_both_runs_learned() -> None:
    verdict = judged(runs("b", [0.0, *B[1:]]), runs("a", [*A[:7], 0.0]))

    assert (verdict.n_pairs, verdict.method) == (6, "paired sign flips")
    assert "1 of 8 runs of setting=a and 1 of 8 runs of setting=b" in verdict.sentence


def test_a_comparison_cannot_be_changed() -> None:
    comparison = compare([*runs("b", B), *runs("a", A)])

    with pytest.raises(TypeError):
        comparison.metrics["eval/mcc"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        comparison.metrics["eval/mcc"].groups[0].counted["x"] = 1.0  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        comparison.verdicts[0].verdict = "worse"  # type: ignore[misc]


def test_an_unknown_axis_is_misuse() -> None:
    with pytest.raises(MisuseError, match="did you mean 'epoch'"):
        compare(runs("a", B), align="epochs")  # type: ignore[arg-type]


def test_without_scipy_there_are_means_and_a_note_but_no_verdict() -> None:
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "from trackbridge.comparison import compare\n"
        "from trackbridge.testing.records import build_run\n"
        "runs = [build_run(f'{s}{k}', config={'script': {'s': s}}, curves={'eval/mcc': [k / 10]})"
        " for s in 'ab' for k in range(1, 8)]\n"
        "found = compare(runs)\n"
        "assert found.metrics['eval/mcc'].groups[0].scores.n == 7\n"
        "assert found.metrics['eval/mcc'].verdict == 'cannot tell'\n"
        "print(found.notes[0].text); found.to_json(); found._repr_html_()\n"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "pip install 'trackbridge[compare]'" in done.stdout
