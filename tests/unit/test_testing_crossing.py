"""Two runs compared field by field: what was kept, changed and lost on the way."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import trackbridge as tb
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    SeedsLogged,
    SummaryLogged,
)
from trackbridge.store.records import RunRecord
from trackbridge.testing.crossing import Crossing, cross
from trackbridge.testing.journals import ToldJournal


def told(*, started_s: float = 0.0) -> ToldJournal:
    """A run that holds everything."""
    journal = ToldJournal(started_s=started_s).start("baseline", group="study", tags=["a", "b"], notes="Notes")
    journal.tell(ConfigLogged, scope="script", config={"optimizer": {"lr": 2e-5, "betas": [0.9, 0.999]}, "n": 1})
    journal.tell(SeedsLogged, init=1, data=2)
    journal.tell(EnvironmentCaptured, environment={"host": {"name": "node7"}})
    journal.log(1, {"loss": 1.0, "system/cpu": 50.0}, epoch=0.5).log(3, {"loss": 0.5}).log(2, {"loss": math.nan})
    journal.tell(SummaryLogged, values={"best": 0.5})
    journal.tell(CheckpointSaved, step=3, path="out/checkpoint-3", metrics={"loss": 0.5})
    journal.tell(ArtifactLogged, name="weights", type="model", path="w.bin", size_bytes=1, sha256="0" * 64)
    return journal


def written(journal: ToldJournal, root: Path) -> RunRecord:
    journal.tell(RunFinished, status="failed", exit_code=3, error="ValueError: no").write(root)
    return tb.open_store(root).run("baseline")


@pytest.fixture
def before(tmp_path: Path) -> RunRecord:
    return written(told(), tmp_path / "before")


def differing(crossings: dict[str, Crossing]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {name: (one.fate, one.differences) for name, one in crossings.items() if one.fate not in ("kept", "-")}


def test_a_run_that_came_back_as_it_was_is_kept_in_every_field(before: RunRecord, tmp_path: Path) -> None:
    after = written(told(), tmp_path / "after")

    crossings = cross(before, after)

    assert differing(crossings) == {}
    absent = {name for name, one in crossings.items() if one.fate == "-"}
    assert absent == {"images", "tables", "histograms", "texts", "plotly", "captions", "console", "resumes"}


def test_points_that_are_gone_changed_and_new_are_told_one_by_one(before: RunRecord, tmp_path: Path) -> None:
    other = ToldJournal().start("baseline")
    other.tell(RunFinished, status="finished", exit_code=0, after_s=3).log(1, {"loss": 1.5, "mcc": 0.0})
    other.write(tmp_path / "after")

    crossings = cross(before, tb.open_store(tmp_path / "after").run("baseline"))

    assert crossings["points"] == Crossing(
        "lost in part",
        ("loss / 3 / 0: 0.5 is gone", "loss / 1 / 0: 1.0 became 1.5", "mcc / 1 / 0: 0.0 came to be"),
    )
    assert crossings["NaN and infinities"] == Crossing("lost", ("loss / 2 / 0: nan is gone",))
    assert crossings["steps"].differences == ("loss: [1, 2, 3] became [1]", "mcc: [1] came to be")
    assert crossings["system metrics"].fate == crossings["seeds"].fate == crossings["files"].fate == "lost"
    assert crossings["status and exit code"].fate == "changed"


def test_a_number_that_became_a_text_or_another_kind_of_number_is_changed(before: RunRecord, tmp_path: Path) -> None:
    journal = told()
    journal.tell(ConfigLogged, scope="script", config={"optimizer": {"lr": "2e-05", "betas": [0.9, 0.999]}, "n": 1.0})

    crossings = cross(before, written(journal, tmp_path / "after"))

    assert crossings["config"] == Crossing(
        "changed", ("script / optimizer / lr: 2e-05 became '2e-05'", "script / n: 1 became 1.0")
    )


@pytest.mark.parametrize(("off_s", "fate"), [(0.0009, "kept"), (0.0011, "changed")])
def test_a_time_may_be_a_millisecond_off_and_no_more(
    before: RunRecord, tmp_path: Path, off_s: float, fate: str
) -> None:
    crossings = cross(before, written(told(started_s=off_s), tmp_path / "after"))

    assert crossings["times"].fate == crossings["start and end"].fate == fate


def test_what_an_import_says_of_itself_is_no_difference(before: RunRecord, tmp_path: Path) -> None:
    journal = told()
    journal.tell(ConfigLogged, scope="wandb", config={"run_id": "abc"})
    journal.tell(EnvironmentCaptured, environment={"import": {"source": "wandb", "identity": "abc"}})
    journal.tell(ConfigLogged, scope="other", config={"key": 1}, after_s=0)

    found = differing(cross(before, written(journal, tmp_path / "after")))

    assert found["config"] == ("changed", ("other / key: 1 came to be",))
    assert "environment" not in found


def test_media_are_compared_by_their_content_and_captions(tmp_path: Path) -> None:
    with tb.start_run("demo", name="baseline", root=tmp_path / "before") as run:
        run.log({"t": tb.Table(["a"], [[1]], caption="eins"), "text": tb.Text("Wort")}, step=1)
    with tb.start_run("demo", name="baseline", root=tmp_path / "after") as run:
        run.log({"t": tb.Table(["a"], [["1"]])}, step=1)

    first, second = (tb.open_store(tmp_path / name).run("baseline") for name in ("before", "after"))
    found = cross(first, second)

    (difference,) = found["tables"].differences
    assert "{'columns': ['a'], 'rows': [[1]]} became {'columns': ['a'], 'rows': [['1']]}" in difference
    assert found["texts"].fate == found["captions"].fate == "lost"


def test_points_at_one_step_are_told_apart_by_their_order(tmp_path: Path) -> None:
    for name, values in {"before": (1.0, 2.0), "after": (2.0, 1.0)}.items():
        journal = ToldJournal().start("baseline")
        for value in values:
            journal.log(1, {"loss": value})
        journal.write(tmp_path / name)

    first, second = (tb.open_store(tmp_path / name).run("baseline") for name in ("before", "after"))

    assert cross(first, second)["points"].differences == (
        "loss / 1 / 0: 1.0 became 2.0",
        "loss / 1 / 1: 2.0 became 1.0",
    )


def test_a_journal_that_is_damaged_is_no_proof(before: RunRecord, tmp_path: Path) -> None:
    (path,) = Path(before.path).glob("journal-*")
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(AssertionError, match="no newline"):
        cross(before, before)
