"""Parameter importance: what it names, when it says that there is no evidence, and how often it is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator
from scipy import stats

from trackbridge.comparison import compare
from trackbridge.comparison.groups import replicate_groups
from trackbridge.comparison.importance import Importance, ParameterImportance, parameter_importance
from trackbridge.comparison.parameters import ranks
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run


def settings(generator: np.random.Generator, n: int) -> list[dict[str, Any]]:
    return [
        {
            "lr": float(10 ** generator.uniform(-6, -3)),
            "model": str(generator.choice(["a", "b", "c"])),
            **{f"nothing_{k}": float(generator.uniform()) for k in range(6)},
        }
        for _ in range(n)
    ]


def score(config: dict[str, Any]) -> float:
    """Best in the middle of the learning rates, and better with each model."""
    return float(-0.05 * (np.log10(config["lr"]) + 4.5) ** 2 + {"a": 0.0, "b": 0.04, "c": 0.08}[config["model"]])


def importance_of(configs: list[dict[str, Any]], scores: list[float], seed: int = 0, **more: Any) -> Importance:
    runs = [build_run(f"run-{k}", config={"script": config}) for k, config in enumerate(configs)]
    counted = {run.run_id: one for run, one in zip(runs, scores, strict=True)}
    return parameter_importance(replicate_groups(runs), counted, seed=seed, **more)


def importance_for(key: str, values: Sequence[Any], scores: list[float]) -> ParameterImportance:
    """The importance of one key, in settings that differ in another one, too."""
    found = importance_of([{key: value, "other": k} for k, value in enumerate(values)], scores)
    return next(one for one in found.parameters if one.parameter.key == f"script.{key}")


def flagged(importance: Importance) -> set[str]:
    return {one.parameter.key.removeprefix("script.") for one in importance.parameters if one.evidence == "associated"}


def test_a_u_shaped_number_and_a_word_are_named_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    configs = settings(generator, 100)

    found = importance_of(configs, [score(one) + generator.normal(0, 0.02) for one in configs])

    assert flagged(found) == {"lr", "model"}
    assert "associated with about" in found.parameters[0].sentence
    assert found.parameters[-1].sentence.endswith("no evidence (p = 1)")


def test_optuna_puts_the_same_two_first() -> None:
    generator = np.random.default_rng(1)
    configs = settings(generator, 200)
    scores = [score(one) + generator.normal(0, 0.02) for one in configs]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    spaces: dict[str, optuna.distributions.BaseDistribution] = {
        "lr": optuna.distributions.FloatDistribution(1e-6, 1e-3, log=True),
        "model": optuna.distributions.CategoricalDistribution(["a", "b", "c"]),
        **{f"nothing_{k}": optuna.distributions.FloatDistribution(0, 1) for k in range(6)},
    }
    study.add_trials(
        [
            optuna.create_trial(params=one, distributions=spaces, value=value)
            for one, value in zip(configs, scores, strict=True)
        ]
    )

    theirs = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())

    ours = importance_of(configs, scores)
    assert {one.parameter.key for one in ours.parameters[:2]} == {f"script.{key}" for key in list(theirs)[:2]}


@pytest.mark.parametrize("n", [8, 12, 20, 50])
def test_pure_noise_is_named_in_one_of_twenty_cases(n: int) -> None:
    generator = np.random.default_rng(n)
    wrong = sum(
        bool(flagged(importance_of(settings(generator, n), generator.normal(size=n).tolist(), seed=k)))
        for k in range(100)
    )

    assert wrong / 100 <= 0.12


def test_the_share_of_a_word_is_that_of_kruskal_and_wallis() -> None:
    generator = np.random.default_rng(0)
    words = [str(generator.choice(["a", "b", "c"])) for _ in range(40)]
    scores = [generator.normal("abc".index(word) / 2) for word in words]

    found = importance_for("word", words, scores)

    parts = [[one for one, word in zip(scores, words, strict=True) if word == kind] for kind in "abc"]
    explained = stats.kruskal(*parts).statistic / 39
    assert found.explained == pytest.approx(1 - (1 - explained) * 39 / 37)
    assert found.p == pytest.approx(stats.kruskal(*parts).pvalue, abs=0.01)


def test_the_share_of_a_switch_is_the_square_of_spearmans_correlation() -> None:
    generator = np.random.default_rng(0)
    switches = [bool(one) for one in generator.integers(0, 2, 30)]
    scores = generator.normal(size=30) + 2 * np.array(switches)

    found = importance_for("switch", switches, scores.tolist())

    rho = stats.spearmanr(switches, scores).statistic
    assert found.explained == pytest.approx(1 - (1 - rho**2) * 29 / 28)


def test_ranks_are_those_of_scipy() -> None:
    numbers = [3.0, 1.0, 3.0, 2.0, 1.0, 1.0]

    assert ranks(numbers).tolist() == stats.rankdata(numbers).tolist()


def test_keys_that_always_change_together_are_one_parameter() -> None:
    configs = [{"lr": k, "scaled": 10.0 - k, "name": f"v{k}", "warmup": (k * 7) % 12} for k in range(12)]

    found = importance_of(configs, [float(k) for k in range(12)])

    merged = found.parameters[0].parameter
    assert (merged.key, merged.aliases) == ("script.lr", ("script.scaled", "script.name"))
    assert "script.lr = script.scaled = script.name (cannot be told apart): associated" in found.parameters[0].sentence
    assert [one.parameter.key for one in found.parameters] == ["script.lr", "script.warmup"]


def test_a_parameter_that_varies_with_another_is_named_beside_it() -> None:
    generator = np.random.default_rng(0)
    configs = [{"lr": k, "epochs": k + float(generator.normal(0, 2))} for k in range(40)]

    found = importance_of(configs, [float(k) for k in range(40)])

    assert found.parameters[0].closest is not None
    assert found.parameters[0].closest[0] == "script.epochs"
    assert "it varies with script.epochs (correlation 0.9" in found.parameters[0].sentence


def test_with_few_settings_it_says_that_they_are_not_enough() -> None:
    configs = settings(np.random.default_rng(0), 8)

    found = importance_of(configs, [score(one) for one in configs])

    assert flagged(found) == set()
    assert {one.evidence for one in found.parameters} == {"not enough runs"}
    assert "only what explains" in found.parameters[0].sentence


def test_four_settings_are_no_evidence_at_all() -> None:
    found = importance_of([{"lr": k} for k in range(4)], [0.1, 0.2, 0.3, 0.4])

    assert found.parameters == ()
    assert "4 settings have a score that counts, 5 are needed" in found.reason


def test_replicates_are_no_evidence_for_their_setting() -> None:
    """Ten seeds of four settings are forty runs, and four settings."""
    runs = [
        build_run(
            f"{lr}-{seed}", config={"script": {"lr": lr}}, seeds=Seeds(dropout=seed), curves={"eval/mcc": [lr / 10]}
        )
        for lr in range(1, 5)
        for seed in range(10)
    ]

    assert "4 settings" in compare(runs).importance().reason


def test_a_name_that_no_two_settings_share_is_dropped() -> None:
    configs = [{"lr": (k * 5) % 7 + k / 100, "note": f"try {k}"} for k in range(20)]
    for k, config in enumerate(configs):
        config["lr"] = float(k // 2)

    found = importance_of(configs, [float(k) for k in range(20)])

    assert [one.key for one in found.dropped] == ["script.note"]


def test_a_key_that_some_settings_lack_has_absence_as_a_level() -> None:
    configs: list[dict[str, Any]] = [{"lora_rank": 4 + k % 3, "other": k} if k % 2 else {"other": k} for k in range(30)]

    found = importance_of(configs, [0.6 + k / 1000 if k % 2 else 0.5 + k / 1000 for k in range(30)])

    assert "lora_rank" in flagged(found)


def test_what_makes_runs_fail_is_asked_apart() -> None:
    generator = np.random.default_rng(0)
    runs = [
        build_run(
            f"run-{k}",
            config={"script": {"warmup": 0.0 if k < 20 else 0.1, "other": k % 20}},
            curves={"eval/mcc": [0.0 if k % 3 == 0 and k < 20 else float(generator.normal(0.6, 0.02))]},
        )
        for k in range(40)
    ]

    warmup = next(one for one in compare(runs).importance().parameters if one.parameter.key == "script.warmup")

    assert warmup.evidence == "no evidence"
    assert warmup.failing_p is not None
    assert warmup.failing_p < 0.05
    assert "also with runs that learned nothing" in warmup.sentence


def test_degenerate_runs_do_not_hide_a_parameter() -> None:
    generator = np.random.default_rng(3)
    configs = settings(generator, 100)
    runs: list[RunRecord] = [
        build_run(
            f"run-{k}",
            config={"script": config},
            curves={"eval/mcc": [0.0 if k % 10 == 0 else 0.7 + score(config) + generator.normal(0, 0.02)]},
        )
        for k, config in enumerate(configs)
    ]

    assert flagged(compare(runs).importance()) == {"lr", "model"}


def test_importance_is_plain_data() -> None:
    runs = [build_run(f"run-{k}", config={"script": {"lr": k}}, curves={"eval/mcc": [k / 10]}) for k in range(1, 9)]

    told = json.loads(json.dumps(compare(runs).to_json(), allow_nan=False))["importance"]

    assert told["parameters"][0]["key"] == "script.lr"
    assert told["parameters"][0]["values"][2] == {"value": 3}
    assert told["scores"][2] == pytest.approx(0.3)
