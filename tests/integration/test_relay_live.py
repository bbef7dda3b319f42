"""Runs delivered while they go on: by real relay processes, beside real trainings that are killed in every way."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from relay_process_kit import (
    OddTracker,
    Training,
    is_closed,
    kill,
    odd,
    relays,
    shown,
    steps_shown,
    train,
    until,
)

import trackbridge as tb
from trackbridge.errors import MissingDependencyError, NotFoundError, SettingsError
from trackbridge.journal.cursor import delivery_folder, load_cursor
from trackbridge.journal.paths import run_folders
from trackbridge.relay.standing import standing, standings
from trackbridge.store.store import open_store

__all__ = ["odd", "train"]  # fixtures
Train = Callable[..., Training]


def test_finish_returns_when_everything_is_at_the_tracker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tb.start_run("demo", root=tmp_path, to=["memory:offline"], config={"lr": 0.1}) as run:
        for step in range(1, 501):
            run.log({"train/loss": 1 / step}, step=step)

    assert steps_shown(run.path) == list(range(1, 501))
    assert (shown(run.path).ending.status, shown(run.path).ending.exit_code) == ("finished", 0)
    assert caplog.text == ""
    until(lambda: not relays(run.path), within_s=10, what="the end of the relay")


def test_a_run_that_is_delivered_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path, to=["memory:offline"]) as run:
        run.log({"train/loss": 1.0}, step=1)
        copy = pickle.loads(pickle.dumps(run))
        copy.log({"train/loss": 2.0}, step=2)
        copy.finish()

    assert steps_shown(run.path) == [1, 2]


def test_a_run_without_a_target_starts_nothing(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path) as run:
        run.log({"a": 1.0}, step=1)

    assert (relays(run.path), delivery_folder(run.path).exists()) == ([], False)


def test_targets_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_TO", "memory:offline")
    with tb.start_run("demo", root=tmp_path) as run:
        run.log({"train/loss": 1.0}, step=1)

    assert steps_shown(run.path) == [1]


@pytest.mark.parametrize("to", ["memory:offline", ["memory:offline", "memory:offline"], ("memory:offline",)])
def test_a_target_may_be_named_in_any_form_and_counts_once(tmp_path: Path, to: str | list[str]) -> None:
    with tb.start_run("demo", root=tmp_path, to=to) as run:
        assert len(relays(run.path)) == 1
        run.log({"train/loss": 1.0}, step=1)

    assert steps_shown(run.path) == [1]


@pytest.mark.parametrize(
    ("target", "error", "told"),
    [
        ("wanb", NotFoundError, "no adapter named 'wanb'.*did you mean 'wandb'"),
        ("wandb:offlin", SettingsError, "expected 'wandb' or 'wandb:offline'"),
    ],
)
def test_a_target_that_there_is_not_is_told_before_the_run_begins(
    tmp_path: Path, target: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        tb.start_run("demo", root=tmp_path, to=[target])

    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_terminal_ends_the_training_and_not_the_relay(tmp_path: Path, train: Train) -> None:
    training = train(tmp_path, "memory:offline")
    folder = training.folder
    until(lambda: steps_shown(folder), within_s=20, what="the first delivery")
    (relay,) = relays(folder)
    pid = training.process.pid
    sessions = os.getsid(pid), os.getsid(relay.pid)

    os.killpg(pid, signal.SIGINT)
    relay.send_signal(signal.SIGINT)
    training.process.communicate()

    assert sessions == (pid, relay.pid)
    ending = shown(folder).ending
    assert (ending.status, ending.exit_code, ending.error) == ("killed", 130, "KeyboardInterrupt (Ctrl-C)")


def test_a_killed_relay_is_started_again_by_the_training_and_repeats_nothing(tmp_path: Path, train: Train) -> None:
    training = train(tmp_path, "memory:offline", pause_s=0.005)
    folder = training.folder
    for _ in range(3):
        until(lambda: relays(folder), within_s=20, what="the start of a relay")
        so_far = len(steps_shown(folder))
        until(lambda before=so_far: len(steps_shown(folder)) > before, within_s=20, what="another delivery")
        kill(relays(folder))
    steps = training.end(signal.SIGINT)

    assert steps_shown(folder)[: len(steps)] == steps
    assert sorted(shown(folder).rows) == list(range(len(shown(folder).rows)))
    assert load_cursor(folder, "memory:offline").next_row == len(shown(folder).rows)


def test_a_relay_killed_just_before_the_end_is_started_again_by_finish_though_it_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT_S", "0")
    run = tb.start_run("demo", root=tmp_path, to=["memory:offline"])
    run.log({"train/loss": 1.0}, step=1)
    until(lambda: relays(run.path), within_s=20, what="the start of the relay")
    kill(relays(run.path))

    run.finish()

    until(lambda: is_closed(run.path), within_s=20, what="the ending at the tracker")
    until(lambda: not relays(run.path), within_s=10, what="the end of the relay")


def test_system_metrics_that_cannot_be_had_are_told_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKBRIDGE_SYSTEM", "on")
    monkeypatch.setitem(sys.modules, "psutil", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'trackbridge\[system\]'"):
        tb.start_run("demo", root=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_relay_and_a_killed_training_left_is_taken_up_by_the_next_run(
    tmp_path: Path, train: Train
) -> None:
    training = train(tmp_path, "memory:offline")
    folder = training.folder
    until(lambda: relays(folder), within_s=20, what="the start of the relay")
    kill([psutil.Process(training.process.pid), *relays(folder)])
    assert not is_closed(folder)

    with tb.start_run("demo", root=tmp_path, to=["memory:offline"]):
        until(lambda: is_closed(folder), within_s=20, what="the delivery of the run before")

    assert shown(folder).ending.status == "lost"


def test_a_run_whose_training_lives_is_not_taken_up_by_another(tmp_path: Path, train: Train) -> None:
    living = train(tmp_path, "memory:offline").folder
    until(lambda: steps_shown(living), within_s=20, what="the first delivery")
    (relay,) = relays(living)
    relay.suspend()

    with tb.start_run("demo", root=tmp_path, to=["memory:offline"]) as run:
        run.log({"train/loss": 1.0}, step=1)
    until(lambda: not relays(run.path), within_s=10, what="the end of the relay")
    relay.resume()

    assert "took up" not in (delivery_folder(run.path) / "relay.log").read_text()


def test_a_resumed_run_is_taken_up_again_after_it_was_closed(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path, to=["memory:offline"]) as run:
        run.log({"train/loss": 1.0}, step=1)
    closed_first = shown(run.path).ending.status

    again = tb.start_run("demo", root=tmp_path, run_id=run.run_id, to=["memory:offline"])
    again.log({"train/loss": 0.5}, step=2)
    again.finish("failed", error="ValueError: diverged")

    assert steps_shown(run.path) == [1, 2]
    assert (closed_first, shown(run.path).ending.status) == ("finished", "failed")
    assert "diverged" in shown(run.path).ending.error


def test_a_target_that_refuses_stops_alone_and_the_way_out_is_told(
    tmp_path: Path, odd: OddTracker, caplog: pytest.LogCaptureFixture
) -> None:
    odd.mood = "refuses"
    root = tmp_path / "runs"
    began_s = time.monotonic()
    with tb.start_run("demo", root=root, to=["odd", "memory:offline"]) as run:
        run.log({"train/loss": 1.0}, step=1)

    assert time.monotonic() - began_s < 15
    assert steps_shown(run.path) == [1]
    assert standing(run.path, "odd").state == "refused"
    assert "set ODD_KEY" in caplog.text
    assert f"`trackbridge sync {root} --to odd` delivers the rest" in caplog.text


def test_finish_waits_only_so_long_for_a_target_that_hangs_and_tells_what_is_left(
    tmp_path: Path, odd: OddTracker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT_S", "3")
    odd.mood = "hangs"
    run = tb.start_run("demo", root=tmp_path / "runs", to=["odd", "memory:offline"])
    run.log({"train/loss": 1.0}, step=1)
    began_s = time.monotonic()

    run.finish()

    waited_s = time.monotonic() - began_s
    (relay,) = relays(run.path)
    kill([relay])
    assert 3 <= waited_s < 8
    assert is_closed(run.path)
    assert "events are not at odd yet; the relay goes on" in caplog.text


def test_what_is_printed_in_a_relay_stays_in_its_log_without_secrets(
    tmp_path: Path, odd: OddTracker, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD_KEY", "0dd-k3y-0123456789")
    with tb.start_run("demo", root=tmp_path / "runs", to=["odd"]) as run:
        run.log({"train/loss": 1.0}, step=1)
    until(lambda: not relays(run.path), within_s=10, what="the end of the relay")

    log = (delivery_folder(run.path) / "relay.log").read_text()
    assert "odd: on standard output with ***masked***" in log
    assert "odd: on standard error" in log
    assert "odd" not in "".join(capfd.readouterr())
    written = [path for path in run.path.rglob("*") if path.is_file()]
    assert [path for path in written if b"0dd-k3y-0123456789" in path.read_bytes()] == []


# As a careless training would: the key is in the config, on the command line, in the notes and in the last words.
CARELESS = """
import os, sys
import trackbridge as tb

