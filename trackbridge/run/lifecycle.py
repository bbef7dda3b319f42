"""How a run begins or goes on, and which run is the current one."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from trackbridge import __version__
from trackbridge.errors import JournalWriteError, MisuseError
from trackbridge.events.models import FORMAT_VERSION, EnvironmentCaptured, RunResumed, RunStarted
from trackbridge.events.names import check_project_name
from trackbridge.events.redact import mask_text
from trackbridge.events.values import as_json_object, as_label, as_labels, as_text, clean_text, shown
from trackbridge.journal.paths import files_folder, journal_files, run_folder
from trackbridge.journal.process import boot_id, started_s
from trackbridge.journal.reader import read_opening
from trackbridge.journal.writer import JournalWriter
from trackbridge.run import endings
from trackbridge.run.companion import Companion, check_sampler
from trackbridge.run.console import record_console
from trackbridge.run.environment import capture, fingerprints
from trackbridge.run.nowhere import Nowhere
from trackbridge.run.origin import Origin, agreed, find_origin
from trackbridge.run.ranks import Rank, this_rank
from trackbridge.run.run import Run
from trackbridge.settings import Settings, load_settings
from trackbridge.targets import parse_targets

_open_runs: ContextVar[tuple[Run, ...]] = ContextVar("trackbridge_open_runs", default=())


def start_run(
    project: str,
    *,
    name: str | None = None,
    group: str | None = None,
    tags: Iterable[str] = (),
    notes: str | None = None,
    config: Any = None,
    data: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    run_id: str | None = None,
    resume_from: str | Path | None = None,
    ranks: Literal["0", "all"] = "0",
    strict: bool | None = None,
    to: Sequence[str] | None = None,
) -> Run:
    """A run that is being recorded; use it as a context manager, and it ends with its true status.

    Args:
        project: the folder of runs it belongs to.
        name: a label; need not be unique.
        group: runs meant to be compared, such as a study.
        config: nested config for the scope `script`.
        data: datasets to fingerprint, by name: a path, a Hugging Face dataset, or a text that identifies it.
        root: the folder of all projects (setting `root`).
        run_id: an id of your own (32 hex digits); an existing run is added to.
        resume_from: a checkpoint directory. With a `trackbridge.json` in it the run it belongs to goes on
            after its step; without one, or with None, a new run starts.
        ranks: "0" gives ranks other than 0 a run that records nothing; "all" gives each a journal of its own.
        strict: raise when the disk refuses a line (setting `strict`).
        to: targets to deliver to while the run goes on, such as `["wandb", "comet:offline"]` (setting `to`).

    Raises:
        MisuseError: a name, text or config that cannot be one, a checkpoint that is not there or belongs to another
            run, a root that cannot be written.
        NotFoundError: a target that is not known.
        MissingDependencyError: system metrics were asked for, and psutil is not installed.
    """
    # All that the caller said is checked before anything is written.
    settings = load_settings(root=root, strict=strict, to=to)
    targets = _targets(settings)
    description = _description(group, tags, notes)
    copied = None if config is None else as_json_object("config", config)
    datasets = _datasets(data)
    rank = _rank(ranks)
    origin = find_origin(check_project_name(project), name, run_id, resume_from, settings.root)
    if ranks == "all":
        origin = agreed(origin, rank, has_given_id=run_id is not None)
    path = run_folder(origin.root, project, origin.run_id)
    if ranks == "0" and rank.rank != 0:
        return _enter(Run(run_id=origin.run_id, project=project, name=origin.name, path=path, journal=Nowhere()))
    is_new = not _has_begun(path)
    journal = _open_journal(path, origin, rank, strict=settings.strict)
    run = Run(run_id=origin.run_id, project=project, name=origin.name, path=path, journal=journal)
    endings.watch(run)
    if rank.rank == 0 and settings.console:
        record_console(path)
    if rank.rank == 0:
        _begin(run, origin, description, is_new=is_new)
    _log_givens(run, copied, datasets, settings)
    if rank.rank == 0:
        _accompany(run, journal, targets, settings)
    return _enter(run)


def current_run() -> Run:
    """The innermost open run of this context, else of this process, else a run that records nothing."""
    for run in reversed(_open_runs.get()):
        if not run.is_closed:
            return run
    # A thread starts with an empty context; library code in it still belongs to the run around it.
    return endings.innermost_open() or Run(run_id="0" * 32, project="", name="", path=Path(), journal=Nowhere())


def _enter(run: Run) -> Run:
    _open_runs.set((*(other for other in _open_runs.get() if not other.is_closed), run))
    return run


def _targets(settings: Settings) -> list[str]:
    targets = [str(target) for target in parse_targets(settings.to)]
    if settings.system:
        check_sampler()
    return targets


def _rank(ranks: str) -> Rank:
    if ranks not in ("0", "all"):
        raise MisuseError(f"ranks is {ranks!r}; expected '0' or 'all'")
    return this_rank()


def _description(group: object, tags: object, notes: object) -> dict[str, Any]:
    return {
        "group": None if group is None else as_label("group", group),
        "tags": as_labels("tags", tags),
        "notes": None if notes is None else mask_text(as_text("notes", notes)),
    }


def _datasets(data: object) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        told = shown(data)
        raise MisuseError(f"data is {told}; expected a mapping of names to datasets: data={{'train': {told}}}")
    return data


def _has_begun(folder: Path) -> bool:
    # With ranks="all" another rank may be faster than rank 0, which alone says that the run began.
    openings = map(read_opening, journal_files(folder))
    return any(opening is not None and opening.role != "rank" for opening in openings)


def _begin(run: Run, origin: Origin, description: Mapping[str, Any], *, is_new: bool) -> None:
    if is_new:
        resumed_from = None if origin.has_sidecar else origin.checkpoint
        run.append(RunStarted, project=run.project, name=run.name, resumed_from=resumed_from, **description)
    if origin.has_sidecar or not is_new:
        run.append(RunResumed, from_step=origin.from_step, checkpoint=origin.checkpoint)
    if not is_new and description["tags"]:
        run.set_tags(*description["tags"])


def _log_givens(run: Run, config: dict[str, Any] | None, datasets: Mapping[str, Any], settings: Settings) -> None:
    """What the run was given to work with: config, machine and software, data."""
    if config is not None:
        run.log_config(config)
    if settings.capture_environment:
        captured = capture(files_folder(run.path), patch_limit_bytes=settings.patch_limit_bytes)
        run.append(EnvironmentCaptured, environment=captured)
    if datasets:
        run.append(EnvironmentCaptured, environment={"data": fingerprints(datasets)})


def _accompany(run: Run, journal: JournalWriter, targets: Sequence[str], settings: Settings) -> None:
    """Start the relays of the run, if it is to have any, and have them looked after while it goes on."""
    samples_system = bool(targets) if settings.system is None else settings.system
    if targets or samples_system:
        run.companion = Companion(
            run.path, journal.path, targets, samples_system=samples_system, wait_s=settings.finish_timeout_s
        )
        journal.after_sync = run.companion.ensure


def _open_journal(path: Path, origin: Origin, rank: Rank, *, strict: bool) -> JournalWriter:
    identity = {
        "v": FORMAT_VERSION,
        "run_id": origin.run_id,
        "session_id": origin.session_id,
        "role": "main" if rank.rank == 0 else "rank",
        "host": clean_text(platform.node()),
        "boot_id": boot_id(),
        "pid": os.getpid(),
        "pid_started": started_s(os.getpid()),
        "rank": rank.rank,
        "world_size": rank.world_size,
        "producer": f"trackbridge {__version__}",
    }
    try:
        return JournalWriter(path, identity, strict=strict)
    except JournalWriteError:
        raise
    except OSError as error:
        raise MisuseError(
            f"cannot write runs below {str(path.parent.parent)!r}: {error.strerror or error}."
            " Pass root=, or set TRACKBRIDGE_ROOT to a folder that can be written"
        ) from error
