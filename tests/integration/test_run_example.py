"""The example script, left alone and killed in the middle: it ends with the same numbers."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import trackbridge as tb
from trackbridge.store.records import RunRecord

EXAMPLE = Path(__file__).parents[2] / "examples" / "script.py"

# The fifth evaluation is at step 125, halfway between two checkpoints.
DIES_AT_THE_FIFTH_EVALUATION = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import script
evaluate, calls = script.evaluate, []
def evaluate_or_die(*arguments):
    calls.append(arguments)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(*arguments)
script.evaluate = evaluate_or_die
script.main(Path(sys.argv[1]))
"""


def run_example(folder: Path) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLE), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def record_of(folder: Path) -> RunRecord:
    (record,) = tb.open_store(folder / "runs").runs()
    return record


def test_the_example_script_ends_with_the_same_numbers_when_it_was_killed(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    told = run_example(whole)
    command = [sys.executable, "-c", DIES_AT_THE_FIFTH_EVALUATION, str(killed), str(EXAMPLE.parent)]
    died = subprocess.run(command, capture_output=True, timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert record_of(killed).status == "lost"
    assert record_of(killed).metrics["train/loss"].last_step == 125
    told_after = run_example(killed)

    one, other = record_of(whole), record_of(killed)
    assert told.startswith("spirals: finished after 1 session(s)\n")
    assert told_after == told.replace("1 session(s)", "2 session(s)")
    assert (other.status, [session.from_step for session in other.sessions]) == ("finished", [None, 100])
    for name in ("train/loss", "eval/accuracy", "eval/loss"):
        series, resumed = one.series(name), other.series(name)
        assert list(resumed.steps) == list(series.steps)
        assert [value.hex() for value in resumed.values.tolist()] == [value.hex() for value in series.values.tolist()]
