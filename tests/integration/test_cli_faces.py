"""`findings`, `importance`, `seeds`, the curve of `compare` and `report`, on runs that were really recorded."""

from __future__ import annotations

import csv
import io
import json
import math
from functools import partial
from pathlib import Path

import pytest
from cli_kit import ESCAPE, HOSTILE, call, record, record_study

import trackbridge as tb

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "runs"))
    return tmp_path / "runs"


def rising(start: float, step: int) -> float:
    return start + step / 1000


def record_search(root: Path, n: int = 20) -> None:
    """A learning rate that decides the score, and a key that does nothing, in the group `search`."""
    for index in range(n):
        config = {"lr": 1e-5 * (1 + index), "note": index % 2}
        with tb.start_run("cola", name=f"r{index}", root=root, group="search", config=config) as run:
            run.log({"eval/mcc": 0.3 + config["lr"] * 1000 + index / 10_000}, step=1)


def record_seeds(root: Path) -> None:
    """Three runs that differ in the dropout seed alone, and three in the init seed alone."""
    for index in range(6):
        with tb.start_run("cola", name=f"s{index}", root=root, group="seeds", config={"lr": 1}) as run:
            run.log_seeds(tb.Seeds(init=max(0, index - 2), data=1, dropout=min(index, 2)))
            run.log({"eval/mcc": 0.5 + (index % 3) / (10 if index < 3 else 50)}, step=1)


def test_findings_tell_the_gravest_first(root: Path, capsys: Capture) -> None:
    record(root, "fine")
    record(root, "nan", mcc=lambda step: math.nan if step == 20 else step / 100)

    out = call(capsys, "findings", "-p", "cola").out

    rows = [row for row in out.splitlines() if row.startswith(("error", "warning", "info"))]
    assert rows[0].startswith("error")
    assert "nonfinite" in rows[0]


def test_findings_in_every_format_are_the_same(root: Path, capsys: Capture) -> None:
    record(root, "nan", mcc=lambda step: math.nan)

    found = json.loads(call(capsys, "findings", "nan", "--format", "json").out)
    rows = list(csv.DictReader(io.StringIO(call(capsys, "findings", "nan", "--format", "csv").out)))
    markdown = call(capsys, "findings", "nan", "--format", "md").out

    assert [one["code"] for one in found] == [row["code"] for row in rows]
    assert all(f"| {one['code']} |" in markdown for one in found)
    assert rows[0]["run"] == "nan"


def test_no_finding_is_an_answer(root: Path, capsys: Capture) -> None:
    record(root, "fine", n_steps=40)

    assert call(capsys, "findings", "fine").out == "Nothing found.\n"


def test_importance_names_what_there_is_evidence_for(root: Path, capsys: Capture) -> None:
    record_search(root)

    found = json.loads(call(capsys, "importance", "-g", "search", "--format", "json").out)
    rows = list(csv.DictReader(io.StringIO(call(capsys, "importance", "-g", "search", "--format", "csv").out)))
    table = call(capsys, "importance", "-g", "search").out

    assert {one["key"]: one["evidence"] for one in found["parameters"]} == {
        "script.lr": "associated",
        "script.note": "no evidence",
    }
    assert [row["evidence"] for row in rows] == ["associated", "no evidence"]
    assert table.index("script.lr") < table.index("script.note")


def test_importance_says_when_it_cannot_tell(root: Path, capsys: Capture) -> None:
    record_study(root)

    out = call(capsys, "importance", "-g", "study").out

    assert out == "Cannot tell: not enough runs: 2 settings have a score that counts, 5 are needed at least.\n"


def test_seeds_tell_which_one_moves_the_score_and_what_more_runs_promise(root: Path, capsys: Capture) -> None:
    record_seeds(root)

    found = json.loads(call(capsys, "seeds", "-g", "seeds", "--format", "json").out)
    rows = {
        row["seed"]: row
        for row in csv.DictReader(io.StringIO(call(capsys, "seeds", "-g", "seeds", "--format", "csv").out))
    }
    table = call(capsys, "seeds", "-g", "seeds").out

    (variance,) = found["seed_variance"]
    assert variance["design"] == "one at a time"
    assert float(rows["dropout"]["share"]) > float(rows["init"]["share"])
    assert f"{float(rows['dropout']['share']):.0%}" in table
    assert "best of 5" in table
    assert len(found["expected_best"][0]["n_runs"]) == 6


