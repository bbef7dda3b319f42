"""`ls`, `show` and `tail` on runs that were really recorded."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import ESCAPE, HOSTILE, call, call_apart, command, record, record_study

import trackbridge as tb

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "runs"))
    return tmp_path / "runs"


def listed(out: str) -> list[str]:
    return re.findall(r"^(lr\S+|\w+-run)\b", out, re.MULTILINE)


def test_ls_lists_runs_newest_first(root: Path, capsys: Capture) -> None:
    record_study(root)

    done = call(capsys, "ls")

    assert done.code == 0
    assert listed(done.out) == [f"lr{lr}-s{seed}" for lr in ("2e-05", "1e-05") for seed in (2, 1, 0)]
    assert "finished" in done.out
    assert "best eval/mcc" in done.out
    assert "▁" in done.out


def test_ls_filters_by_name_group_status_and_tag(root: Path, capsys: Capture) -> None:
    record_study(root)
    record(root, "tagged-run", tags=["keep"])
    with pytest.raises(RuntimeError), tb.start_run("cola", name="failed-run", root=root):
        raise RuntimeError("boom")

    assert listed(call(capsys, "ls", "--name", "*-s1").out) == ["lr2e-05-s1", "lr1e-05-s1"]
    assert len(listed(call(capsys, "ls", "--group", "study").out)) == 6
    assert listed(call(capsys, "ls", "--status", "failed").out) == ["failed-run"]
    assert listed(call(capsys, "ls", "--tag", "keep").out) == ["tagged-run"]
    assert "no runs match" in call(capsys, "ls", "--project", "nothing").out


def test_ls_sorts_by_a_metric_best_first(root: Path, capsys: Capture) -> None:
    for name, score in (("b-run", 0.2), ("a-run", 0.9), ("c-run", 0.5)):
        record(root, name, mcc=lambda step, score=score: score)

    assert listed(call(capsys, "ls", "--sort", "eval/mcc").out) == ["a-run", "c-run", "b-run"]
    assert listed(call(capsys, "ls", "--sort", "name").out) == ["a-run", "b-run", "c-run"]
    assert "did you mean 'eval/mcc'" in call(capsys, "ls", "--sort", "eval/mc").err


def test_ls_shows_fifty_and_says_how_many_more(root: Path, capsys: Capture) -> None:
    record_study(root)

    done = call(capsys, "ls", "--limit", 2)

    assert len(listed(done.out)) == 2
    assert "and 4 more" in done.out
    assert len(listed(call(capsys, "ls", "--limit", 0).out)) == 6


def test_ls_json_has_every_run_and_nothing_a_strict_parser_refuses(root: Path, capsys: Capture) -> None:
    record(root, "a", mcc=lambda step: math.nan)

    (run,) = json.loads(call(capsys, "ls", "--json").out, parse_constant=lambda name: pytest.fail(name))

    assert run["name"] == "a"
    assert run["seeds"] == {"init": 1, "data": 2, "dropout": 0, "all": None}
    assert run["metrics"]["eval/mcc"]["last"] == "NaN"
    assert run["metrics"]["train/loss"]["minimum"] == 1 / 40


def test_show_tells_a_run_whole(root: Path, capsys: Capture, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-10"
    checkpoint.mkdir()
    with tb.start_run("cola", name="a", root=root, config={"lr": 2e-5}, notes="a note") as run:
        run.log_seeds(tb.Seeds(dropout=7))
        run.log({"eval/mcc": 0.5}, step=10)
        run.log_checkpoint(checkpoint, step=10, metrics={"eval/mcc": 0.5})

    done = call(capsys, "show", "a")

    for expected in (run.run_id, "finished", "dropout 7", "a note", "eval/mcc", "0.5000", "2e-05", str(checkpoint)):
        assert expected in done.out


def test_show_tells_a_summary_to_the_digits_it_has(root: Path, capsys: Capture) -> None:
    with tb.start_run("cola", name="a", root=root) as run:
        run.log_summary({"steps_per_second": 2.95, "loss": 0.487856123, "flos": 3.82674e13, "gap": math.nan, "n": 3})

    summary = dict(re.findall(r"^(\w+) +(\S+)$", call(capsys, "show", "a").out.partition("Summary")[2], re.MULTILINE))

    assert list(summary.items())[1:6] == [
        ("steps_per_second", "2.95"), ("loss", "0.487856"), ("flos", "3.82674e+13"), ("gap", "NaN"), ("n", "3"),
    ]  # fmt: skip


def test_show_names_checkpoints_in_the_runs_folder_from_there(root: Path, capsys: Capture) -> None:
    with tb.start_run("cola", name="a", root=root) as run:
        folder = run.path / "training" / "checkpoint-10"
        folder.mkdir(parents=True)
        run.log_checkpoint(folder, step=10)

    assert re.search(r"^ *10 +training/checkpoint-10 ", call(capsys, "show", "a").out, re.MULTILINE)


def test_show_json_has_the_whole_config(root: Path, capsys: Capture) -> None:
    record(root, "a", lr=3e-5)

    shown = json.loads(call(capsys, "show", "a", "--json").out)

    assert shown["config"]["script"] == {"lr": 3e-5, "output_dir": "a"}
    assert shown["environment"]["python"]["version"]


def test_show_full_has_every_key_of_the_environment(root: Path, capsys: Capture) -> None:
    record(root, "a")

    assert "packages.numpy" not in call(capsys, "show", "a").out
    assert "packages.numpy" in call(capsys, "show", "a", "--full").out


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["show", "{id}", "--full"], ["tail", "{id}"], ["compare", "-p", "cola"], ["ls", "--sort", HOSTILE]],
)
def test_names_cannot_steer_the_terminal(root: Path, capsys: Capture, arguments: list[str]) -> None:
    with tb.start_run("cola", name=HOSTILE, group=HOSTILE, tags=[HOSTILE], root=root, config={HOSTILE: HOSTILE}) as run:
        run.log({"eval/\u202e[red]": 0.5}, step=1)

    done = call(capsys, *(argument.format(id=run.run_id) for argument in arguments))

    assert ESCAPE not in done.out + done.err
    assert "\u202e" not in done.out + done.err
    assert "\x07" not in done.out + done.err
    if arguments[0] in ("ls", "show"):
        assert "\\x1b[2J\\x1b]0;owned\\x07[bold red]x[/]" in done.out + done.err


def test_a_pipe_gets_plain_text_that_is_not_cut(root: Path) -> None:
    long_name = "run-" + "x" * 200
    record(root, long_name)

    done = call_apart("ls", COLUMNS="40", FORCE_COLOR="", TERM="xterm-256color")

    assert done.code == 0
    assert ESCAPE not in done.out
    assert long_name in done.out
    assert "not shown" not in done.out


def test_tail_shows_the_last_lines(root: Path, capsys: Capture) -> None:
    record(root, "a")

    done = call(capsys, "tail", "a", "-n", 3)

    lines = done.out.splitlines()
    assert len(lines) == 3
    assert "step 40" in lines[0]
    assert "train/loss 0.0250" in lines[0]
    assert "eval/mcc 0.4000" in lines[1]
    assert lines[2].endswith("finished")


def test_tail_tells_resumes_checkpoints_and_failures(root: Path, capsys: Capture, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-10"
    checkpoint.mkdir()
    with tb.start_run("cola", name="a", root=root) as run:
        run.log_checkpoint(checkpoint, step=10)
    with pytest.raises(RuntimeError), tb.start_run("cola", root=root, resume_from=checkpoint):
        raise RuntimeError("out of memory")

    lines = [line[10:] for line in call(capsys, "tail", run.run_id).out.splitlines()]

    assert lines[0].startswith("step 10")
    assert lines[0].endswith(str(checkpoint))
    assert lines[1:3] == ["finished", "resumed after step 10"]
    assert lines[3].startswith("failed: ")
    assert "out of memory" in lines[3]


def test_tail_of_some_metrics(root: Path, capsys: Capture) -> None:
    record(root, "a")

    out = call(capsys, "tail", "a", "-m", "eval/*").out

    assert out.count("eval/mcc") == 4
    assert "train/loss" not in out


def test_tail_follows_a_run_until_it_finishes(root: Path) -> None:
    with tb.start_run("cola", name="live", root=root) as run:
        run.log({"train/loss": 0.1}, step=1)
        with subprocess.Popen(
            command("tail", "-f", "live"), stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as follower:
            assert follower.stdout is not None
            assert "step 1" in follower.stdout.readline()
            run.log({"train/loss": 0.2}, step=2)
            assert "step 2" in follower.stdout.readline()
            run.finish()
            rest = follower.stdout.read()

    assert "finished" in rest
    assert follower.returncode == 0


def test_tail_ends_with_a_run_that_was_killed(root: Path) -> None:
    code = """
