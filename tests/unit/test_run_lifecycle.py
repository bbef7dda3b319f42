"""How a run begins, goes on from a checkpoint, and which run is the current one."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import trackbridge as tb
from trackbridge.errors import MisuseError, SettingsError
from trackbridge.events.models import (
    ConfigLogged,
    MetricsLogged,
    RunFinished,
    RunResumed,
    RunStarted,
    TagsSet,
    WriterOpened,
)
from trackbridge.journal.kept import KEPT_NAME
from trackbridge.journal.paths import is_run_id, run_folders
from trackbridge.journal.sidecar import SIDECAR_NAME
from trackbridge.testing.written import all_events, events_of


@pytest.fixture(autouse=True)
def _quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def checkpoint_of(root: Path, folder: Path, *, step: int = 50, name: str = "baseline") -> tb.Run:
    """A run that logged steps up to 60 and a checkpoint at a step."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    with tb.start_run("cola", name=name, root=root) as run:
        for at in range(10, 70, 10):
            run.log({"train/loss": 1 / at}, step=at)
            if at == step:
                run.log_checkpoint(folder, step=at, keep=True)
    return run


def test_a_run_lies_below_root_and_project_under_its_id(root: Path) -> None:
    with tb.start_run("cola", root=root) as run:
        pass

    assert run.path == root / "cola" / run.run_id
    assert is_run_id(run.run_id)
    assert run.name == f"run-{run.run_id[-8:]}"
    assert list(run_folders(root)) == [run.path]


def test_the_first_events_of_a_run_say_who_writes_and_what_begins(root: Path) -> None:
    with tb.start_run("cola", root=root, config={"lr": 1}) as run:
        pass

    opened, started, config, *_ = all_events(run.path)
    assert isinstance(opened, WriterOpened)
    assert (opened.run_id, opened.session_id, opened.role) == (run.run_id, opened.writer_id, "main")
    assert isinstance(started, RunStarted)
    assert isinstance(config, ConfigLogged)
    assert (config.scope, config.config) == ("script", {"lr": 1})


def test_run_ids_sort_by_the_time_they_were_made(root: Path) -> None:
    ids = []
    for _ in range(3):
        with tb.start_run("cola", root=root) as run:
            ids.append(run.run_id)
        threading.Event().wait(0.002)

    assert ids == sorted(ids)


def test_the_default_root_is_a_visible_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tb.start_run("cola") as run:
        pass
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "elsewhere"))
    with tb.start_run("cola") as other:
        pass

    assert run.path.resolve().parent.parent == tmp_path / "trackbridge-runs"
    assert other.path.parent.parent == tmp_path / "elsewhere"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_root_that_cannot_be_written_is_told_with_the_setting(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(MisuseError, match=r"cannot write runs below .*file.*TRACKBRIDGE_ROOT"):
        tb.start_run("cola", root=tmp_path / place)

    assert not tb.current_run().is_recording


def test_a_root_that_is_no_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="setting 'root' from argument is 5"):
        tb.start_run("cola", root=5)  # type: ignore[arg-type]


def test_a_run_id_of_ones_own_starts_and_then_goes_on(root: Path) -> None:
    own = uuid.uuid4().hex
    for tags in (["first"], ["second"], []):
        with tb.start_run("cola", root=root, run_id=own, tags=tags) as run:
            run.log({"a": 1.0}, step=len(tags))

    assert run.run_id == own
    assert [event.tags for event in events_of(run.path, RunStarted)] == [["first"]]
    assert [event.from_step for event in events_of(run.path, RunResumed)] == [None, None]
    assert [event.tags for event in events_of(run.path, TagsSet)] == [["second"]]
    assert len(events_of(run.path, RunFinished)) == 3
    assert len({event.session_id for event in events_of(run.path, WriterOpened)}) == 3


