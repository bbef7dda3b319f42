"""`doctor`, `rm` and `gc`: damage is located, and nothing goes that was not asked about."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_kit import call, record

import trackbridge as tb
from trackbridge.events.models import EventsDropped
from trackbridge.journal.codec import encode
from trackbridge.journal.paths import draft_path

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "runs"))
    return tmp_path / "runs"


def folder(root: Path, run_id: str) -> Path:
    return root / "cola" / run_id


def journal(root: Path, run_id: str) -> Path:
    (file,) = folder(root, run_id).glob("journal-*.jsonl")
    return file


def make_old(path: Path) -> None:
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_whole_journals_are_healthy(root: Path, capsys: Capture) -> None:
    record(root, "a")

    done = call(capsys, "doctor")

    assert done.code == 0
    assert "1 journal, " in done.out
    assert "1 checksum compared: 0 problems" in done.out


def test_a_damaged_line_is_located(root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    lines = file.read_bytes().splitlines(keepends=True)
    offset = sum(map(len, lines[:5]))
    lines[5] = b"\0" * (len(lines[5]) - 1) + b"\n"
    file.write_bytes(b"".join(lines))

    done = call(capsys, "doctor", "--json")

    assert done.code == 1
    problems = json.loads(done.out)["problems"]
    assert (problems[0]["line"], problems[0]["offset"]) == (6, offset)
    assert problems[0]["file"] == str(file)


def test_a_flipped_bit_in_a_number_breaks_the_checksum(root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    file.write_bytes(file.read_bytes().replace(b'"eval/mcc":0.2', b'"eval/mcc":0.9', 1))

    done = call(capsys, "doctor", file)

    assert done.code == 1
    assert "checksum" in done.out


def without_its_end(file: Path) -> bytes:
    """The journal as a kill leaves it: no `run_finished`, and no checksum after it."""
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-2]))
    return lines[-2]


def test_bytes_of_a_killed_run_that_no_checksum_covers_are_told_and_are_no_problem(root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    last_line = without_its_end(file)
    with file.open("ab") as appended:
        # A torn last line may still be in the making.
        appended.write(last_line[:-10])

    done = call(capsys, "doctor", "--json")

    assert done.code == 0
    assert json.loads(done.out)["n_unchecked_bytes"] == file.stat().st_size
    assert "covered by none" in call(capsys, "doctor").out


@pytest.mark.parametrize(
    "tail",
    [b'{"kind":"metrics_logged","seq":%d,"t":1,"step":1,"metrics":{"eval/mcc":1.0}}\n', b'{"kind":"metrics_lo'],
    ids=["a whole line", "a torn line"],
)
def test_bytes_after_the_end_of_a_run_are_located(tail: bytes, root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    whole = file.read_bytes()
    n_lines = whole.count(b"\n")
    file.write_bytes(whole + tail.replace(b"%d", b"%d" % n_lines))

    done = call(capsys, "doctor", "--json")

    (problem,) = json.loads(done.out)["problems"]
    assert done.code == 1
    assert (problem["line"], problem["offset"]) == (n_lines + 1, len(whole))
    assert problem["reason"] == (
        f"the run has ended, but no checksum covers the last {file.stat().st_size - len(whole)} bytes"
    )


def test_an_end_without_its_checksum_is_located(root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])

    (problem,) = json.loads(call(capsys, "doctor", "--json").out)["problems"]

    assert (problem["line"], problem["offset"]) == (1, 0)


def test_damage_after_the_end_of_a_run_is_told_once(root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    with file.open("ab") as appended:
        appended.write(b"\0" * 100 + b"\n")

    (problem,) = json.loads(call(capsys, "doctor", "--json").out)["problems"]

    assert "damaged line" in problem["reason"]


def test_events_that_were_never_written_are_a_problem(root: Path, capsys: Capture) -> None:
    file = journal(root, record(root, "a"))
    without_its_end(file)
    n_events = file.read_bytes().count(b"\n")
    lost = EventsDropped(seq=n_events, t=0, counts={"metrics_logged": 3}, reason="no space left on device", since_t=0)
    with file.open("ab") as appended:
        appended.write(encode(lost))

    done = call(capsys, "doctor")

    assert done.code == 1
    assert "never written: 3 metrics_logged (no space left on device)" in done.out
    assert "1 problem" in done.out


@pytest.mark.parametrize("place", ["root", "project", "run", "journal"])
def test_doctor_takes_any_level(root: Path, capsys: Capture, place: str) -> None:
    run_id = record(root, "a")
    places = {"root": root, "project": root / "cola", "run": folder(root, run_id), "journal": journal(root, run_id)}

    assert "1 journal, " in call(capsys, "doctor", places[place]).out


def test_a_kept_checkpoint_that_was_overwritten_is_located(root: Path, capsys: Capture, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    (checkpoint / "optimizer.pt").write_bytes(b"of this run")
    with tb.start_run("cola") as run:
        run.log_checkpoint(checkpoint, step=5, keep=True)
    before = call(capsys, "doctor")
    (checkpoint / "optimizer.pt").write_bytes(b"of another run")

    done = call(capsys, "doctor", "--json")

    assert before.code == 0
    assert done.code == 1
    (problem,) = json.loads(done.out)["problems"]
    assert problem["file"] == str(run.path / "files" / "checkpoints" / "step-5" / "optimizer.pt")
    assert problem["reason"] == "no longer what it was when the checkpoint was kept"


def test_doctor_of_nothing_is_not_found(root: Path, capsys: Capture, tmp_path: Path) -> None:
    assert call(capsys, "doctor", tmp_path).code == 3


def test_rm_asks_and_a_no_deletes_nothing(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_id = record(root, "a")
    answer = tmp_path / "answer"
    answer.write_text("n\n", encoding="utf-8")
    with answer.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        done = call(capsys, "rm", "a")

    assert done.code == 1
    assert "nothing was deleted" in done.err
    assert folder(root, run_id).is_dir()


def test_rm_yes_deletes_the_run_and_leaves_the_others(root: Path, capsys: Capture) -> None:
    doomed, kept = record(root, "doomed"), record(root, "kept")

    done = call(capsys, "rm", "doomed", "--yes")

    assert done.code == 0
    assert not folder(root, doomed).exists()
    assert [run.run_id for run in tb.open_store(root).runs()] == [kept]


def test_rm_refuses_a_run_that_is_running(root: Path, capsys: Capture) -> None:
    with tb.start_run("cola", name="live", root=root) as run:
        done = call(capsys, "rm", "live", "--yes")

    assert done.code == 2
    assert "still running" in done.err
    assert run.path.is_dir()


def test_rm_of_an_unknown_run_deletes_none_of_the_others(root: Path, capsys: Capture) -> None:
    run_id = record(root, "a")

    assert call(capsys, "rm", "a", "b", "--yes").code == 3
    assert folder(root, run_id).is_dir()


def resumed_run(root: Path, tmp_path: Path) -> Path:
    """A run that kept checkpoints at steps 10 and 20 and resumed from the first; its folder."""
    for step in (10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights.bin").write_bytes(b"w" * 1000)
    with tb.start_run("cola", name="resumed", root=root) as run:
        run.log_checkpoint(tmp_path / "checkpoint-10", step=10, keep=True)
        run.log_checkpoint(tmp_path / "checkpoint-20", step=20, keep=True)
    with tb.start_run("cola", root=root, resume_from=tmp_path / "checkpoint-10") as run:
        run.log({"train/loss": 1.0}, step=11)
    return run.path


def test_gc_deletes_what_a_resume_superseded_and_keeps_the_rest(root: Path, capsys: Capture, tmp_path: Path) -> None:
    run_folder = resumed_run(root, tmp_path)
    before = {path.name for path in (run_folder / "files" / "checkpoints").iterdir()}

    done = call(capsys, "gc", "--yes")

    after = {path.name for path in (run_folder / "files" / "checkpoints").iterdir()}
    assert "superseded by a resume" in done.out
    assert len(before) == 2
    assert len(after) == 1
    assert (tmp_path / "checkpoint-20" / "weights.bin").read_bytes() == b"w" * 1000


def test_gc_never_leaves_the_run_folder(root: Path, capsys: Capture, tmp_path: Path) -> None:
    run_folder = resumed_run(root, tmp_path)
    precious = tmp_path / "precious"
    precious.mkdir()
    for file in run_folder.glob("journal-*.jsonl"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("files/checkpoints/", "../../../precious/../precious/x/../"), encoding="utf-8")

    call(capsys, "gc", "--yes")

    assert precious.is_dir()


def test_gc_deletes_old_leftovers_but_no_young_ones(root: Path, capsys: Capture) -> None:
    files = folder(root, record(root, "a")) / "files"
    files.mkdir(exist_ok=True)
    old, young = draft_path(files / "table.json"), draft_path(files / "table.json")
    empty, interrupted = root / "cola" / ("0" * 32), root / "cola" / ".removing-x"
    for path in (old, young):
        path.write_bytes(b"draft")
    for path in (empty, interrupted):
        path.mkdir()
    make_old(old)
    make_old(empty)

    done = call(capsys, "gc", "--yes")

    assert done.code == 0
    assert not old.exists()
    assert not empty.exists()
    assert not interrupted.exists()
    assert young.exists()


def test_gc_deletes_the_index_which_comes_back(root: Path, capsys: Capture) -> None:
    record(root, "a")
    call(capsys, "ls")
    assert list(root.glob(".trackbridge-index*"))

    call(capsys, "gc", "--yes")

    assert not list(root.glob(".trackbridge-index*"))
    assert "a " in call(capsys, "ls").out


def test_gc_dry_run_deletes_nothing(root: Path, capsys: Capture) -> None:
    record(root, "a")
    call(capsys, "ls")

    done = call(capsys, "gc", "--dry-run")

    assert "index" in done.out
    assert list(root.glob(".trackbridge-index*"))
