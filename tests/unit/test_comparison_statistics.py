"""The statistics of verdicts, against published values, scipy and statsmodels."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.proportion import proportion_confint

from trackbridge.comparison.statistics.improvement import (
    paired_improvement,
    probability_of_improvement,
    runs_for_improvement,
    unpaired_improvement,
)
from trackbridge.comparison.statistics.intervals import mean_interval, rate_interval, sample_of, welch_error
from trackbridge.comparison.statistics.iqm import interquartile_mean, interquartile_mean_interval
from trackbridge.comparison.statistics.multiplicity import holm
from trackbridge.comparison.statistics.noise import pooled_noise, seed_share
from trackbridge.comparison.statistics.optimism import expected_maximum
from trackbridge.comparison.statistics.outliers import outliers
from trackbridge.comparison.statistics.power import (
    paired_runs_needed,
    power_of_t,
    unpaired_runs_needed,
    visible_noncentrality,
)
from trackbridge.comparison.statistics.significance import (
    paired_t_p,
    sign_flip_p,
    smallest_sign_flip_p,
    welch_p,
)

A = (0.62, 0.60, 0.64, 0.61, 0.63, 0.59, 0.65, 0.62)
B = (0.60, 0.59, 0.61, 0.61, 0.60, 0.58, 0.62, 0.61)
GAPS = [a - b for a, b in zip(A, B, strict=True)]


def test_the_worked_example_has_the_p_values_of_scipy() -> None:
    assert welch_p(sample_of(A), sample_of(B)) == pytest.approx(stats.ttest_ind(A, B, equal_var=False).pvalue)
    assert welch_p(sample_of(A), sample_of(B)) == pytest.approx(0.05938667674982984)
    assert welch_error(sample_of(A), sample_of(B))[1] == pytest.approx(11.920054570259211)
    assert paired_t_p(sample_of(GAPS)) == pytest.approx(stats.ttest_rel(A, B).pvalue)
    assert paired_t_p(sample_of(GAPS)) == pytest.approx(0.0037985763276520896)


def test_exact_sign_flips_equal_scipys_permutation_test() -> None:
    flips = stats.permutation_test((GAPS,), np.mean, permutation_type="samples", n_resamples=np.inf)

    assert sign_flip_p(GAPS) == pytest.approx(flips.pvalue) == 0.015625


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125), (8, 0.0078125)])
def test_the_smallest_p_of_sign_flips(n: int, smallest: float) -> None:
    assert sign_flip_p([1.0 + index for index in range(n)]) == smallest == smallest_sign_flip_p(n)


def test_more_than_twenty_pairs_are_sampled_and_never_give_zero() -> None:
    gaps = np.random.default_rng(0).normal(0.3, 1, 40)

    assert sign_flip_p(gaps) == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue, abs=0.02)
    assert sign_flip_p([1.0] * 30) == pytest.approx(1 / 10_000)


def test_a_mean_and_its_interval_equal_scipys() -> None:
    expected = stats.t.interval(0.95, len(A) - 1, np.mean(A), stats.sem(A))

    interval = mean_interval(sample_of(A))

    assert (interval.low, interval.high) == pytest.approx(expected)
    assert mean_interval(sample_of([1.0])).low == -math.inf


def test_the_rounding_of_a_sum_is_no_spread() -> None:
    assert sample_of([0.1 + 0.2, 0.3, 0.3]).sd == 0.0


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (3, 7), (10, 10)])
def test_a_rate_has_wilsons_interval(hits: int, n: int) -> None:
    interval = rate_interval(hits, n)

    assert (interval.low, interval.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03, 0.005], [0.9, 0.8], [0.02], [0.01, 0.01, 0.01]])
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_a_known_family() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[1, 2], [2, 2], [1, 1], [2, 1]], 1.5),
        ([[1, 1], [2, 2], [3, 3]], 2.0),
        (range(1, 9), 4.5),
        ([0, 1, 2, 3, 100], 2),
    ],
)
def test_the_interquartile_mean_is_the_trimmed_one(scores: list[float], expected: float) -> None:
    flat = np.ravel(np.array(list(scores)))

    assert interquartile_mean(list(scores)) == expected == stats.trim_mean(flat, 0.25)


def test_the_interval_of_an_interquartile_mean_over_tasks() -> None:
    scores = np.random.default_rng(1).normal(0.6, 0.05, (10, 5))

    interval = interquartile_mean_interval(scores)

    assert interquartile_mean(scores) == pytest.approx(0.6002329986543533)
    # rliable's, from two calls: [.5892, .6109] and [.5897, .6109]
    assert (interval.low, interval.high) == pytest.approx((0.5895, 0.6109), abs=0.002)


def test_the_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement([1, 2, 1, 2], [1, 2, 3]) == pytest.approx(1 / 3)
    assert probability_of_improvement(A, B) == pytest.approx(stats.mannwhitneyu(A, B).statistic / 64) == 0.765625


def test_the_interval_of_an_improvement_of_pairs() -> None:
    found = paired_improvement(GAPS)

    assert found.probability == 0.9375
    assert (found.interval.low, found.interval.high) == (0.8125, 1.0)
    assert found.size == "meaningful"


def test_an_improvement_whose_interval_holds_a_half_is_inconclusive() -> None:
    assert unpaired_improvement(A, B).size == "inconclusive"
    assert unpaired_improvement(B, A).probability == pytest.approx(1 - unpaired_improvement(A, B).probability)


def test_a_clear_improvement_in_either_direction_is_meaningful() -> None:
    high, low = np.arange(10) + 10.0, np.arange(10.0)

    assert unpaired_improvement(high, low).size == unpaired_improvement(low, high).size == "meaningful"


@pytest.mark.parametrize(
    ("gamma", "beta", "runs"), [(0.75, 0.05, 29), (0.70, 0.05, 46), (0.80, 0.05, 21), (0.75, 0.20, 17)]
)
def test_noethers_number_of_runs(gamma: float, beta: float, runs: int) -> None:
    assert runs_for_improvement(gamma, beta=beta) == runs


@pytest.mark.parametrize(("effect", "runs"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (1.5, 9), (2.0, 6)])
def test_runs_needed_equal_those_of_statsmodels(effect: float, runs: int) -> None:
    assert unpaired_runs_needed(effect) == runs
    assert runs == math.ceil(TTestIndPower().solve_power(effect, power=0.8, alpha=0.05))


@pytest.mark.parametrize("effect", [0.5, 0.8, 1.0, 2.0])
def test_pairs_needed_equal_those_of_statsmodels(effect: float) -> None:
    assert paired_runs_needed(effect) == math.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05))


def test_an_effect_too_small_for_a_thousand_runs_is_said_to_be_so() -> None:
    assert unpaired_runs_needed(0.01) is None
    assert unpaired_runs_needed(0.0) is None


@pytest.mark.parametrize(("n", "visible"), [(3, 3.07), (5, 2.02), (10, 1.325), (20, 0.909), (30, 0.736)])
def test_the_smallest_visible_difference(n: int, visible: float) -> None:
    found = visible_noncentrality(2 * n - 2) * math.sqrt(2 / n)

    assert found == pytest.approx(visible, abs=0.005)
    assert found == pytest.approx(TTestIndPower().solve_power(nobs1=n, power=0.8, alpha=0.05), rel=1e-3)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_power_equals_that_of_statsmodels(alpha: float) -> None:
    for n, effect in ((3, 1.0), (10, 0.5), (30, 0.8)):
        expected = TTestIndPower().power(effect, n, alpha)

        assert power_of_t(effect * math.sqrt(n / 2), 2 * n - 2, alpha) == pytest.approx(expected, abs=1e-9)


def test_the_share_of_seeds_of_a_known_table() -> None:
    share = seed_share([[1, 3], [5, 7], [9, 11]])

    assert share is not None
    assert share.share == pytest.approx(2 / 17)
    assert (share.interval.low, share.interval.high) == pytest.approx((0.0032, 1.0), abs=1e-4)
    assert share.sd_seed == pytest.approx(math.sqrt(2))
    assert share.sd_settings == pytest.approx(3.872983346)
    assert share.p == pytest.approx(stats.f_oneway([1, 3], [5, 7], [9, 11]).pvalue)


def test_the_interval_of_the_share_of_seeds_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(600):
        table = generator.normal(0, 2, (6, 1)) + generator.normal(0, 1, (6, 4))
        found = seed_share(table.tolist())
        assert found is not None
        held += found.interval.holds(1 / 5)

    assert 0.93 < held / 600 < 0.97


def test_no_share_of_seeds_without_two_settings_or_a_repeat() -> None:
    assert seed_share([[1, 2, 3]]) is None
    assert seed_share([[1], [2]]) is None
    assert seed_share([[1, 1], [2, 2]]) is None


def test_noise_is_pooled_over_settings() -> None:
    noise = pooled_noise([[1, 3], [5], [10, 10, 13]])

    assert noise is not None
    assert noise.df == 3
    assert noise.sd == pytest.approx(math.sqrt((1 * 2 + 2 * 3) / 3))
    assert pooled_noise([[1], [2]]) is None


@pytest.mark.parametrize(
    ("k", "mean"), [(1, 0.0), (2, 0.5642), (3, 0.8463), (5, 1.16296), (10, 1.5388), (20, 1.8675), (30, 2.0428)]
)
def test_the_expected_maximum_of_normals(k: int, mean: float) -> None:
    assert expected_maximum(k) == pytest.approx(mean, abs=5e-5)


def test_rosners_outliers_are_found() -> None:
    # Rosner 1983, table 1: three outliers among 54 numbers, which hide each other from a one-at-a-time test.
    rosner = (
        "-.25 .68 .94 1.15 1.20 1.26 1.26 1.34 1.38 1.43 1.49 1.49 1.55 1.56 1.58 1.65 1.69 1.70 1.76 1.77 1.81 1.91"
        " 1.94 1.96 1.99 2.06 2.09 2.10 2.14 2.15 2.23 2.24 2.26 2.35 2.37 2.40 2.47 2.54 2.62 2.64 2.90 2.92 2.92 2.93"
        " 3.21 3.26 3.30 3.59 3.68 4.30 4.64 5.34 5.42 6.01"
    )
    values = [float(word) for word in rosner.split()]

    found = outliers(values)

    assert sorted(values[one.place] for one in found) == [5.34, 5.42, 6.01]
    # The deviations and critical values of the NIST handbook's worked example of this data, section 1.3.5.17.3.
    assert [one.deviations for one in found] == pytest.approx([3.118, 2.942, 3.179], abs=1e-3)
    assert [one.critical for one in found] == pytest.approx([3.158, 3.151, 3.143], abs=2e-3)


@pytest.mark.parametrize("n", [5, 10, 25])
def test_a_healthy_group_has_an_outlier_in_one_of_twenty_cases(n: int) -> None:
    generator = np.random.default_rng(n)
    found = sum(bool(outliers(generator.normal(size=n).tolist())) for _ in range(1000))

    # Where two runs may be outliers the test is a little above its level, as Rosner found.
    assert 0.03 < found / 1000 < 0.085


def test_equal_scores_and_four_scores_have_no_outlier() -> None:
    assert outliers([1.0, 1.0, 1.0, 1.0, 1.0]) == []
    assert outliers([1.0, 1.0, 1.0, 100.0]) == []


def test_the_statistics_load_only_the_part_of_scipy_they_need() -> None:
    code = (
        "import sys\n"
        "import trackbridge.comparison\n"
        "assert 'scipy' not in sys.modules\n"
        "from trackbridge.comparison.statistics.distributions import t_quantile\n"
        "t_quantile(0.975, 7)\n"
        "assert 'scipy.stats' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
