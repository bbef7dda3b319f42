"""What is printed while a run is open: heard once, wherever it goes, and whoever prints notices nothing."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rich.console
import rich.progress
import tqdm

import trackbridge as tb
from trackbridge.journal.console import CONSOLE, console_text

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], tb.Run]:
    return lambda: tb.start_run("demo", root=tmp_path / "runs")


def test_what_is_printed_is_kept_and_still_printed(start: Callable[[], tb.Run], capsys: Capture) -> None:
    with start() as run:
        print("to", "stdout", 1)
        print("to stderr", file=sys.stderr)
        assert sys.stdout.write("written\n") == len("written\n")
        sys.stdout.writelines(["two\n", "lines\n"])
    print("afterwards")

    assert capsys.readouterr() == ("to stdout 1\nwritten\ntwo\nlines\nafterwards\n", "to stderr\n")
    assert console_text(run.path) == "to stdout 1\nto stderr\nwritten\ntwo\nlines"


def test_after_the_last_run_the_streams_are_as_they_were(start: Callable[[], tb.Run]) -> None:
    streams = sys.stdout, sys.stderr
    before = [dict(vars(stream)) for stream in streams]
    outer, inner = start(), start()
    outer.finish()
    assert "write" in vars(sys.stdout)

    inner.finish()

    assert (sys.stdout, sys.stderr) == streams
    assert [dict(vars(stream)) for stream in streams] == before


def test_a_run_inside_another_keeps_its_own_lines(start: Callable[[], tb.Run]) -> None:
    with start() as outer:
        print("before")
        with start() as inner:
            print("inside")
        print("after")

    assert console_text(inner.path) == "inside"
    assert console_text(outer.path) == "before\ninside\nafter"


def test_handlers_of_the_log_that_were_there_before_the_run_are_heard(start: Callable[[], tb.Run]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("somebody")
    logger.addHandler(handler)
    with start() as run:
        logger.warning("loss is NaN")
    logger.removeHandler(handler)

    assert console_text(run.path) == "loss is NaN"


def test_of_progress_bars_the_last_state_is_kept(start: Callable[[], tb.Run]) -> None:
    with start() as run:
        for _ in tqdm.tqdm(range(1000), mininterval=0, file=sys.stderr, desc="train"):
            pass
        print("done")

    bar, done = console_text(run.path).split("\n")
    assert bar.startswith("train: 100%")
    assert "1000/1000" in bar
    assert done == "done"
    assert (run.path / CONSOLE).stat().st_size > 1000


def test_rich_prints_are_heard_once(start: Callable[[], tb.Run]) -> None:
    terminal = rich.console.Console(force_terminal=True, width=60)
    bar = rich.progress.Progress(console=terminal, auto_refresh=False)
    with start() as run:
        terminal.print("[bold red]epoch 1[/]")
        # While it is up, rich has put streams of its own in the places of these.
        with bar, start() as inner:
            for _ in bar.track(range(20)):
                print("loss")
    assert console_text(run.path).startswith("epoch 1\n")
    assert console_text(run.path).count("loss") == 20
    assert console_text(inner.path).count("loss") == 20


def test_what_is_printed_above_a_live_display_is_kept(start: Callable[[], tb.Run]) -> None:
    terminal = rich.console.Console(force_terminal=True, width=60)
    with start() as run, rich.progress.Progress(console=terminal, refresh_per_second=100) as bar:
        for step in bar.track(range(200)):
            print(f"loss {step}")

    assert [line for line in console_text(run.path).split("\n") if line.startswith("loss")] == [
        f"loss {step}" for step in range(200)
    ]


def test_a_stream_that_writes_into_another_one_is_heard_once(
    start: Callable[[], tb.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tee(io.StringIO):
        def write(self, text: str) -> int:
            sys.stderr.write(text)
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Tee())
    with start() as run:
        print("once")

    assert console_text(run.path) == "once"


def test_whoever_wraps_the_stream_during_the_run_keeps_it(start: Callable[[], tb.Run], capsys: Capture) -> None:
    run = start()
    ours, theirs = sys.stdout.write, []

    def wrapped(text: str) -> int:
        theirs.append(text)
        return ours(text)

    sys.stdout.write = wrapped  # type: ignore[method-assign]  # as other trackers do
    print("during", end="")
    run.finish()
    print("afterwards", end="")
    del sys.stdout.write

    assert "".join(theirs) == capsys.readouterr().out == "duringafterwards"
    assert console_text(run.path) == "during"


def test_a_stream_that_somebody_had_wrapped_is_given_back_so(start: Callable[[], tb.Run], capsys: Capture) -> None:
    def loud(text: str) -> int:
        return type(sys.stdout).write(sys.stdout, text.upper())

    sys.stdout.write = loud  # type: ignore[method-assign]  # as other trackers do
    with start() as run:
        print("quiet")

    assert sys.stdout.write is loud
    del sys.stdout.write
    assert capsys.readouterr().out == "QUIET\n"
    assert console_text(run.path) == "quiet"


class Fixed:
    """A stream that takes no attributes."""

    __slots__ = ("texts",)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return len(text)


@pytest.mark.parametrize("stream", [None, Fixed()], ids=["none", "fixed"])
def test_a_stream_that_cannot_be_heard_is_left_alone(
    start: Callable[[], tb.Run], monkeypatch: pytest.MonkeyPatch, stream: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    with start() as run:
        print("lost")
        print("heard", file=sys.stderr)

    assert console_text(run.path) == "heard"


def test_a_closed_stream_complains_as_it_does_without_a_run(
    start: Callable[[], tb.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with start() as run:
        print("open")
        sys.stdout.close()
        with pytest.raises(ValueError, match="closed"):
            print("closed")

    assert console_text(run.path) == "open"


def test_a_folder_that_is_gone_troubles_nobody(start: Callable[[], tb.Run], capsys: Capture) -> None:
    run = start()
    for file in run.path.iterdir():
        file.unlink()
    run.path.rmdir()

    print("still printed")
    run.finish()

    assert capsys.readouterr() == ("still printed\n", "")


def test_what_is_redirected_elsewhere_is_not_of_the_console(start: Callable[[], tb.Run]) -> None:
    with start() as run:
        with contextlib.redirect_stdout(io.StringIO()):
            print("elsewhere")
        print("here")

    assert console_text(run.path) == "here"


def test_threads_are_heard(start: Callable[[], tb.Run]) -> None:
    with start() as run:
        threads = [threading.Thread(target=sys.stdout.write, args=(f"{number}\n",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(console_text(run.path).split("\n")) == [str(number) for number in range(8)]


def test_the_credentials_of_the_environment_do_not_reach_the_disk(
    start: Callable[[], tb.Run], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COMET_API_KEY", "qwertzuiop-1234")
    monkeypatch.setenv("HF_TOKEN", "short")
    with start() as run:
        print("the key is qwertzuiop-1234, in short")

    assert capsys.readouterr().out == "the key is qwertzuiop-1234, in short\n"
    assert console_text(run.path) == "the key is ***masked***, in short"


@pytest.mark.parametrize(
    "variables", [{"TRACKBRIDGE_CONSOLE": "off"}, {"RANK": "1", "WORLD_SIZE": "2"}], ids=["off", "rank 1"]
)
def test_nothing_is_kept_when_it_is_off_and_on_other_ranks(
    start: Callable[[], tb.Run], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # Another library may have wrapped the stream before; what counts is that this one did not.
    before = vars(sys.stdout).get("write")
    with start() as run:
        print("not kept")
        assert vars(sys.stdout).get("write") is before

    assert not (run.path / CONSOLE).exists()


FORKING = """
import os, sys
import trackbridge as tb

with tb.start_run("demo", root=sys.argv[1]) as run:
    print(run.path, flush=True)
    child = os.fork()
    print("child" if child == 0 else "parent", flush=True)
    if child == 0:
        with tb.start_run("demo", root=sys.argv[1]) as own:
            print(own.path, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_forked_child_does_not_write_into_its_parents_console(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path)], check=True, capture_output=True, text=True, timeout=60
    )

    parent, *said = done.stdout.split()
    assert sorted(said)[1:] == ["child", "parent"]
    (own,) = set(said) - {"child", "parent"}
    assert console_text(Path(parent)).split() == [parent, "parent"]
    assert console_text(Path(own)).split() == [own]