key = os.environ["COMET_API_KEY"]
with tb.start_run("demo", root=sys.argv[1], to=sys.argv[2].split(),
                  config={"comet": {"api_key": key, "header": f"Bearer {key}", "lr": 2e-5}}) as run:
    run.log({"train/loss": 1.0}, step=1)
    raise RuntimeError(f"403 for https://tracker.example/?key={key} in {os.getcwd()}")
"""


def test_a_key_in_config_arguments_and_last_words_reaches_no_file_and_no_tracker(
    tmp_path: Path, odd: OddTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "kYpT0p5ecret25charactersX"
    formats = [f"{name}:offline" for name in ("memory", "wandb", "comet", "neptune", "mlflow")]
    targets = ["odd", "tensorboard", *formats]
    for name in ("COMET_API_KEY", "WANDB_API_KEY", "NEPTUNE_API_TOKEN", "MLFLOW_TRACKING_TOKEN", "ODD_KEY"):
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("PWD", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", CARELESS, str(tmp_path / "runs"), " ".join(targets), "key", key],
        capture_output=True,
        text=True,
    )

    (folder,) = run_folders(tmp_path / "runs")
    until(lambda: not relays(folder), within_s=60, what="the end of the relays")
    assert {one.state for one in standings(folder)} == {"delivered"}
    assert len(standings(folder)) == len(targets)
    assert done.returncode == 1
    assert [path for path in folder.rglob("*") if path.is_file() and key.encode() in path.read_bytes()] == []
    assert shown(folder).ending.error == (
        f"RuntimeError: 403 for https://tracker.example/?key=***masked*** in {tmp_path}"
    )


def test_the_relay_has_no_variables_that_tie_it_to_the_training(
    tmp_path: Path, odd: OddTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.mood = "tells"
    foreign = {"WANDB_SERVICE", "WANDB_RUN_ID", "LOCAL_RANK", "MASTER_PORT"}
    for name in foreign:
        monkeypatch.setenv(name, "1")
    with tb.start_run("demo", root=tmp_path / "runs", to=["odd"]) as run:
        run.log({"train/loss": 1.0}, step=1)

    assert not odd.environment & foreign
    assert "ODD_TRACKER" in odd.environment


def test_a_target_whose_sdk_kills_the_process_does_not_keep_the_relay_from_being_started_again(
    tmp_path: Path, odd: OddTracker, train: Train
) -> None:
    odd.mood = "dies"
    training = train(tmp_path / "runs", "odd")
    folder = training.folder
    until(lambda: relays(folder), within_s=20, what="the start of the relay")
    psutil.wait_procs(relays(folder), timeout=20)
    odd.mood = "works"

    until(lambda: steps_shown(folder, "odd"), within_s=20, what="a delivery by the next relay")
    training.end(signal.SIGINT)

    steps = steps_shown(folder, "odd")
    assert steps == list(range(1, len(steps) + 1))


def test_a_forked_child_neither_waits_for_the_relay_nor_starts_one(tmp_path: Path) -> None:
    script = """
