"""Which seed moves a score how far, and what the best of n runs promises."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from trackbridge.comparison import compare
from trackbridge.comparison.expected_best import expected_best, expected_best_unbiased
from trackbridge.comparison.seed_variance import SeedVariance, seed_variance
from trackbridge.store.records import RunRecord, Seeds, Session
from trackbridge.testing.records import STARTED_NS, build_run

Grid = dict[tuple[int, int, int], float]


def of(scores: Grid) -> SeedVariance:
    runs = {seeds: build_run(str(seeds), seeds=Seeds(*seeds)) for seeds in scores}
    return seed_variance(list(runs.values()), {runs[seeds].run_id: score for seeds, score in scores.items()})


def grid(generator: np.random.Generator, sds: tuple[float, float, float], n: int = 5) -> Grid:
    """Initial weights by data order, one dropout seed; the last sd is of what the two do together."""
    init, data = generator.normal(0, sds[0], n), generator.normal(0, sds[1], n)
    return {
        (i, j, 0): float(init[i] + data[j] + generator.normal(0, sds[2]))
        for i, j in itertools.product(range(n), repeat=2)
    }


def star(generator: np.random.Generator, sds: tuple[float, float, float], n: int = 5) -> Grid:
    """One seed varied at a time, from one common run."""
    effects = [generator.normal(0, sd, n) for sd in sds]
    seeds = {tuple(k if place == index else 0 for place in range(3)) for index in range(3) for k in range(n)}
    return {(a, b, c): float(effects[0][a] + effects[1][b] + effects[2][c]) for a, b, c in sorted(seeds)}


def test_a_grid_has_the_variance_components_of_its_analysis_of_variance() -> None:
    scores = grid(np.random.default_rng(0), (1.0, 0.5, 0.3), n=4)
    table = pandas.DataFrame({"y": scores.values(), "a": [s[0] for s in scores], "b": [s[1] for s in scores]})
    anova = anova_lm(ols("y ~ C(a) + C(b)", table).fit())
    squares = anova["sum_sq"] / anova["df"]

    found = of(scores)

    assert (found.design, [part.what for part in found.parts]) == ("crossed", ["init", "data", "interaction"])
    rest = squares["Residual"]
    variances = [(squares["C(a)"] - rest) / 4, (squares["C(b)"] - rest) / 4, rest]
    assert [part.sd**2 for part in found.parts] == pytest.approx(variances)
    assert [part.share for part in found.parts] == pytest.approx([one / sum(variances) for one in variances])
    assert [part.df for part in found.parts] == [3, 3, 9]


def test_a_grid_with_holes_is_still_crossed() -> None:
    scores = grid(np.random.default_rng(0), (1.0, 0.5, 0.01), n=5)
    whole = of(scores)
    del scores[0, 0, 0], scores[3, 2, 0]

    found = of(scores)

    assert (found.design, found.n_runs) == ("crossed", 23)
    assert [part.share for part in found.parts] == pytest.approx([part.share for part in whole.parts], abs=0.01)


def test_one_seed_at_a_time_gives_the_variance_of_each() -> None:
    scores = star(np.random.default_rng(1), (1.0, 0.5, 0.2))

    found = of(scores)

    expected = [
        np.var([score for seeds, score in scores.items() if all(seeds[k] == 0 for k in range(3) if k != place)], ddof=1)
        for place in range(3)
    ]
    assert (found.design, found.n_runs, [part.df for part in found.parts]) == ("one at a time", 13, [4, 4, 4])
    assert [part.sd**2 for part in found.parts] == pytest.approx(expected)
    assert sum(part.share for part in found.parts) == pytest.approx(1)


@pytest.mark.parametrize("design", [grid, star])
def test_intervals_of_shares_hold_the_truth_as_often_as_they_say(design: object) -> None:
    generator = np.random.default_rng(0)
    sds = (1.0, 0.7, 0.5)
    truth = np.square(sds) / np.square(sds).sum()
    held = np.zeros(3)
    for _ in range(150):
        scores = grid(generator, sds) if design is grid else star(generator, sds)
        held += [part.share_interval.holds(share) for part, share in zip(of(scores).parts, truth, strict=True)]

    assert (held / 150 > 0.89).all()


def test_the_interval_of_one_seeds_sd_is_that_of_a_variance() -> None:
    scores = {(1, 2, k): value for k, value in enumerate([0.56, 0.58, 0.60, 0.61, 0.62])}

    found = of(scores)

    part = found.parts[0]
    assert (part.what, part.share, found.reason) == (
        "dropout", 1.0, "only the dropout seed was varied, so there is nothing to share",
    )  # fmt: skip
    # sd sqrt(df / chi²) with the chi² quantiles 11.143 and 0.4844 of 4 degrees of freedom
    assert part.sd_interval.low == pytest.approx(part.sd * math.sqrt(4 / 11.143), rel=0.03)
    assert part.sd_interval.high == pytest.approx(part.sd * math.sqrt(4 / 0.4844), rel=0.03)


def test_seeds_that_always_change_together_cannot_be_told_apart() -> None:
    found = of({(k, k, k): float(k) for k in range(5)})

    assert (found.design, found.parts) == ("none", ())
    assert "no two runs differ in one seed alone" in found.reason


@pytest.mark.parametrize("seeds", [Seeds(all=1), Seeds()])
def test_seeds_set_by_one_number_or_not_recorded_tell_nothing(seeds: Seeds) -> None:
    runs = [build_run(f"run-{k}", seeds=seeds) for k in range(5)]

    found = seed_variance(runs, {run.run_id: float(k) for k, run in enumerate(runs)})

    assert found.design == "none"
    assert "0 of 5 runs recorded their seeds apart" in found.reason


def test_runs_without_a_score_are_left_out() -> None:
    runs = [build_run(f"run-{k}", seeds=Seeds(1, 2, k), curves={"eval/mcc": [k / 10]}) for k in range(5)]

    found = compare(runs).seed_variance()

    # The run with 0 learned nothing.
    assert found.n_runs == 4


def test_the_expected_best_of_known_scores() -> None:
    """Dodge et al. 2019; the first numbers are also those of allentune."""
    assert expected_best([3, 1, 2]).best == pytest.approx([2, 22 / 9, 8 / 3])
    found = expected_best([0.56, 0.58, 0.60, 0.61, 0.62])
    assert found.best == pytest.approx([0.594, 0.606, 0.61128, 0.614064, 0.6157344])
    assert found.sd == pytest.approx([0.021541, 0.015748, 0.011522, 0.008861, 0.007129], abs=1e-6)


def test_the_unbiased_expected_best_is_the_mean_over_all_subsets() -> None:
    scores = [0.56, 0.58, 0.60, 0.61, 0.62]
    brute = [np.mean([max(part) for part in itertools.combinations(scores, n)]) for n in range(1, 6)]

    assert expected_best_unbiased(scores).best == pytest.approx(brute)
    assert brute == pytest.approx([0.594, 0.609, 0.615, 0.618, 0.62])
    assert expected_best_unbiased([1, 2, 3]).best == pytest.approx([2, 8 / 3, 3])


def test_the_expected_best_of_two_thousand_uniform_scores() -> None:
    scores = np.random.default_rng(0).uniform(size=2000)

    assert expected_best(scores.tolist()).best[8] == pytest.approx(0.9, abs=0.01)
    assert np.isfinite(expected_best_unbiased(scores.tolist()).best).all()


def test_the_expected_best_of_a_loss_is_its_lowest() -> None:
    assert expected_best([1, 2, 3], lower_is_better=True).best == pytest.approx([2, 4 - 22 / 9, 4 - 8 / 3])


def test_the_expected_best_has_its_cost_and_counts_failed_runs() -> None:
    def run(seed: int, score: float) -> RunRecord:
        session = Session("s", "h", None, 1, None, STARTED_NS, STARTED_NS + 1800 * 10**9)
        return build_run(f"run-{seed}", curves={"eval/mcc": [score]}, sessions=(session,))

    found = compare([run(0, 0.6), run(1, 0.0), run(2, 0.5)]).expected_best()

    assert found is not None
    assert found.hours == pytest.approx([0.5, 1.0, 1.5])
    assert found.best[0] == pytest.approx(1.1 / 3)
