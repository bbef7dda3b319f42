"""One `.wandb` file as the facts of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trackbridge.events.models import (
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunResumed,
    RunStarted,
    Status,
    SummaryLogged,
    TagsSet,
)
from trackbridge.sources import wandb_ours as ours
from trackbridge.sources import wandb_records as records
from trackbridge.sources.base import (
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceFile,
    SourceProblem,
    Unmapped,
)
from trackbridge.sources.files import file_outside
from trackbridge.sources.protobuf import as_int, fields
from trackbridge.sources.wandb_file import read_records
from trackbridge.sources.wandb_head import Head, apply, last_run_told
from trackbridge.sources.wandb_history import RowReader, as_float
from trackbridge.sources.wandb_media import RunFiles
from trackbridge.sources.wandb_rows import RowFacts

NS_PER_S = 1_000_000_000
# W&B's own copies of what the run's facts tell already.
_COPIES = {"output.log", "wandb-summary.json", "config.yaml"}


class RunReader:
    """Reads one file of a run, once."""

    def __init__(
        self, path: Path, head: Head, *, allowed: Sequence[Path], first_number: int | None = None, session: int = 0
    ) -> None:
        """
        Args:
            path: the `.wandb` file.
            head: its head.
            allowed: folders from which artifacts may be copied, which the file names by absolute path.
            first_number: for a later file of a run, the number that W&B would give its row 0; None for the first.
            session: which of the sessions in the file is told, where trackbridge wrote several into it.
        """
        self._session, self._session_read = session, 0
        self._path, self._head, self._allowed = path, head, allowed
        self._first_number = first_number
        self._is_ours = ours.is_ours(head.config)
        self._started_ns = ours.started_ns(head.config) if self._is_ours else head.told.started_ns
        self._files = RunFiles(path.parent, allowed)
        self._reader = RowReader()
        self._rows = RowFacts(
            self._files, started_ns=self._started_ns, is_ours=self._is_ours, first_number=first_number or 0
        )
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._checkpoints: dict[str, dict[str, Any]] = {}
        self._tags = list(head.told.tags)
        self._kept_files: dict[str, bool] = {}
        self._telemetry: dict[str, Any] = {}
        self._n_alerts = 0
        # What the run records before the first row say is in the head.
        self._has_rows = False
        self._has_defined_summary = False
        self._exit_code: int | None = None

    def facts(self) -> Iterator[Fact]:
        """All facts of the file.

        Raises:
            SourceRefused: it was made to do harm.
        """
        if self._session == 0:
            yield self._beginning()
        for record in read_records(self._path):
            for fact in [record] if isinstance(record, SourceProblem) else self._told_by(record):
                if self._session_read == self._session:
                    yield fact
        if self._session_read == self._session:
            yield from self._end()

    def _told_by(self, record: bytes) -> Iterator[Fact]:
        try:
            kind, message = records.kind_and_message(record)
            read = _READERS.get(kind)
            if read is not None:
                yield from read(self, message)
        except ValueError as error:
            yield SourceProblem(self._path.name, "", f"a record that is damaged: {error}")

    def _beginning(self) -> Fact:
        told = self._head.told
        if self._first_number is not None:
            return RunResumed(seq=0, t=self._started_ns)
        last = last_run_told(self._path) or told
        return RunStarted(
            seq=0,
            t=self._started_ns,
            project=told.project,
            name=last.name or told.run_id,
            group=last.group or None,
            tags=told.tags,
            notes=last.notes or None,
        )

    def _run(self, message: bytes) -> Iterator[Fact]:
        told = records.run_told(message)
        yield from self._configured(told.config)
        if self._has_rows and told.tags != self._tags:
            self._tags = told.tags
            yield TagsSet(seq=0, t=self._rows.now_ns, tags=told.tags)
        kept = {"job_type": told.job_type, "sweep_id": told.sweep_id, "entity": told.entity, "run_id": told.run_id}
        for name, value in kept.items():
            if value:
                yield Unmapped(self._started_ns, name, value)

    def _config_record(self, message: bytes) -> Iterator[Fact]:
        yield from self._configured(records.changes(message))

    def _configured(self, told: records.Changes) -> Iterator[Fact]:
        changed = {name: self._config.get(name) for name in apply(self._config, told)}
        if self._is_ours:
            yield from ours.config_facts(self._rows.now_ns, changed)
            yield from self._told_checkpoints()
        elif changed:
            # What was removed is null: a journal only adds.
            yield ConfigLogged(seq=0, t=self._rows.now_ns, scope="script", config=changed)

    def _told_checkpoints(self) -> Iterator[Fact]:
        """The checkpoints that were saved or deleted since."""
        before, self._checkpoints = self._checkpoints, ours.checkpoints(self._config)
        for key, facts in self._checkpoints.items():
            if before.get(key) != facts:
                yield from ours.checkpoint_facts(self._rows.now_ns, key, facts)

    def _history(self, message: bytes) -> Iterator[Fact]:
        self._has_rows = True
        row = self._reader.read(message)
        if self._summary and not self._summary.keys().isdisjoint(row.numbers):
            self._summary = {name: value for name, value in self._summary.items() if name not in row.numbers}
        yield from self._rows.facts(row)

    def _summarised(self, message: bytes) -> Iterator[Fact]:
        # W&B writes the values of each row once more as summary, and how long the run has run.
        if _is_of_a_row(message) and not self._has_defined_summary:
            return
        updates = [one for one in records.changes(message).updates if one.path and not one.path[0].startswith("_")]
        apply(self._summary, records.Changes(updates, []))
        if self._is_ours and (resumed := ours.resumed(self._rows.now_ns, updates)):
            self._session_read += 1
            yield resumed

    def _sampled(self, message: bytes) -> Iterator[Fact]:
        t, items = records.stats(message)
        self._rows.now_ns = max(self._rows.now_ns, t)
        seconds = max(0, (t - self._started_ns) // NS_PER_S) if self._started_ns else 0
        numbers = {f"system/{path[0]}": as_float(value) for path, value in items if isinstance(value, (int, float))}
        if numbers:
            yield Points(t, seconds, numbers)

    def _defined(self, message: bytes) -> Iterator[Fact]:
        told = records.axis_told(message)
        self._rows.axes.define(told)
        self._has_defined_summary |= told.has_summary
        if not self._is_ours:
            meant = {name: value for name, value in told._asdict().items() if value}
            yield Unmapped(self._rows.now_ns, f"define_metric/{told.name}", meant)

    def _printed(self, message: bytes) -> Iterator[Fact]:
        told = records.texts(message, {3: "line"})
        yield Printed(told.get("line", ""))

    def _logged(self, message: bytes) -> Iterator[Fact]:
        line = records.texts(message, {1: "line"}).get("line", "")
        yield Printed(line if line.endswith("\n") else f"{line}\n")

    def _named_files(self, message: bytes) -> Iterator[Fact]:
        for path, is_media in records.files_told(message):
            self._kept_files[path] = is_media
        yield from ()

    def _artifact(self, message: bytes) -> Iterator[Fact]:
        told = records.artifact_told(message)
        # A table is logged as an artifact too; the row that names it has its file.
        if told.type == "run_table":
            return
        if self._is_ours and not self._checkpoints and (saved := ours.uploaded_checkpoint(self._rows.now_ns, told)):
            yield saved
        elif not self._is_ours:
            names = ("type", "description", "metadata", "aliases", "tags")
            described = {name: value for name in names if (value := getattr(told, name))}
            files = [{"path": file.path, "size_bytes": file.size_bytes, "digest": file.digest} for file in told.files]
            yield Unmapped(self._rows.now_ns, f"artifact/{told.name}", {**described, "files": files})
        for file in told.files:
            yield self._artifact_file(told, file)

    def _artifact_file(self, told: records.ArtifactTold, file: records.ArtifactFile) -> Fact:
        name = ours.file_of(told, file.path) if self._is_ours else f"{told.name}/{file.path}"
        if file.reference:
            return Unmapped(self._rows.now_ns, f"reference/{name}", file.reference)
        found = file_outside(file.local_path, allowed=self._allowed) if file.local_path else None
        if found is None:
            where = file.local_path or "no place that is told"
            reason = "gone, or outside of what is imported: pass --files-from with its folder"
            return SourceProblem(f"artifact {name}", where, reason)
        # The SDK's copy is called tmpx1y2z3.
        return SourceArtifact(self._rows.now_ns, name, told.type, SourceFile(file.path, found.open))

    def _alerted(self, message: bytes) -> Iterator[Fact]:
        self._n_alerts += 1
        told = records.texts(message, {1: "title", 2: "text", 3: "level"})
        yield Unmapped(self._rows.now_ns, f"alert/{self._n_alerts}", told)

    def _observed(self, message: bytes) -> Iterator[Fact]:
        self._telemetry |= records.texts(message, {4: "python_version", 5: "cli_version", 6: "huggingface_version"})
        yield from ()

    def _used(self, message: bytes) -> Iterator[Fact]:
        told = records.texts(message, {1: "id", 2: "type", 3: "name"})
        yield Unmapped(self._rows.now_ns, f"used_artifact/{told.get('name', told.get('id', ''))}", told)

    def _preempted(self, message: bytes) -> Iterator[Fact]:
        yield Unmapped(self._rows.now_ns, "preempting", True)

    def _environment(self, message: bytes) -> Iterator[Fact]:
        told = records.texts(message, _ENVIRONMENT, repeated="args")
        host = {"name": told.get("host"), "system": told.get("os")}
        command = (
            {"argv": [told["program"], *told.get("args", [])], "folder": told.get("root")} if "program" in told else {}
        )
        implementation, _, version = told.get("python", "").rpartition(" ")
        python = {"version": version, "implementation": implementation, "executable": told.get("executable")}
        parts = {"host": host, "command": command, "python": python, "git": _git(message)}
        known = {name: {key: value for key, value in part.items() if value} for name, part in parts.items()}
        if "gpu_type" in told:
            known["gpu"] = {"model": told["gpu_type"], "count": told.get("gpu_count")}
        if environment := {name: part for name, part in known.items() if part}:
            yield EnvironmentCaptured(seq=0, t=self._started_ns, environment=environment)

    def _exited(self, message: bytes) -> Iterator[Fact]:
        codes = [as_int(value) for number, value in fields(message) if number == 1]
        self._exit_code = codes[-1] if codes else 0
        yield from ()

    def _end(self) -> Iterator[Fact]:
        yield from self._saved_files()
        summary = {
            name: value for name, value in self._summary.items() if not (self._is_ours and ours.is_internal(name))
        }
        if summary:
            yield SummaryLogged(seq=0, t=self._rows.now_ns, values=summary)
        if self._telemetry and not self._is_ours:
            yield Unmapped(self._started_ns, "telemetry", self._telemetry)
        if self._exit_code is not None:
            ended = self._ending(self._exit_code)
            if ended is not None:
                yield ended

    def _ending(self, exit_code: int) -> RunFinished | None:
        if self._is_ours:
            return ours.finished(self._rows.now_ns, self._summary, exit_code)
        status: Status = "failed" if exit_code else "finished"
        return RunFinished(seq=0, t=self._rows.now_ns, status=status, exit_code=exit_code)

    def _saved_files(self) -> Iterator[Fact]:
        for name in self._kept_files:
            if name in self._files.taken or name in _COPIES:
                continue
            file = self._files.get(name, self._path.name)
            yield file if isinstance(file, SourceProblem) else SourceArtifact(self._started_ns, name, "file", file)


# W&B's record of the running time: two keys and two numbers.
_MAX_RUNTIME_BYTES = 80
_ENVIRONMENT = {1: "os", 2: "python", 5: "args", 6: "program", 11: "root", 12: "host", 14: "executable", 18: "gpu_type"}
_ENVIRONMENT |= {19: "gpu_count"}
_READERS: dict[int, Callable[[RunReader, bytes], Iterator[Fact]]] = {
    records.Kind.HISTORY: RunReader._history,
    records.Kind.SUMMARY: RunReader._summarised,
    records.Kind.CONFIG: RunReader._config_record,
    records.Kind.FILES: RunReader._named_files,
    records.Kind.STATS: RunReader._sampled,
    records.Kind.ARTIFACT: RunReader._artifact,
    records.Kind.ALERT: RunReader._alerted,
    records.Kind.TELEMETRY: RunReader._observed,
    records.Kind.METRIC: RunReader._defined,
    records.Kind.OUTPUT_RAW: RunReader._printed,
    records.Kind.RUN: RunReader._run,
    records.Kind.EXIT: RunReader._exited,
    records.Kind.PREEMPTING: RunReader._preempted,
    records.Kind.USE_ARTIFACT: RunReader._used,
    records.Kind.ENVIRONMENT: RunReader._environment,
    records.Kind.OUTPUT_LOGGER: RunReader._logged,
}


def _is_of_a_row(summary: bytes) -> bool:
    # The keys as they stand there, each after its length: taking the record apart would double the time of an import.
    is_of_row = b"\x05_step\x82\x01" in summary
    return is_of_row or (len(summary) < _MAX_RUNTIME_BYTES and b"\x08_runtime\x82\x01" in summary)


def _git(environment: bytes) -> dict[str, Any]:
    for number, content in fields(environment):
        if number == 9 and isinstance(content, bytes):
            return records.texts(content, {1: "remote", 2: "commit"})
    return {}
