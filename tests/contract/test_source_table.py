"""The contract of sources, for tables of numbers: CSV and JSON Lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

import trackbridge as tb
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.sources.columns import nanoseconds_in
from trackbridge.sources.importing import import_runs
from trackbridge.sources.outcome import ImportReport
from trackbridge.testing.source_contract import Expected, SourceContract

NAME = "../../<b>escape</b>"
STARTED_S = 1_750_000_000
NS = 10**9
STEPS = [1, 2, 5, 3, 8]
LOSSES = [0.9, math.nan, math.inf, -math.inf, 0.1]


def write_csv(path: Path) -> Path:
    rows = [f'iteration,wall,seed,note,loss,"{NAME}"']
    for number, (step, loss) in enumerate(zip(STEPS, LOSSES, strict=True)):
        rows.append(f'{step},{STARTED_S + number},7,"grün, and ""quoted""",{loss!r},{number}')
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


class TestCsv(SourceContract):
    source = "table"
    hostile_name = NAME
    columns = {"iteration": "step", "wall": "time", "seed": "config"}

    @pytest.fixture
    def made_place(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return write_csv(tmp_path_factory.mktemp("csv") / "läufe.csv")

    def bring(self, place: Path, root: Path) -> ImportReport:
        header = place.read_text("utf-8", "replace").partition("\n")[0] if place.is_file() else ""
        told = {name: role for name, role in self.columns.items() if name in header.split(",")}
        return import_runs(place, source=self.source, root=root, columns=told)

    @pytest.fixture
    def expected(self) -> Expected:
        return Expected(
            name="läufe",
            curves={
                "loss": list(zip(STEPS, LOSSES, strict=True)),
                NAME: [(step, float(number)) for number, step in enumerate(STEPS)],
            },
            config={"seed": "7", "note": 'grün, and "quoted"'},
            status=None,
            times_ns=(STARTED_S * NS, (STARTED_S + len(STEPS)) * NS),
        )

    @pytest.fixture
    def hostile_places(self, tmp_path: Path) -> Sequence[Path]:
        long, nested = tmp_path / "long.csv", tmp_path / "nested.jsonl"
        long.write_text("step,loss\n1," + "9" * (17 << 20))
        nested.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
        return [long, nested]


def test_json_lines_are_flattened_and_a_column_says_whose_row_it_is(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text(
        '{"run": "a", "step": 1, "eval": {"mcc": 0.5}, "time": "2026-01-02T03:04:05Z", "lr": "2e-5"}\n'
        '{"run": "b", "step": 1, "eval": {"mcc": 0.6}, "ok": true}\n'
        "nonsense\n"
        '{"run": "a", "step": 2, "eval": {"mcc": NaN}, "time": "2026-01-02T03:04:06Z"}\n'
    )

    report = tb.import_runs(file, root=tmp_path / "runs")

    runs = {run.name: run for run in tb.open_store(tmp_path / "runs").runs()}
    assert list(runs["a"].series("eval/mcc").steps) == [1, 2]
    assert math.isnan(runs["a"].series("eval/mcc").values[1])
    assert runs["a"].series("eval/mcc").times_ns[0] == 1_767_323_045 * NS
    assert runs["a"].series("lr").values[0] == 2e-5
    assert runs["b"].config["script"] == {"ok": True}
    assert runs["b"].started_ns == 0
    assert "line 3" in str(report.runs[0].problems[0])


def test_a_step_that_is_no_whole_number_is_an_epoch_and_one_that_lacks_is_a_position(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,loss\n0.5,3\n1.5,2\n")
    (tmp_path / "b.tsv").write_text("loss\tacc\n3\t.1\n2\t\n")

    for name in ("a.csv", "b.tsv"):
        tb.import_runs(tmp_path / name, root=tmp_path / "runs")

    runs = {run.name: run for run in tb.open_store(tmp_path / "runs").runs()}
    assert list(runs["a"].series("loss").steps) == list(runs["b"].series("loss").steps) == [0, 1]
    assert list(runs["a"].series("loss").epochs) == [0.5, 1.5]
    assert list(runs["b"].series("acc").values) == [0.1]


def test_each_run_gets_its_rows_wherever_they_stand_between_those_of_others(tmp_path: Path) -> None:
    rows = [(run, step) for step in range(3) for run in "ab"] + [("c", step) for step in range(3)] + [("a", 3)]
    lines = [f'{run},{step},"{step}\n0"' if run == "b" else f"{run},{step},{step}0" for run, step in rows]
    (tmp_path / "a.csv").write_text("\ufeffrun,step,loss\n" + "\n".join(lines) + "\n", encoding="utf-8")

    tb.import_runs(tmp_path / "a.csv", root=tmp_path / "runs")

    runs = {run.name: run for run in tb.open_store(tmp_path / "runs").runs()}
    assert {name: list(run.series("loss").steps) for name, run in runs.items() if "loss" in run.metrics} == {
        "a": [0, 1, 2, 3],
        "c": [0, 1, 2],
    }
    assert runs["b"].config["table"]["loss"] == ["0\n0", "1\n0", "2\n0"]


def test_a_last_line_without_an_end_is_not_taken_for_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("step,loss\n1,0.5\n2,0.1")

    report = tb.import_runs(file, root=tmp_path / "runs")
    file.write_text("step,loss\n1,0.5\n2,0.125\n")
    tb.import_runs(file, root=tmp_path / "runs")

    (run,) = tb.open_store(tmp_path / "runs").runs()
    assert list(run.series("loss").values) == [0.5, 0.125]
    assert "line 3: has no line end" in str(report.runs[0].problems[0])


def test_a_text_among_numbers_is_kept_as_it_is_and_no_setting(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,loss\n1,n/a\n2,2\n")

    report = tb.import_runs(tmp_path / "a.csv", root=tmp_path / "runs")

    (run,) = tb.open_store(tmp_path / "runs").runs()
    assert run.config == {"table": {"loss": ["n/a"]}}
    assert report.runs[0].unmapped == ("loss",)


def test_a_wrong_column_is_told_with_the_ones_there_are(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv")

    with pytest.raises(MisuseError, match=r"no column 'iterations'.*did you mean 'iteration'"):
        tb.import_runs(file, root=tmp_path / "runs", columns={"iterations": "step"})
    with pytest.raises(MisuseError, match=r"each 'step': say --column wall=skip"):
        tb.import_runs(file, root=tmp_path / "runs", columns={"iteration": "step", "wall": "step"})


def test_a_file_without_rows_and_a_journal_of_ours_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("step,loss\n")
    with tb.start_run("p", root=tmp_path / "own") as run:
        run.log({"a": 1.0}, step=1)
    journal = next(run.path.glob("journal-*"))

    for place in (tmp_path / "empty.csv", journal):
        with pytest.raises(NotFoundError):
            tb.import_runs(place, root=tmp_path / "runs")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1750000000", 1_750_000_000 * NS),
        (1750000000.25, 1_750_000_000_250_000_000),
        ("1750000000123", 1_750_000_000_123_000_000),
        ("1750000000123456", 1_750_000_000_123_456_000),
        ("1750000000123456789", 1_750_000_000_123_456_789),
        ("2025-06-15T15:06:40+00:00", 1_750_000_000 * NS),
        ("2025-06-15 15:06:40.5", 1_750_000_000_500_000_000),
        ("soon", None),
        (None, None),
    ],
)
def test_times_are_read_in_the_unit_that_makes_sense(cell: object, expected: int | None) -> None:
    assert nanoseconds_in(cell) == expected