def test_seeds_say_why_they_cannot_tell(root: Path, capsys: Capture) -> None:
    record(root, "only")

    assert "3 or more are needed" in call(capsys, "seeds", "only").out


def test_compare_groups_by_the_key_that_is_named(root: Path, capsys: Capture) -> None:
    record_search(root, 4)

    told = json.loads(call(capsys, "compare", "-g", "search", "--by", "note", "--format", "json").out)

    assert [len(group["run_ids"]) for group in told["groups"]] == [2, 2]
    assert "the runs of note=0 are no replicates" in call(capsys, "compare", "-g", "search", "--by", "note").out


def test_compare_aligns_by_samples_and_refuses_words_it_does_not_know(root: Path, capsys: Capture) -> None:
    for name, batch_size in (("one", 16), ("other", 32)):
        with tb.start_run("cola", name=name, root=root, config={"batch_size": batch_size}) as run:
            for step in range(1, 11):
                run.log({"eval/mcc": step / batch_size}, step=step)

    out = call(capsys, "compare", "one", "other", "--align", "samples", "--at", "common", "--curve", "eval/mcc").out

    assert "eval/mcc by sample" in out
    assert "each run at the last common sample." in out
    assert (
        "cannot align by 'tme' (known: epoch, samples, step, time)"
        in call(capsys, "compare", "one", "--align", "tme").err
    )


def test_compare_tells_the_verdict_against_the_noise_of_the_whole_project(root: Path, capsys: Capture) -> None:
    record_study(root)
    for name, lr, seed in (("a", 7e-5, 7), ("b", 8e-5, 8), ("a2", 7e-5, 9), ("a3", 7e-5, 10)):
        record(root, name, lr=lr, seed=seed, mcc=partial(rising, seed / 100))

    out = call(capsys, "compare", "a", "b", "-m", "eval/mcc").out

    assert "cannot tell lr=8e-05 from lr=7e-05" in out
    assert "with 5 degrees of freedom" in out


def test_compare_draws_a_curve_when_asked_in_a_pipe(root: Path, capsys: Capture) -> None:
    record_study(root)

    plain = call(capsys, "compare", "-g", "study").out
    drawn = call(capsys, "compare", "-g", "study", "--curve", "train/loss").out

    assert "train/loss by step" not in plain
    picture = drawn[drawn.index("train/loss by step") :]
    # Without colours, letters tell the groups apart.
    assert "A lr=1e-05" in picture
    assert "B lr=2e-05" in picture
    assert "B" * 10 in picture


@pytest.mark.parametrize("command", ["compare", "findings", "importance", "seeds"])
@pytest.mark.parametrize("output_format", ["table", "md", "csv"])
def test_hostile_names_steer_no_terminal(root: Path, capsys: Capture, command: str, output_format: str) -> None:
    for index in range(6):
        name = f"{HOSTILE}{index}"
        with tb.start_run(
            "cola", name=name, root=root, group=HOSTILE, config={HOSTILE: index, f"x{HOSTILE}": name}
        ) as run:
            run.log_seeds(tb.Seeds(init=1, data=1, dropout=index % 2))
            run.log({f"eval/{index}": math.nan, "eval/mcc": index / 10}, step=1)
            run.log({"eval/mcc": index / 5}, step=2)

    curve = ("--curve", "eval/mcc") if command == "compare" else ()
    done = call(capsys, command, "-p", "cola", "--format", output_format, *curve)

    assert done.code == 0
    assert output_format == "csv" or ESCAPE not in done.out


def test_the_report_tells_everything_of_the_comparison(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record_search(root)
    record_seeds(root)

    done = call(capsys, "report", "-p", "cola", "--baseline", "r0", "-o", tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert done.code == 0
    for heading in ("Replicate groups", "What differs between the groups", "Parameters", "What each seed does"):
        assert f"<h2>{heading}</h2>" in page
    assert "<script" not in page
    assert 'class="told verdicts"' in page


def test_a_running_run_that_is_silent_has_stalled(root: Path, capsys: Capture, tmp_path: Path) -> None:
    with tb.start_run("cola", name="slow", root=root) as run:
        for step in range(200):
            run.log({"train/loss": 1 / (1 + step)}, step=step)

        # To start a command takes far longer than five of these intervals.
        found = json.loads(call(capsys, "findings", "slow", "--format", "json").out)
        call(capsys, "report", "slow", "-o", tmp_path / "report.html")

    assert found[0]["code"] == "stalled"
    assert "has been silent for" in (tmp_path / "report.html").read_text(encoding="utf-8")
