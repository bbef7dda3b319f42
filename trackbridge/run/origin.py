"""Which run a process writes, and what it goes on from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from trackbridge.errors import MisuseError
from trackbridge.events.values import as_label, clean_text
from trackbridge.journal.kept import changed_files
from trackbridge.journal.paths import is_run_id, new_id, run_folder
from trackbridge.journal.sidecar import read_sidecar
from trackbridge.run.ranks import Rank, agree_on

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which run to write, and what it continues: `from_step` and `checkpoint` when it does."""

    run_id: str
    name: str
    root: Path
    session_id: str = field(default_factory=new_id)
    from_step: int | None = None
    checkpoint: str | None = None
    has_sidecar: bool = False


def find_origin(
    project: str, name: str | None, run_id: str | None, resume_from: str | Path | None, root: Path
) -> Origin:
    """A new run, the run with this id, or the run that the checkpoint belongs to.

    Raises:
        MisuseError: the id is none; the checkpoint is no directory, or belongs to another run or project.
    """
    if run_id is not None and not (isinstance(run_id, str) and is_run_id(run_id)):
        raise MisuseError(f"run_id {run_id!r} is not 32 lower-case hex digits (uuid.uuid4().hex makes one)")
    label = None if name is None else as_label("name", name)
    new = run_id or new_id()
    if resume_from is None:
        return Origin(new, label or f"run-{new[-8:]}", root)
    checkpoint = Path(resume_from)
    if not checkpoint.is_dir():
        raise MisuseError(f"resume_from {str(checkpoint)!r} is no directory; pass a checkpoint, or None to start anew")
    where = clean_text(str(checkpoint.resolve()))
    _tell_changes(checkpoint)
    sidecar = read_sidecar(checkpoint)
    if sidecar is None or not is_run_id(sidecar.run_id):
        return Origin(new, label or f"run-{new[-8:]}", root, checkpoint=where)
    if sidecar.project != project or run_id not in (None, sidecar.run_id):
        raise MisuseError(
            f"checkpoint {str(checkpoint)!r} belongs to run {sidecar.run_id} of project {sidecar.project!r},"
            f" not to {f'run {run_id}' if run_id else 'a run'} of project {project!r}: pass what it belongs to,"
            " or leave resume_from out"
        )
    at = _where_it_lies(project, sidecar.run_id, root, Path(sidecar.root))
    return Origin(sidecar.run_id, label or sidecar.name, at, from_step=sidecar.step, checkpoint=where, has_sidecar=True)


def agreed(origin: Origin, rank: Rank, *, has_given_id: bool) -> Origin:
    """Rank 0's origin on every rank; each rank's own where they cannot talk and yet mean one run.

    Raises:
        MisuseError: they cannot talk, and each would start a run of its own.
    """
    if rank.world_size == 1:
        return origin
    told = agree_on(origin)
    if told is None and not has_given_id and not origin.has_sidecar:
        raise MisuseError(
            "ranks='all' needs one run id for all ranks: start the run after torch.distributed is initialised,"
            " or pass the same run_id to every rank"
        )
    return told or origin


def _tell_changes(checkpoint: Path) -> None:
    try:
        changed = changed_files(checkpoint)
    except OSError:
        # Whoever loads the checkpoint will say so.
        return
    if changed:
        _log.warning(
            "%s is no longer what was kept: %s changed. Something saved into the original folder again, and both"
            " shared their bytes.",
            checkpoint,
            ", ".join(changed),
        )


def _where_it_lies(project: str, run_id: str, root: Path, recorded: Path) -> Path:
    # The journal is continued where it lies; only when it lies nowhere near does it begin again in this root.
    has_moved = not run_folder(root, project, run_id).is_dir()
    return recorded if has_moved and run_folder(recorded, project, run_id).is_dir() else root
