"""`trackbridge sync` and `status`: many runs, many targets, whatever came before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from cli_kit import call, call_apart, command, record
from relay_process_kit import OddTracker, Training, is_closed, odd, shown, steps_shown, train, until

import trackbridge as tb
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.journal.cursor import cursor_file, delivery_folder, lock_file
from trackbridge.journal.lock import held
from trackbridge.journal.paths import run_folder
from trackbridge.relay.standing import standing
from trackbridge.relay.sync import Synced
from trackbridge.testing.journals import ToldJournal

__all__ = ["odd", "train"]  # fixtures
Train = Callable[..., Training]
TARGET = "memory:offline"


def folder_of(root: Path, run_id: str) -> Path:
    return run_folder(root, "cola", run_id)


def test_runs_recorded_offline_are_delivered_later_and_a_second_time_nothing_is(tmp_path: Path) -> None:
    folders = [folder_of(tmp_path, record(tmp_path, name)) for name in ("a", "b")]
    counts: list[int] = []
    done: list[Synced] = []

    first = tb.sync(tmp_path, to=[TARGET], delivered=counts.append, done=done.append)
    again = tb.sync(tmp_path, to=[TARGET], delivered=lambda count: counts.append(-count))

    rows = [shown(folder).rows for folder in folders]
    assert [steps_shown(folder) for folder in folders] == [list(range(1, 41))] * 2
    assert [shown(folder).ending.status for folder in folders] == ["finished"] * 2
    assert (first.is_complete, again.is_complete) == (True, True)
    assert [one.record.name for one in done] == ["a", "b"]
    assert counts == [len(one) for one in rows]


def test_one_target_that_breaks_keeps_no_other_from_its_runs(tmp_path: Path, odd: OddTracker) -> None:
    root = tmp_path / "runs"
    folder = folder_of(root, record(root, "a"))
    odd.mood = "dies"

    report = tb.sync(root, to=["odd", TARGET])

    by_target = {one.target: one for one in report.synced}
    assert not report.is_complete
    assert by_target[TARGET].outcome == "delivered"
    assert by_target["odd"].outcome == "broken"
    assert "the relay process for odd ended with code -9" in (by_target["odd"].error or "")
    odd.mood = "works"
    assert tb.sync(root, to=["odd"]).is_complete
    assert steps_shown(folder, "odd") == list(range(1, 41))


def test_a_target_that_is_away_is_waited_for_once_and_not_for_every_run(tmp_path: Path, odd: OddTracker) -> None:
    root = tmp_path / "runs"
    for name in ("a", "b", "c"):
        record(root, name)
    odd.mood = "is away"

    report = tb.sync(root, to=["odd"], patience_s=0.2)

    assert [(one.outcome, one.error) for one in report.synced] == [("waiting", "odd is away")] * 3
    assert [cursor_file(Path(one.record.path), "odd").exists() for one in report.synced] == [True, False, False]


def test_following_stays_until_the_run_has_ended(tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackbridge.relay.sync.FOLLOW_EVERY_S", 0.1)
    training = train(tmp_path)
    counts: list[int] = []

    def kill_after_the_third(count: int) -> None:
        counts.append(count)
        if len(counts) == 3:
            training.process.kill()

    report = tb.sync(tmp_path, to=[TARGET], follow=True, delivered=kill_after_the_third)

    assert [one.outcome for one in report.synced] == ["delivered"]
    assert shown(training.folder).ending.status == "lost"
    steps = steps_shown(training.folder)
    assert steps == list(range(1, len(steps) + 1))
    assert sum(counts) == len(shown(training.folder).rows)


def test_without_following_a_run_that_goes_on_is_caught_up_with(tmp_path: Path, train: Train) -> None:
    folder = train(tmp_path).folder

    report = tb.sync(tmp_path, to=[TARGET])

    assert (report.is_complete, [one.outcome for one in report.synced]) == (True, ["caught up"])
    assert steps_shown(folder)
    assert not is_closed(folder)


def test_a_run_in_the_hands_of_a_live_relay_is_left_to_it(tmp_path: Path, train: Train) -> None:
    training = train(tmp_path, TARGET)
    until(lambda: steps_shown(training.folder), within_s=20, what="the first delivery")

    report = tb.sync(tmp_path, to=[TARGET])
    training.end(signal.SIGINT)

    assert (report.is_complete, [one.outcome for one in report.synced]) == (False, ["held elsewhere"])
    assert shown(training.folder).ending.status == "killed"


def test_two_syncs_at_once_deliver_every_run_once(tmp_path: Path) -> None:
    folders = [folder_of(tmp_path, record(tmp_path, f"run {number}")) for number in range(8)]
    both = [subprocess.Popen(command("sync", tmp_path, "--to", TARGET), stdout=subprocess.DEVNULL) for _ in range(2)]
    for process in both:
        process.wait(timeout=60)

    assert tb.sync(tmp_path, to=[TARGET]).is_complete
    for folder in folders:
        assert steps_shown(folder) == list(range(1, 41))
        assert standing(folder, TARGET).cursor.next_row == len(shown(folder).rows)


def test_a_run_whose_machine_was_lost_is_closed_as_lost_from_another(tmp_path: Path) -> None:
    journal = ToldJournal(host="elsewhere", pid=1).start().log(1, {"train/loss": 1.0})
    folder = journal.write(tmp_path).parent

    report = tb.sync(tmp_path, to=[TARGET])

    assert [one.outcome for one in report.synced] == ["delivered"]
    assert shown(folder).ending.status == "lost"


def test_no_target_and_an_unknown_one_are_told_at_once(tmp_path: Path) -> None:
    record(tmp_path, "a")

    with pytest.raises(MisuseError, match="--to wandb, or set TRACKBRIDGE_TO"):
        tb.sync(tmp_path)
    with pytest.raises(NotFoundError, match="did you mean 'comet'"):
        tb.sync(tmp_path, to=["comt"])


def test_the_callers_process_loads_no_adapter(tmp_path: Path) -> None:
    record(tmp_path, "a")
    code = f"""
