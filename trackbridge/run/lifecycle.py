"""How a run begins or goes on, and which run is the current one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trackbridge import __version__
from trackbridge.errors import JournalWriteError, MisuseError
from trackbridge.events.models import FORMAT_VERSION, EnvironmentCaptured, RunResumed, RunStarted
from trackbridge.events.names import check_project_name
from trackbridge.events.values import clean_text
from trackbridge.journal.paths import files_folder, is_run_id, journal_files, new_id, run_folder
from trackbridge.journal.process import boot_id, started_s
from trackbridge.journal.sidecar import read_sidecar
from trackbridge.journal.writer import JournalWriter
from trackbridge.run import endings
from trackbridge.run.companion import Companion
from trackbridge.run.environment import capture, fingerprints
from trackbridge.run.ranks import Rank, agree_on, this_rank
from trackbridge.run.run import Nowhere, Run
from trackbridge.settings import load_settings
from trackbridge.targets import parse_target

_open_runs: ContextVar[tuple[Run, ...]] = ContextVar("trackbridge_open_runs", default=())


@dataclass(frozen=True, slots=True)
class _Origin:
    """Which run to write, and what it continues."""

    run_id: str
    name: str
    root: Path
    from_step: int | None = None
    checkpoint: str | None = None
    has_sidecar: bool = False


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
        MisuseError: a name that cannot be one, a checkpoint directory that is not there, a root that cannot be written.
    """
    settings = load_settings(root=root, strict=strict, to=None if to is None else tuple(to))
    targets = [str(parse_target(text)) for text in settings.to]
    rank = this_rank()
    if ranks not in ("0", "all"):
        raise MisuseError(f"ranks is {ranks!r}; expected '0' or 'all'")
    origin = _find_origin(check_project_name(project), name, run_id, resume_from, settings.root)
    if ranks == "all" and rank.world_size > 1:
        origin = _shared(origin, is_given=run_id is not None)
    path = run_folder(origin.root, project, origin.run_id)
    if ranks == "0" and rank.rank != 0:
        return _enter(Run(run_id=origin.run_id, project=project, name=origin.name, path=path, journal=Nowhere()))
    goes_on = bool(journal_files(path)) if rank.rank == 0 else True
    journal = _open_journal(path, origin.run_id, rank, strict=settings.strict)
    run = Run(run_id=origin.run_id, project=project, name=origin.name, path=path, journal=journal)
    if not goes_on:
        journal.append(
            RunStarted,
            project=project,
            name=origin.name,
            group=None if group is None else clean_text(str(group)),
            tags=[clean_text(str(tag)) for tag in tags],
            notes=notes,
            resumed_from=None if origin.has_sidecar else origin.checkpoint,
        )
    if origin.has_sidecar or (goes_on and rank.rank == 0):
        journal.append(RunResumed, from_step=origin.from_step, checkpoint=origin.checkpoint)
    if goes_on and tags:
        run.set_tags(*tags)
    if config is not None:
        run.log_config(config)
    if settings.capture_environment:
        captured = capture(files_folder(path), patch_limit_bytes=settings.patch_limit_bytes)
        journal.append(EnvironmentCaptured, environment=captured)
    if data:
        journal.append(EnvironmentCaptured, environment={"data": fingerprints(data)})
    samples_system = bool(targets) if settings.system is None else settings.system
    if (targets or samples_system) and rank.rank == 0:
        run.companion = Companion(
            path, journal.path, targets, samples_system=samples_system, wait_s=settings.finish_timeout_s
        )
        journal.after_sync = run.companion.ensure
    endings.watch(run)
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


def _find_origin(
    project: str, name: str | None, run_id: str | None, resume_from: str | Path | None, root: Path
) -> _Origin:
    if run_id is not None and not is_run_id(run_id):
        raise MisuseError(f"run_id {run_id!r} is not 32 lower-case hex digits (uuid.uuid4().hex makes one)")
    new = run_id or new_id()
    label = clean_text(str(name)) if name is not None else f"run-{new[-8:]}"
    if resume_from is None:
        return _Origin(new, label, root)
    checkpoint = Path(resume_from)
    if not checkpoint.is_dir():
        raise MisuseError(f"resume_from {str(checkpoint)!r} is no directory; pass a checkpoint, or None to start anew")
    where = clean_text(str(checkpoint.resolve()))
    sidecar = read_sidecar(checkpoint)
    if sidecar is None:
        return _Origin(new, label, root, checkpoint=where)
    if sidecar.project != project or run_id not in (None, sidecar.run_id):
        raise MisuseError(
            f"checkpoint {str(checkpoint)!r} belongs to run {sidecar.run_id} of project {sidecar.project!r},"
            f" not to {run_id or 'a run'} of project {project!r}: pass that project, or leave resume_from out"
        )
    # The journal is continued where it lies; only when it lies nowhere near does it begin again in this root.
    recorded = Path(sidecar.root)
    has_moved = not run_folder(root, project, sidecar.run_id).is_dir()
    at = recorded if has_moved and run_folder(recorded, project, sidecar.run_id).is_dir() else root
    return _Origin(sidecar.run_id, name or sidecar.name, at, sidecar.step, where, has_sidecar=True)


def _shared(origin: _Origin, *, is_given: bool) -> _Origin:
    agreed = agree_on(origin.run_id)
    if agreed is None and not is_given and not origin.has_sidecar:
        raise MisuseError(
            "ranks='all' needs one run id for all ranks: start the run after torch.distributed is initialised,"
            " or pass the same run_id to every rank"
        )
    return _Origin(agreed or origin.run_id, origin.name, origin.root, origin.from_step, origin.checkpoint)


def _open_journal(path: Path, run_id: str, rank: Rank, *, strict: bool) -> JournalWriter:
    identity = {
        "v": FORMAT_VERSION,
        "run_id": run_id,
        "role": "main" if rank.rank == 0 else "rank",
        "host": clean_text(socket.gethostname()),
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