import os, sys, time
import trackbridge as tb
run = tb.start_run("demo", root=sys.argv[1], to=["memory:offline"])
run.log({"train/loss": 1.0}, step=1)
if not os.fork():
    began_s = time.monotonic()
    run.log({"child/loss": 1.0}, step=1)
    run.companion.ensure()
    run.finish()
    os._exit(time.monotonic() - began_s > 1)
_, status = os.wait()
run.finish()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert shown(next(run_folders(tmp_path))).ending.status == "finished"


def test_a_relay_that_cannot_be_started_is_told_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with tb.start_run("demo", root=tmp_path / "runs", to=["memory:offline"]) as run:
        run.log({"train/loss": 1.0}, step=1)

    assert "no relay can be started" in caplog.text
    assert open_store(tmp_path / "runs").run(run.run_id).status == "finished"
    assert standing(run.path, "memory:offline").state == "stopped"


@pytest.mark.parametrize(
    ("setting", "to", "is_sampled"),
    [("on", [], True), (None, ["memory:offline"], True), ("off", ["memory:offline"], False)],
)
def test_the_machine_is_sampled_live_by_default_and_offline_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None, to: list[str], is_sampled: bool
) -> None:
    if setting:
        monkeypatch.setenv("TRACKBRIDGE_SYSTEM", setting)
    with tb.start_run("demo", root=tmp_path, to=to) as run:
        if is_sampled:
            record = lambda: open_store(tmp_path).run(run.run_id)  # noqa: E731 - read anew each time
            until(lambda: "system/process_memory_mib" in record().metrics, within_s=20, what="a sample")
    until(lambda: not relays(run.path, "sample"), within_s=10, what="the end of the sampler")

    record = open_store(tmp_path).run(run.run_id)
    assert ("system/cpu_percent" in record.metrics) == is_sampled
    assert (len(record.sessions), record.status, record.problems) == (1, "finished", ())
    if to:
        assert standing(run.path, to[0]).state == "delivered"
        assert any("system/cpu_percent" in getattr(row, "metrics", {}) for row in shown(run.path).rows.values()) == (
            is_sampled
        )