import sys
import trackbridge as tb
assert tb.sync({str(tmp_path)!r}, to=["{TARGET}"]).is_complete
print([name for name in sys.modules if name.startswith("trackbridge.adapters.memory")])"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_ctrl_c_ends_a_sync_and_the_next_one_repeats_nothing(tmp_path: Path, odd: OddTracker) -> None:
    root = tmp_path / "runs"
    folder = folder_of(root, record(root, "a"))
    odd.mood = "hangs"
    process = subprocess.Popen(
        command("sync", root, "--to", "odd"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    log = delivery_folder(folder) / "relay.log"
    until(lambda: log.exists() and "odd:" in log.read_text(), within_s=20, what="the beginning of the delivery")

    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    with held(lock_file(folder, "odd")) as is_free:
        pass
    odd.mood = "works"

    assert (process.returncode, is_free) == (130, True)
    assert tb.sync(root, to=["odd"]).is_complete
    assert steps_shown(folder, "odd") == list(range(1, 41))


def test_the_commands_tell_what_was_done_and_their_exit_codes_whether_all_is_well(
    tmp_path: Path, odd: OddTracker, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    folder = folder_of(root, record(root, "baseline"))
    before = call(capsys, "status", "--root", root)
    odd.mood = "refuses"

    refused = call(capsys, "sync", root, "--to", f"odd,{TARGET}", "--run", "baseline")
    status = call(capsys, "status", "--root", root)
    as_json = json.loads(call(capsys, "status", "--root", root, "--json").out)
    odd.mood = "works"
    mended = call(capsys, "sync", root, "--to", "odd")

    assert (before.code, refused.code, status.code, mended.code) == (0, 1, 1, 0)
    assert "nothing was ever to be delivered" in before.out
    for said in (refused.out, status.out):
        assert "baseline at odd: odd takes no run without a key: set ODD_KEY" in said
        assert f"to go on: trackbridge sync {root} --to odd" in said
    assert "memory:offline: 1 run delivered" in refused.out
    assert "odd: 1 run delivered" in mended.out
    told = {one["target"]: one for one in as_json}
    assert [told["odd"][key] for key in ("state", "delivered", "waiting", "mending_command")] == [
        "refused", 0, standing(folder, "odd").cursor.next_row, f"trackbridge sync {root} --to odd",
    ]  # fmt: skip
    assert (told[TARGET]["state"], told[TARGET]["waiting"], told[TARGET]["run_id"]) == ("delivered", 0, folder.name)


@pytest.mark.parametrize("to", [("--to", "odd", "--to", TARGET), ("--to", f"odd, {TARGET}")], ids=["twice", "commas"])
def test_several_targets_may_be_named_in_either_way(
    tmp_path: Path, odd: OddTracker, to: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    folder = folder_of(root, record(root, "a"))

    said = call(capsys, "sync", root, *to)

    assert (said.code, said.err) == (0, "")
    assert is_closed(folder)
    assert is_closed(folder, "odd")


def test_what_could_not_be_carried_is_told_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tb.start_run("cola", name="baseline", root=tmp_path) as run:
        for step in (1, 2):
            run.log({"eval/sample": tb.Text(f"sample {step}")}, step=step)
    for path in (run.path / "files" / "media").iterdir():
        path.unlink()

    said = call(capsys, "sync", tmp_path, "--to", TARGET)

    assert said.code == 0
    assert "baseline at memory:offline: eval/sample was not carried: its file files/media/" in said.out
    (one,) = json.loads(call(capsys, "status", "--root", tmp_path, "--json").out)
    assert (one["rejected"], sum(note["count"] for note in one["rejections"])) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "where to?"),
        (("--to", "wanb"), 3, "did you mean 'wandb'"),
        (("--to", TARGET, "--run", "nobody"), 3, "nobody"),
        (("--to", TARGET, "--checkpoints", "bst"), 2, "did you mean 'best'"),
    ],
)
def test_misuse_is_one_line_and_an_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, "a")

    done = call(capsys, "sync", tmp_path, *arguments)

    assert (done.code, done.err.count("\n")) == (code, 1)
    assert told in done.err


def test_a_sync_works_from_any_folder_with_the_settings_of_the_environment(tmp_path: Path) -> None:
    run_id = record(tmp_path / "runs", "a")

    done = call_apart("sync", TRACKBRIDGE_ROOT=str(tmp_path / "runs"), TRACKBRIDGE_TO=TARGET)

    assert (done.code, done.err) == (0, "")
    assert steps_shown(folder_of(tmp_path / "runs", run_id)) == list(range(1, 41))


def test_a_sync_leaves_no_process_behind(tmp_path: Path) -> None:
    record(tmp_path, "a")
    before = psutil.Process().children(recursive=True)

    tb.sync(tmp_path, to=[TARGET, "memory"])

    assert psutil.Process().children(recursive=True) == before
