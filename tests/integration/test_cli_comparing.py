"""`diff` and `compare` on runs that were really recorded: one set of numbers in every format."""

from __future__ import annotations

import csv
import io
import json
import statistics
from pathlib import Path

import pytest
from cli_kit import ESCAPE, HOSTILE, call, record, record_study

import trackbridge as tb
from trackbridge.report.text import mean_text

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_diff_shows_differences_only(root: Path, capsys: Capture) -> None:
    record_study(root)

    out = call(capsys, "diff", "lr1e-05-s0", "lr2e-05-s1").out

    rows = {row.split()[0]: row.split()[1:] for row in out.splitlines() if row.startswith(("script.", "seeds."))}
    assert rows == {
        "script.lr": ["1e-05", "2e-05", "aliased"],
        "seeds.dropout": ["0", "1", "aliased"],
    }
    assert "volatile hidden (--all)" in out


def test_diff_all_shows_volatile_keys(root: Path, capsys: Capture) -> None:
    record_study(root)

    assert "script.output_dir" in call(capsys, "diff", "lr1e-05-s0", "lr1e-05-s1", "--all").out


def test_diff_of_more_than_ten_runs_counts_values(root: Path, capsys: Capture) -> None:
    names = [f"r{index}" for index in range(12)]
    for index, name in enumerate(names):
        record(root, name, lr=1e-5 if index < 8 else 2e-5, n_steps=1)

    assert "1e-05 (8 runs), 2e-05 (4 runs)" in call(capsys, "diff", *names).out


def test_diff_as_json_and_markdown(root: Path, capsys: Capture) -> None:
    record_study(root)
    pair = ("lr1e-05-s0", "lr2e-05-s0")

    found = json.loads(call(capsys, "diff", *pair, "--format", "json").out)
    markdown = call(capsys, "diff", *pair, "--format", "md").out

    (difference,) = [one for one in found["differences"] if one["role"] == "config"]
    assert difference["key"] == "script.lr"
    assert difference["values"] == [{"value": 1e-5}, {"value": 2e-5}]
    assert "| script.lr | 1e-05 | 2e-05 |" in markdown


def test_diff_says_where_curves_part_and_what_could_have_caused_it(root: Path, capsys: Capture) -> None:
    record_study(root)
    pair = ("lr1e-05-s0", "lr2e-05-s1")
    told = "lr1e-05-s0 and lr2e-05-s1 first differ at step 10, in eval/mcc"

    table, markdown = call(capsys, "diff", *pair).out, call(capsys, "diff", *pair, "--format", "md").out
    (found,) = json.loads(call(capsys, "diff", *pair, "--format", "json").out)["divergences"]

    assert told in table
    assert told in markdown
    assert (found["step"], found["is_identical"]) == (10, False)
    assert [one["key"] for one in found["causes"]] == ["seeds.dropout", "script.lr"]
    assert "cannot be told apart, since they vary together here: script.lr = seeds.dropout" in table


def test_diff_of_the_same_training_twice_says_identical(root: Path, capsys: Capture) -> None:
    record(root, "a")
    record(root, "b")

    assert "a and b are identical, bit for bit" in call(capsys, "diff", "a", "b").out


