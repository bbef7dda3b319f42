"""With `ranks="all"` every rank writes its own journal, whichever of them is first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import trackbridge as tb
from trackbridge.events.models import RunResumed, RunStarted
from trackbridge.journal.paths import journal_file
from trackbridge.testing.written import events_of

RUN_ID = "a" * 32
SCRIPT = f"""
import sys
import trackbridge as tb
with tb.start_run("cola", name="wide", group="study", tags=["a"], root=sys.argv[1], run_id="{RUN_ID}", ranks="all"):
    pass
"""


def run_rank(rank: int, root: Path) -> None:
    environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(root)], env=environment, check=True)


def test_a_run_whose_other_rank_was_faster_keeps_its_name_group_and_tags(tmp_path: Path) -> None:
    run_rank(1, tmp_path)
    run_rank(0, tmp_path)

    run = tb.open_store(tmp_path).run("wide")
    assert (run.run_id, run.group, run.tags, run.status) == (RUN_ID, "study", ("a",), "finished")
    assert events_of(Path(run.path), RunResumed) == []


def test_a_journal_of_which_nothing_is_written_yet_does_not_count_as_a_beginning(tmp_path: Path) -> None:
    journal = journal_file(tmp_path / "cola" / RUN_ID, "b" * 32)
    journal.parent.mkdir(parents=True)
    journal.touch()

    run_rank(0, tmp_path)

    assert tb.open_store(tmp_path).run(RUN_ID).name == "wide"


def test_ranks_that_go_on_with_a_run_do_not_start_it_again(tmp_path: Path) -> None:
    for rank in (0, 1, 1, 0):
        run_rank(rank, tmp_path)

    folder = tmp_path / "cola" / RUN_ID
    assert len(events_of(folder, RunStarted)) == len(events_of(folder, RunResumed)) == 1
