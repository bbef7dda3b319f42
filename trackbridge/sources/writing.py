"""Writes one run that a source has found: its facts into journals, its files beside them, nothing twice."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import trackbridge
from trackbridge.errors import MissingDependencyError, MisuseError, SourceRefused
from trackbridge.events.models import (
    ArtifactLogged,
    ConfigLogged,
    EnvironmentCaptured,
    KnownEvent,
    MediaLogged,
    RunStarted,
)
from trackbridge.events.redact import mask_text
from trackbridge.events.values import clean_text
from trackbridge.journal.console import CONSOLE, EARLIER, HALF_BYTES, ConsoleFile
from trackbridge.journal.imported import ImportedJournal
from trackbridge.journal.paths import run_folder, run_folder_names
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceMedia,
    SourceProblem,
    SourceRun,
    Unmapped,
)
from trackbridge.sources.known import Known, read_known
from trackbridge.sources.outcome import ImportedRun
from trackbridge.sources.stored_files import StoredFile, store_artifact, store_media
from trackbridge.sources.wording import is_in_range, metric_name, project_name, told_safely

_SYSTEM = "system/"
_MOST_PRINTED = 1 << 20
_log = logging.getLogger(__name__)


def run_id_of(source: str, run: SourceRun) -> str:
    """The id under which a run is imported: the same for the same run of the same tracker, everywhere."""
    return _digest(source, run.identity)


def write_run(run: SourceRun, *, source: str, root: Path, project: str | None) -> ImportedRun:
    """Write what is new in a run below a root; `project` in place of the source's own.

    Raises:
        OSError: the root cannot be written.
    """
    run_id = run_id_of(source, run)
    folder = _folder(root, project or project_name(run.project), run_id)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    written = _WrittenRun(folder, read_known(folder), run, source)
    try:
        written.write()
    except SourceRefused as refusal:
        written.undo()
        problem = SourceProblem(run.identity, "", str(refusal))
        return ImportedRun(run_id, folder.parent.name, clean_text(run.name), "refused", problems=(problem,))
    finally:
        if is_new and not any(folder.glob("journal-*")):
            shutil.rmtree(folder)
    return written.outcome(run_id, is_new=is_new)


def _folder(root: Path, project: str, run_id: str) -> Path:
    """Where the run is already, whatever its project is called there; else where it belongs."""
    found = (root / name for name in run_folder_names(root) if name.endswith(f"/{run_id}"))
    return next(found, run_folder(root, project, run_id))


class _WrittenRun:
    """A run being written: facts in, journals and files out."""

    def __init__(self, folder: Path, known: Known, run: SourceRun, source: str) -> None:
        self._folder, self._known, self._run, self._source = folder, known, run, source
        self._journals: dict[str, ImportedJournal] = {}
        self._names: dict[str, str] = {}
        self._unmapped: dict[str, Any] = {}
        self._problems: list[SourceProblem] = []
        self._printed: list[str] = []
        self._new_files: list[Path] = []
        self._n_printed = self._n_points = self._last_ns = 0
        self._has_grown = False
        # As it is found; a run that was renamed tells its last name when it is read.
        self._name = run.name

    def write(self) -> None:
        """Write all facts; the journals get their names when everything is written."""
        facts = self._read(self._run.facts())
        first = next(facts, None)
        if first is None:
            return
        told_ns = UNKNOWN_NS if isinstance(first, (Printed, SourceProblem)) else first.t
        started_ns = told_ns if is_in_range(told_ns) else UNKNOWN_NS
        with ExitStack() as stack:
            for role in ("import", "system"):
                self._journals[role] = stack.enter_context(self._journal(role, started_ns))
            for fact in chain([first], facts, self._afterwards()):
                self._write(fact)
        self._write_console()

    def undo(self) -> None:
        """Remove the files of a run that was refused; its journals never came to be."""
        for path in self._new_files:
            path.unlink(missing_ok=True)

    def outcome(self, run_id: str, *, is_new: bool) -> ImportedRun:
        """What was done."""
        return ImportedRun(
            run_id=run_id,
            project=self._folder.parent.name,
            name=clean_text(self._name),
            state="new" if is_new else "grown" if self._has_grown else "unchanged",
            n_points=self._n_points,
            n_files=len(self._new_files),
            unmapped=tuple(self._unmapped),
            problems=tuple(self._problems),
        )

    def _read(self, facts: Iterator[Fact]) -> Iterator[Fact]:
        try:
            yield from facts
        except (SourceRefused, MissingDependencyError):
            raise
        except Exception as error:  # noqa: BLE001 - a reader that fails on one run must not cost what it has read
            _log.debug("reading %s failed", self._run.identity, exc_info=True)
            yield SourceProblem(self._run.identity, "", f"reading stopped here: {type(error).__name__}: {error}")

    def _journal(self, role: str, started_ns: int) -> ImportedJournal:
        session = _digest(self._source, self._run.identity, self._run.session)
        identity = {
            "run_id": self._folder.name,
            # Journals of one time sort by their names, so the names sort by the imports.
            "writer_id": f"{self._known.n_journals:08x}{_digest(session, role)[8:]}",
            "session_id": session,
            "role": role,
            "producer": f"trackbridge {trackbridge.__version__} import {self._source}",
        }
        return ImportedJournal(self._folder, identity, started_ns=started_ns)

    def _afterwards(self) -> Iterator[Fact]:
        """What is known when all else is read."""
        if self._unmapped:
            yield ConfigLogged(seq=0, t=self._last_ns, scope=self._source, config=self._unmapped)
        origin = {"source": self._source, "identity": self._run.identity, "problems": list(map(str, self._problems))}
        yield EnvironmentCaptured(seq=0, t=self._last_ns, environment={"import": origin})

    def _write(self, fact: Fact) -> None:
        match fact:
            case Points():
                self._write_points(fact)
            case SourceMedia():
                self._write_media(fact)
            case SourceArtifact():
                self._write_artifact(fact)
            case Unmapped():
                self._unmapped[fact.key] = fact.value
                self._last_ns = max(self._last_ns, fact.t)
            case Printed():
                self._print(fact.text)
            case SourceProblem():
                self._problems.append(fact)
            case RunStarted():
                self._name = fact.name
                self._tell_if_plain(replace(fact, project=self._folder.parent.name))
            case _:
                self._tell_if_plain(fact)

    def _write_points(self, fact: Points) -> None:
        t, step, metrics, epoch = fact
        if not is_in_range(t, step):
            # Of a number of hundreds of digits the first ones say enough.
            where = f"step {str(step)[:40]} at {str(t)[:40]} ns"
            self._problems.append(SourceProblem(self._run.identity, where, "no 64-bit numbers"))
            return
        self._last_ns = max(self._last_ns, t)
        if not metrics.keys() <= self._names.keys():
            self._names.update((name, metric_name(name)) for name in metrics)
        named = {self._names[name]: value for name, value in metrics.items()}
        if self._known.n_journals:
            named = self._known.new_of(t, step, named)
        self._n_points += len(named)
        for role, points in _by_role(named):
            self._journals[role].append_points(t, step, points, epoch)
            self._has_grown = True

    def _write_media(self, fact: SourceMedia) -> None:
        if (stored := self._stored(fact)) is None:
            return
        self._tell_if_plain(
            MediaLogged(
                seq=0,
                t=fact.t,
                name=metric_name(fact.name),
                step=fact.step,
                media=fact.media,
                path=stored.path,
                size_bytes=stored.size_bytes,
                sha256=stored.sha256,
                caption=fact.caption,
            )
        )

    def _write_artifact(self, fact: SourceArtifact) -> None:
        if (stored := self._stored(fact)) is not None:
            self._tell_if_plain(
                ArtifactLogged(
                    seq=0,
                    t=fact.t,
                    name=fact.name,
                    type=fact.type,
                    path=stored.path,
                    size_bytes=stored.size_bytes,
                    sha256=stored.sha256,
                )
            )

    def _stored(self, fact: SourceMedia | SourceArtifact) -> StoredFile | None:
        try:
            if isinstance(fact, SourceMedia):
                stored = store_media(self._folder, fact.file, fact.suffix)
            else:
                stored = store_artifact(self._folder, fact.file)
        except OSError as error:
            self._problems.append(SourceProblem(fact.file.name, "", f"cannot be copied: {error.strerror or error}"))
            return None
        if stored.is_new:
            self._new_files.append(self._folder / stored.path)
        return stored

    def _tell_if_plain(self, event: KnownEvent) -> None:
        try:
            self._tell(told_safely(event))
        except MisuseError as error:
            self._problems.append(SourceProblem(self._run.identity, type(event).__name__, str(error)))

    def _tell(self, event: KnownEvent) -> None:
        where = type(event).__name__
        if not is_in_range(getattr(event, "step", 0)):
            self._problems.append(SourceProblem(self._run.identity, where, "its step is no 64-bit number"))
            return
        if not is_in_range(event.t):
            self._problems.append(
                SourceProblem(self._run.identity, where, f"at {str(event.t)[:40]} ns: kept without a time")
            )
            event = replace(event, t=UNKNOWN_NS)
        self._last_ns = max(self._last_ns, event.t)
        if not self._known.has(event):
            self._journals["import"].append(event)
            self._has_grown = True

    def _print(self, text: str) -> None:
        self._printed.append(text)
        self._n_printed += len(text)
        if self._n_printed > _MOST_PRINTED:
            end = "".join(self._printed)[-2 * HALF_BYTES :]
            self._printed, self._n_printed = [end], len(end)

    def _write_console(self) -> None:
        text = mask_text(clean_text("".join(self._printed)[-HALF_BYTES:]))
        if not text or not self._has_grown:
            return
        for name in (CONSOLE, EARLIER):
            (self._folder / name).unlink(missing_ok=True)
        console = ConsoleFile(self._folder)
        console.append(text)
        console.close()


def _by_role(metrics: dict[str, float]) -> Iterator[tuple[str, dict[str, float]]]:
    """The points of the training and those of the machine, which no resume supersedes."""
    system = {name: value for name, value in metrics.items() if name.startswith(_SYSTEM)}
    if system:
        yield "system", system
        metrics = {name: value for name, value in metrics.items() if name not in system}
    if metrics:
        yield "import", metrics


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