def test_data_that_differ_are_the_first_thing_said_by_every_face(root: Path, capsys: Capture, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.tsv").write_text(name)
        with tb.start_run("cola", name=name, root=root, data={"eval": tmp_path / f"{name}.tsv"}) as run:
            run.log({"eval/mcc": 0.5}, step=1)
    told = "the data differ: 'eval' has 2 contents"

    for command in ("diff", "compare"):
        assert call(capsys, command, "a", "b").out.partition("!")[2].startswith(f" {told}")
        assert f"- **{told[:15]}" in call(capsys, command, "a", "b", "--format", "md").out
        notes = json.loads(call(capsys, command, "a", "b", "--format", "json").out)["notes"]
        assert notes[0]["text"].startswith(told)
    call(capsys, "report", "a", "b", "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.index("the data differ") < page.index("<table")


def test_diff_of_one_run_is_misuse(root: Path, capsys: Capture) -> None:
    record(root, "a")

    done = call(capsys, "diff", "a")

    assert done.code == 2
    assert "needs two runs" in done.err


def test_compare_finds_the_replicates(root: Path, capsys: Capture) -> None:
    record_study(root)

    out = call(capsys, "compare", "--group", "study").out

    assert "cola / study: 6 runs in 2 groups" in out
    assert "lr=1e-05" in out
    assert "0.15 ± 0.10" in out
    assert "0.16 ± 0.10" in out


def test_every_format_states_the_same_numbers(root: Path, capsys: Capture) -> None:
    record_study(root)

    as_json = json.loads(call(capsys, "compare", "-g", "study", "--format", "json").out)
    as_csv = list(csv.DictReader(io.StringIO(call(capsys, "compare", "-g", "study", "--format", "csv").out)))
    as_markdown = call(capsys, "compare", "-g", "study", "--format", "md").out
    as_table = call(capsys, "compare", "-g", "study").out

    assert len(as_json["metrics"]["eval/mcc"]["groups"]) == 2
    for group in as_json["metrics"]["eval/mcc"]["groups"]:
        scores = [float(row["eval/mcc"]) for row in as_csv if row["replicates"] == group["label"]]
        assert group["n"] == 3
        assert group["mean"] == pytest.approx(statistics.fmean(scores), abs=1e-15)
        assert group["sd"] == pytest.approx(statistics.stdev(scores), abs=1e-15)
        for text in (as_markdown, as_table):
            assert mean_text(group["mean"], group["sd"]) in text


def test_compare_by_one_metric_at_the_last_common_step(root: Path, capsys: Capture) -> None:
    record(root, "short", lr=1e-5, n_steps=20)
    record(root, "long", lr=2e-5, n_steps=40)

    done = call(capsys, "compare", "short", "long", "-m", "eval/mcc", "--at", "common", "--format", "json")

    found = json.loads(done.out)
    assert list(found["metrics"]) == ["eval/mcc"]
    assert found["metrics"]["eval/mcc"]["common"] == {"align": "step", "position": 20}
    assert [group["mean"] for group in found["metrics"]["eval/mcc"]["groups"]] == [0.2, 0.2]
    assert "long trained 100 % longer than the shortest (20 steps)" in [
        note["text"].partition(";")[0] for note in found["notes"]
    ]


def test_compare_against_a_baseline(root: Path, capsys: Capture) -> None:
    record_study(root)

    out = call(capsys, "compare", "-g", "study", "--baseline", "lr2e-05-s0").out

    assert "against baseline" in out
    assert "-0.01" in out


def test_a_baseline_is_the_run_of_this_name_among_those_compared(root: Path, capsys: Capture) -> None:
    record_study(root)
    record(root, "lr2e-05-s0", lr=3e-5, group="another study")

    assert "against baseline" in call(capsys, "compare", "-g", "study", "--baseline", "lr2e-05-s0").out


def test_compare_by_id_prefix_and_name_counts_a_run_once(root: Path, capsys: Capture) -> None:
    run_id = record(root, "a")

    found = json.loads(call(capsys, "compare", "a", run_id[:20], "--format", "json").out)

    assert [run["run_id"] for run in found["runs"]] == [run_id]


def test_html_report_of_hostile_runs(root: Path, capsys: Capture, tmp_path: Path) -> None:
    for seed in range(2):
        with tb.start_run("cola", name=f"<script>{seed}</script>{HOSTILE}", root=root, config={"<b>": seed}) as run:
            run.log({"eval/<i>": 0.5}, step=1)
            run.log({"eval/<i>": 0.6}, step=2)

    done = call(capsys, "report", "-p", "cola", "-o", tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert done.code == 0
    assert "wrote " in done.err
    assert "<script" not in page
    assert "<svg" in page
    assert ESCAPE not in page


def test_the_report_draws_scores_against_a_key(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record_study(root)

    done = call(capsys, "report", "-g", "study", "-o", tmp_path / "report.html", "--against", "script.lr")

    assert done.code == 0
    assert "Scores against script.lr" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_scores_against_a_key_need_a_key_that_is_there(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record_study(root)

    done = call(capsys, "report", "-g", "study", "-o", tmp_path / "report.html", "--against", "script.l")

    assert done.code == 3
    assert "none of the runs has a config key 'script.l'" in done.err
    assert not (tmp_path / "report.html").exists()


def test_csv_cells_are_not_formulas(root: Path, capsys: Capture) -> None:
    record(root, "=HYPERLINK(1)")

    (row,) = csv.DictReader(io.StringIO(call(capsys, "compare", "-p", "cola", "--format", "csv").out))

    assert row["name"] == "'=HYPERLINK(1)"


def test_records_of_the_store_compare_like_those_of_the_command(root: Path, capsys: Capture) -> None:
    record_study(root)

    found = tb.compare(tb.open_store(root).runs(group="study"))

    assert json.loads(call(capsys, "compare", "-g", "study", "--format", "json").out) == found.to_json()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compare"], 2, "which runs?"),
        (["compare", "-g", "stud"], 3, "did you mean 'study'"),
        (["compare", "nothing"], 3, "nothing"),
        (["compare", "-g", "study", "--at", "latest"], 2, "did you mean 'last'"),
        (["compare", "-g", "study", "-m", "eval/mc"], 3, "did you mean 'eval/mcc'"),
        (["compare", "-g", "study", "--format", "xml"], 2, "no format 'xml'"),
        (["compare", "-g", "study", "--curve", "eval/mc"], 3, "did you mean 'eval/mcc'"),
        (["report", "-g", "study", "-o", "no/such/folder/x.html"], 2, "cannot write"),
        (["diff", "lr1e-05-s0", "lr1e-05-s0"], 2, "needs two runs"),
        (["diff"], 2, "Missing argument"),
        (["compair"], 2, "No such command"),
    ],
)
def test_mistakes_are_one_clean_message(
    root: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    record_study(root)

    done = call(capsys, *arguments)

    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_root_that_is_not_there_is_not_found(root: Path, capsys: Capture) -> None:
    done = call(capsys, "ls", "--root", root / "nowhere")

    assert done.code == 3
    assert "nowhere" in done.err