def test_a_checkpoint_leads_back_to_its_run(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")

    with tb.start_run("cola", root=root, resume_from=tmp_path / "checkpoint-50") as run:
        run.log({"train/loss": 0.01}, step=60)

    (resumed,) = events_of(run.path, RunResumed)
    assert (run.run_id, run.name, run.path) == (first.run_id, "baseline", first.path)
    assert (resumed.from_step, resumed.checkpoint) == (50, str(tmp_path / "checkpoint-50"))
    assert len(events_of(run.path, RunStarted)) == 1
    assert [event.step for event in events_of(run.path, MetricsLogged)] == [10, 20, 30, 40, 50, 60, 60]


def test_points_after_the_resumed_step_are_superseded_for_readers(root: Path, tmp_path: Path) -> None:
    checkpoint_of(root, tmp_path / "checkpoint-50")
    with tb.start_run("cola", root=root, resume_from=tmp_path / "checkpoint-50") as run:
        run.log({"train/loss": 0.01}, step=60)

    record = tb.open_store(root).run(run.run_id)

    assert record.metrics["train/loss"].last == 0.01
    assert record.n_superseded == 1
    assert [session.from_step for session in record.sessions] == [None, 50]


def test_a_kept_checkpoint_leads_back_to_its_run_too(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")
    shutil.rmtree(tmp_path / "checkpoint-50")

    with tb.start_run("cola", root=root, resume_from=first.path / "files/checkpoints/step-50") as run:
        pass

    assert run.run_id == first.run_id


def test_a_checkpoint_copied_elsewhere_leads_back_to_its_run(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")
    copied = shutil.copytree(tmp_path / "checkpoint-50", tmp_path / "downloads" / "final")

    with tb.start_run("cola", root=root, resume_from=str(copied)) as run:
        pass

    assert run.run_id == first.run_id


def test_a_run_is_continued_where_it_lies_even_from_another_root(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")

    with tb.start_run("cola", root=tmp_path / "other", resume_from=tmp_path / "checkpoint-50") as run:
        pass

    assert run.path == first.path
    assert not (tmp_path / "other").exists()


def test_a_root_that_was_moved_is_found_by_the_setting(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")
    moved = root.rename(tmp_path / "moved")

    with tb.start_run("cola", root=moved, resume_from=tmp_path / "checkpoint-50") as run:
        pass

    assert run.path == moved / "cola" / first.run_id
    assert len(events_of(run.path, RunResumed)) == 1


def test_a_run_whose_journal_is_gone_begins_again_under_its_id(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")
    shutil.rmtree(root)

    with tb.start_run("cola", root=tmp_path / "new", resume_from=tmp_path / "checkpoint-50") as run:
        pass

    (started,), (resumed,) = events_of(run.path, RunStarted), events_of(run.path, RunResumed)
    assert run.run_id == first.run_id
    assert (started.name, started.resumed_from, resumed.from_step) == ("baseline", None, 50)


@pytest.mark.parametrize("sidecar", [None, "{", '{"run_id": "../../../etc"}', "RUN_ID_OUTSIDE"])
def test_a_checkpoint_that_knows_no_run_starts_a_new_one_that_names_it(
    root: Path, tmp_path: Path, sidecar: str | None
) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")
    path = tmp_path / "checkpoint-50" / SIDECAR_NAME
    if sidecar is None:
        path.unlink()
    elif sidecar == "RUN_ID_OUTSIDE":
        path.write_text(path.read_text().replace(first.run_id, "../../outside"))
    else:
        path.write_text(sidecar)

    with tb.start_run("cola", root=root, resume_from=tmp_path / "checkpoint-50") as run:
        pass

    (started,) = events_of(run.path, RunStarted)
    assert run.run_id != first.run_id
    assert started.resumed_from == str(tmp_path / "checkpoint-50")
    assert events_of(run.path, RunResumed) == []
    assert run.path.parent == root / "cola"


def test_a_checkpoint_of_another_project_or_run_is_refused(root: Path, tmp_path: Path) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")

    with pytest.raises(MisuseError, match=f"belongs to run {first.run_id} of project 'cola'.*project 'blimp'"):
        tb.start_run("blimp", root=root, resume_from=tmp_path / "checkpoint-50")
    with pytest.raises(MisuseError, match="leave resume_from out"):
        tb.start_run("cola", root=root, run_id="0" * 32, resume_from=tmp_path / "checkpoint-50")
    with tb.start_run("cola", root=root, run_id=first.run_id, resume_from=tmp_path / "checkpoint-50") as run:
        pass

    assert run.run_id == first.run_id


def test_resuming_from_a_kept_checkpoint_that_changed_is_told(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = checkpoint_of(root, tmp_path / "checkpoint-50")
    kept = first.path / "files/checkpoints/step-50"
    (tmp_path / "checkpoint-50" / "model.safetensors").write_bytes(b"others!")

    with tb.start_run("cola", root=root, resume_from=kept):
        pass

    (record,) = caplog.records
    assert "model.safetensors" in record.getMessage()
    assert KEPT_NAME not in record.getMessage()


def test_outside_of_any_run_the_current_run_records_nothing(tmp_path: Path) -> None:
    run = tb.current_run()
    run.log({"a": 1.0}, step=1)

    assert not run.is_recording
    assert list(tmp_path.iterdir()) == []


def test_the_current_run_is_the_innermost_open_one(root: Path) -> None:
    with tb.start_run("cola", root=root) as outer:
        assert tb.current_run() is outer
        with tb.start_run("cola", root=root) as inner:
            assert tb.current_run() is inner
        assert tb.current_run() is outer
        third = tb.start_run("cola", root=root)
        fourth = tb.start_run("cola", root=root)
        third.finish()
        assert tb.current_run() is fourth
        fourth.finish()
        assert tb.current_run() is outer

    assert not tb.current_run().is_recording


def test_a_thread_logs_to_the_run_around_it(root: Path) -> None:
    with tb.start_run("cola", root=root) as run, ThreadPoolExecutor(1) as pool:
        assert pool.submit(tb.current_run).result() is run


def test_a_run_opened_in_a_thread_is_not_current_in_another_context(root: Path) -> None:
    seen = []

    def work() -> None:
        with tb.start_run("cola", root=root, name="thread"):
            seen.append(tb.current_run().name)

    with tb.start_run("cola", root=root, name="main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        seen.append(tb.current_run().name)

    assert seen == ["thread", "main"]


def test_tasks_have_current_runs_of_their_own(root: Path) -> None:
    async def train(name: str) -> str:
        with tb.start_run("cola", root=root, name=name):
            for _ in range(5):
                await asyncio.sleep(0)
                assert tb.current_run().name == name
                assert await asyncio.to_thread(lambda: tb.current_run().name) == name
        return tb.current_run().name

    async def both() -> list[str]:
        with tb.start_run("cola", root=root, name="outer"):
            return await asyncio.gather(train("a"), train("b"))

    assert asyncio.run(both()) == ["outer", "outer"]


def test_a_run_opened_in_a_copied_context_does_not_leak(root: Path) -> None:
    with tb.start_run("cola", root=root, name="outer"):
        inner = contextvars.copy_context().run(tb.start_run, "cola", root=root, name="inner")

        assert tb.current_run().name == "outer"
        inner.finish()


def test_other_ranks_record_nothing_and_make_no_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    with tb.start_run("cola", root=root, config={"lr": 1}) as run:
        run.log({"a": 1.0, "t": tb.Text("x")}, step=1)
        assert tb.current_run() is run

    assert not run.is_recording
    assert not root.exists()


def test_rank_0_records_as_ever(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")

    with tb.start_run("cola", root=root) as run:
        pass

    (opened,) = events_of(run.path, WriterOpened)
    assert (opened.rank, opened.world_size, opened.role) == (0, 2, "main")


def test_slurm_alone_makes_no_rank(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "3")

    with tb.start_run("cola", root=root) as run:
        pass

    assert run.is_recording


def test_all_ranks_need_a_way_to_agree_on_one_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(MisuseError, match=r"needs one run id for all ranks: start the run after torch.distributed"):
        tb.start_run("cola", root=root, ranks="all")
    with tb.start_run("cola", root=root, ranks="all", run_id="0" * 32) as run:
        run.log({"a": 1.0}, step=1)

    (opened,) = events_of(run.path, WriterOpened)
    assert (opened.rank, opened.role) == (1, "rank")
    assert opened.writer_id != opened.session_id
    assert events_of(run.path, RunStarted) == []


def test_a_run_that_was_pickled_writes_on_in_a_journal_of_its_own(root: Path) -> None:
    with tb.start_run("cola", root=root) as run:
        run.log({"a": 1.0}, step=1)
        copy = pickle.loads(pickle.dumps(run))
        assert len(list(run.path.glob("journal-*"))) == 1
        copy.log({"b": 2.0}, step=1)
        copy.finish()
        run.log({"a": 3.0}, step=2)

    opened = events_of(run.path, WriterOpened)
    assert [event.role for event in opened] == ["main", "child"]
    assert opened[0].session_id == opened[1].session_id
    assert [event.metrics for event in events_of(run.path, MetricsLogged)] == [{"a": 1.0}, {"b": 2.0}, {"a": 3.0}]
    assert len(events_of(run.path, RunFinished)) == 1


def test_the_home_folder_may_be_abbreviated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    with tb.start_run("cola", root="~/runs") as run:
        pass

    assert run.path.parent.parent == tmp_path / "runs"
