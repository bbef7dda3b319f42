"""The cells of the run table, of a run and of a group."""

from __future__ import annotations

from trackbridge.comparison.fields import Fields
from trackbridge.comparison.groups import replicate_groups
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run
from trackbridge.web.asked import table_asked
from trackbridge.web.catalogue import Listing, likeliest_metrics
from trackbridge.web.columns import cell_of, group_cell, shown_columns


def replicate(seed: int, scores: list[float], **config: object) -> RunRecord:
    return build_run(
        f"run-{seed}", curves={"eval/mcc": scores}, config={"script": {"lr": 2e-5, **config}}, seeds=Seeds(dropout=seed)
    )


def known(runs: list[RunRecord]) -> Fields:
    fields = Fields()
    fields.learn(runs)
    return fields


def test_a_run_that_learned_nothing_is_no_part_of_the_mean_of_its_group() -> None:
    runs = [replicate(1, [0.1, 0.5]), replicate(2, [0.1, 0.7]), replicate(3, [0.0, 0.0])]
    group = replicate_groups(runs)[0]
    field = known(runs).named("eval/mcc")

    assert group_cell(field, group).text == "0.60 ± 0.14 (2 of 3 runs)"
    assert cell_of(field, runs[2]).text == "0"


def test_a_group_shows_what_its_runs_share_and_how_many_values_there_are_else() -> None:
    runs = [replicate(seed, [0.1, 0.5 + seed / 100]) for seed in range(5)]
    group = replicate_groups(runs)[0]
    fields = known(runs)

    assert group_cell(fields.named("lr"), group).text == "2e-05"
    assert group_cell(fields.named("seed.dropout"), group).text == "5 values"
    assert group_cell(fields.named("status"), group).text == "5 finished"


def test_columns_that_vary_are_shown_and_constant_ones_when_asked() -> None:
    runs = [replicate(1, [0.5], layers=2, optimizer="adamw"), replicate(2, [0.6], layers=0, optimizer="adamw")]
    listing = Listing(1, tuple(runs), known(runs), likeliest_metrics(runs))

    def keys(**query: str) -> list[str]:
        return [field.key for field in shown_columns(table_asked(query), listing, runs, ["eval/mcc"])]

    assert {"script.layers", "seed.dropout", "best(eval/mcc)"} <= set(keys())
    assert "script.optimizer" not in keys()
    assert "script.optimizer" in keys(constant="show")
    assert keys(columns="script.layers,gone") == ["script.layers"]


def test_the_metric_of_one_run_does_not_lead_the_table_of_many() -> None:
    many = [build_run(f"run-{n}", curves={"test/f1": [0.5], "train/loss": [1.0]}) for n in range(5)]
    one = build_run("other", curves={"eval/accuracy": [0.9]})

    assert likeliest_metrics([*many, one]) == ("test/f1", "train/loss", "eval/accuracy")
