"""What a comparison tells its reader to beware of."""

from __future__ import annotations

import math

from trackbridge.comparison import compare
from trackbridge.comparison.notes import Note
from trackbridge.store.records import Problem, RunRecord
from trackbridge.testing.records import build_run


def note(runs: list[RunRecord], code: str) -> Note:
    (found,) = [one for one in compare(runs).notes if one.code == code]
    return found


def trained(name: str, n_steps: int, **fields: object) -> RunRecord:
    curve = {step: step / 1000 for step in range(40, n_steps + 1, 40)}
    return build_run(name, curves={"eval/mcc": curve}, config={"script": {"name": name}}, **fields)


def test_a_longer_run_is_told_with_the_scores_at_the_last_common_step() -> None:
    told = note([trained("a", 200), trained("b", 280)], "unequal_length")

    assert told.level == "warning"
    assert told.text == (
        "b trained 40 % longer than the shortest (200 steps);"
        " at the last common step, 200, eval/mcc is 0.2 (a), 0.2 (b)"
    )


def test_a_difference_of_a_tenth_in_length_is_not_told() -> None:
    assert not [one for one in compare([trained("a", 400), trained("b", 440)]).notes if one.code == "unequal_length"]


def test_a_run_that_stopped_early_is_told_as_such_and_as_no_short_one() -> None:
    reason = "5 evaluations without a gain of more than 0 in eval_mcc, of 400 updates planned"
    stopped = {"stopped_early_at": 200, "stopped_early_by": reason}
    runs = [trained("a", 400), trained("b", 400), trained("c", 200, summary=stopped)]

    told = note(runs, "stopped_early")

    assert told.level == "info"
    assert told.text == f"c stopped early by its own rule ({reason})"
    assert not [one for one in compare(runs).notes if one.code == "unequal_length"]


def test_other_data_is_told_loudly() -> None:
    runs = [
        build_run(name, config={"data": {"train": {"path": "train.tsv", "sha256": digest * 8}}})
        for name, digest in (("a", "0f0f0f0f"), ("b", "0f0f0f0f"), ("c", "1e1e1e1e"))
    ]

    told = note(runs, "data_differs")

    assert told.level == "warning"
    assert told.text == (
        "the data differ: 'train' has 2 contents (0f0f0f0f in a and b; 1e1e1e1e in c);"
        " what tells these runs apart may be what they learned from"
    )
    assert compare(runs).notes[0] == told


def test_non_finite_values_are_counted_and_located() -> None:
    runs = [build_run("a", curves={"train/loss": {1: 1.0, 2: math.nan, 3: math.inf, 4: 0.5}})]

    assert note(runs, "nonfinite").text == (
        "train/loss of a is NaN or infinite at 2 of 4 points, first at step 2; means leave these out"
    )


def test_runs_that_did_not_finish_are_named() -> None:
    runs = [trained("a", 200), trained("b", 200, status="failed"), trained("c", 200, status="failed")]

    assert note(runs, "unfinished").text == "b and c are failed, not finished"


def test_a_damaged_journal_is_told() -> None:
    problem = Problem("journal-1.jsonl", 3, 200, "damaged line")

    assert "a lacks lines" in note([trained("a", 200, problems=(problem,))], "damaged").text


def test_a_run_without_the_metric_is_told() -> None:
    assert note([trained("a", 200), build_run("b")], "metric_missing").text == "b has no eval/mcc"


def test_metrics_that_the_same_runs_lack_are_told_in_one_note() -> None:
    curves = {f"eval/{name}": [0.5] for name in "abcde"}

    told = compare([build_run("whole", curves=curves), build_run("bare", curves={"eval/a": [0.5]})]).notes

    texts = [one.text for one in told if one.code == "metric_missing"]
    assert texts == ["bare has no eval/b, eval/c, eval/d, eval/e"]


def test_a_metric_that_few_runs_have_is_told_by_those() -> None:
    runs = [trained("a", 200), trained("b", 200), build_run("c", curves={"eval/mcc": [0.5], "eval_fold/mcc": [0.5]})]

    assert note(runs, "metric_missing").text == "only c has eval_fold/mcc"


def test_where_no_replicate_learned_the_note_names_the_group_alone() -> None:
    told = note([build_run(name, curves={"eval/mcc": [0.0]}) for name in "abc"], "degenerate").text

    assert "all 3 runs of" in told
    assert told.endswith("learned nothing by eval/mcc and leave it without a mean: 3 of 3 runs, 100% [44%, 100%]")


def test_of_many_runs_with_the_same_data_those_that_differ_are_named() -> None:
    digests = dict.fromkeys("abcde", "0f" * 8) | {"other": "1e" * 8}
    runs = [build_run(name, environment={"data": {"train": {"sha256": digest}}}) for name, digest in digests.items()]

    assert "(1e1e1e1e in other; 0f0f0f0f in the other 5 runs)" in note(runs, "data_differs").text


def test_runs_without_config_may_not_be_replicates() -> None:
    assert note([build_run("a"), build_run("b")], "no_config").level == "warning"


def test_single_runs_say_nothing_about_seeds() -> None:
    assert note([trained("a", 200), trained("b", 200)], "single_runs").level == "info"


def test_many_names_are_folded() -> None:
    runs = [trained(f"r{index}", 200, status="lost") for index in range(7)]

    assert note(runs, "unfinished").text == "r0, r1 and 5 more are lost, not finished"


def test_sound_replicates_need_no_note() -> None:
    runs = [build_run(name, config={"script": {"lr": 1}}, curves={"eval/mcc": [0.1, 0.2]}) for name in "ab"]

    assert compare(runs).notes == ()


def test_one_run_that_stopped_early_is_the_one_named() -> None:
    runs = [build_run(f"r{seed}", curves={"eval/mcc": {100: 0.5, 200: 0.6}}) for seed in range(5)]
    early = build_run("early", curves={"eval/mcc": {100: 0.4}})

    told = note([*runs, early], "unequal_length")

    assert told.run_ids == (early.run_id,)
    assert told.text.startswith("early trained 50 % less than the longest (200 steps); at the last common step, 100")