import sys, trackbridge as tb
run = tb.start_run("cola", name="doomed")
print("on", flush=True)
sys.stdin.read()"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "on\n"
        with subprocess.Popen(
            command("tail", "-f", "doomed"), stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as follower:
            training.send_signal(signal.SIGKILL)
            training.wait()
            assert follower.stdout is not None
            said = follower.stdout.read()

    assert said.splitlines()[-1] == "the run is lost"
    assert follower.returncode == 1


def test_ctrl_c_ends_a_command_quietly(root: Path) -> None:
    with tb.start_run("cola", name="live", root=root) as run:
        run.log({"train/loss": 0.1}, step=1)
        with subprocess.Popen(
            command("tail", "-f", "live"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        ) as follower:
            assert follower.stdout is not None
            assert follower.stderr is not None
            assert "step 1" in follower.stdout.readline()
            follower.send_signal(signal.SIGINT)
            said = follower.stderr.read()

    assert follower.returncode == 130
    assert said.strip() == ""


def test_a_reader_that_stops_early_hears_no_complaint(root: Path) -> None:
    record(root, "a", n_steps=3000)
    with subprocess.Popen(
        command("tail", "a", "-n", 10_000), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert "step 1 " in writer.stdout.readline()
        writer.stdout.close()
        said = writer.stderr.read()

    assert said == ""


def test_python_m_trackbridge_is_the_command() -> None:
    done = call_apart("--version")

    assert (done.code, done.out) == (0, f"trackbridge {tb.__version__}\n")


def test_a_name_in_two_projects_is_told_apart_by_the_project(root: Path, capsys: Capture) -> None:
    for project in ("cola", "rte"):
        with tb.start_run(project, name="baseline", root=root):
            pass

    assert "pass an id, or project/name" in call(capsys, "show", "baseline").err
    assert call(capsys, "show", "rte/baseline").out.startswith("rte / baseline")


def test_show_lists_media_and_artifacts(root: Path, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"twelve bytes")
    with tb.start_run("cola", name="a-run", root=root) as run:
        for step in (10, 20):
            run.log({"eval/confusion": tb.Table(["label", "n"], [["good", step]])}, step=step)
        run.log_artifact(tmp_path / "notes.txt", type="notes")

    out = call(capsys, "show", "a-run").out

    assert re.search(r"^eval/confusion +table +2 +20 +files/media/\w+\.json$", out, re.MULTILINE)
    assert re.search(rf"^notes\.txt +notes +12 B +{re.escape(str(tmp_path / 'notes.txt'))}$", out, re.MULTILINE)
