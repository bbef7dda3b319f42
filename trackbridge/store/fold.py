"""
Folds the events of one run's journals into its record. Pure: no files, no clock, no environment.

The order in which journals are given does not matter. Events count in the order of their sessions, within a
session by time, within a journal as they were written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from trackbridge.events.models import (
    AnyEvent,
    ArtifactLogged,
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    EventsDropped,
    KnownEvent,
    MediaLogged,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.store.batch import Batch
from trackbridge.store.records import Artifact, Checkpoint, Media, Problem, RunRecord, RunStatus, Seeds, Series
from trackbridge.store.series import merge, summarize, up_to
from trackbridge.store.sessions import Placed, WriterLog, place


@dataclass(frozen=True, slots=True)
class JournalEvents:
    """The events of one journal file in file order, and what was wrong with the file."""

    file: str
    events: Sequence[AnyEvent]
    problems: Sequence[Problem] = ()


def fold(run_id: str, project: str, path: str, journals: Iterable[JournalEvents]) -> RunRecord:
    """The record of a run with its points in memory.

    Its status is what the last session wrote, else `running`: telling `lost` takes a clock.

    Args:
        run_id: the run's id, which is its folder's name.
        project: the folder above it, for a run whose journals do not say.
        path: the run's folder.
        journals: one per journal file, in any order.
    """
    batches: dict[str, Batch] = {}
    logs = []
    for journal in journals:
        batch = batches.setdefault(journal.file, Batch())
        batch.add(journal.events)
        logs.append(
            WriterLog(
                journal.file, batch.facts, batch.first_ns or 0, batch.last_ns, batch.unknown_kinds, journal.problems
            )
        )
    record, placed = fold_facts(run_id, project, path, logs)
    series, n_superseded = _visible_series([(one, batches[one.log.file].series()) for one in placed])
    return replace(
        record,
        metrics={name: summarize(one) for name, one in series.items()},
        n_superseded=n_superseded,
        load_series=series.__getitem__,
    )


def fold_facts(run_id: str, project: str, path: str, logs: Iterable[WriterLog]) -> tuple[RunRecord, list[Placed]]:
    """The record but for its metrics, and for every journal the session it belongs to and the steps that count."""
    sessions, placed = place(logs)
    draft = _Draft()
    for place_of_fact, fact in _in_order(placed):
        draft.tell(fact, place_of_fact.last_step)
    last = sessions[-1] if sessions else None
    record = RunRecord(
        run_id=run_id,
        project=draft.started.project if draft.started else project,
        name=draft.started.name if draft.started else run_id,
        # What a session wrote was checked against these words when its line was decoded.
        status=cast(RunStatus, last.status) if last and last.status else "running",
        path=path,
        group=draft.started.group if draft.started else None,
        tags=tuple(draft.tags),
        notes=draft.started.notes if draft.started else None,
        started_ns=min((session.started_ns for session in sessions), default=0),
        ended_ns=last.last_seen_ns if last and last.status else None,
        last_seen_ns=max((session.last_seen_ns for session in sessions), default=0),
        config=draft.config,
        seeds=draft.seeds,
        environment=draft.environment,
        summary=draft.summary,
        sessions=sessions,
        checkpoints=tuple(draft.checkpoints.values()),
        media=tuple(draft.media.values()),
        artifacts=tuple(draft.artifacts),
        problems=tuple(problem for one in placed for problem in one.log.problems),
        unknown_kinds=dict(sum((Counter(one.log.unknown_kinds) for one in placed), Counter())),
        dropped=dict(draft.dropped),
    )
    return record, placed


def _visible_series(journals: Sequence[tuple[Placed, Mapping[str, Series]]]) -> tuple[dict[str, Series], int]:
    streams: dict[str, list[tuple[int, Series]]] = {}
    n_superseded = 0
    for placed, by_name in journals:
        for name, series in by_name.items():
            visible = up_to(series, placed.last_step)
            n_superseded += len(series) - len(visible)
            streams.setdefault(name, []).append((placed.session, visible))
    merged = {name: merge(name, of_name) for name, of_name in sorted(streams.items())}
    return {name: series for name, series in merged.items() if len(series)}, n_superseded


def _in_order(placed: Iterable[Placed]) -> list[tuple[Placed, KnownEvent]]:
    told = []
    for one in placed:
        latest = 0
        for index, fact in enumerate(one.log.facts):
            # A clock set back must not reorder what one writer wrote.
            latest = max(latest, fact.t)
            # What ranks say of config and environment yields to what the main writer says.
            told.append(((one.session, one.log.is_main, latest, one.log.file, index), (one, fact)))
    return [pair for _, pair in sorted(told, key=lambda item: item[0])]


@dataclass(slots=True)
class _Draft:
    """The record in the making; facts are told to it in order."""

    started: RunStarted | None = None
    tags: Sequence[str] = ()
    seeds: Seeds = field(default_factory=Seeds)
    config: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    checkpoints: dict[tuple[str, int, bool], Checkpoint] = field(default_factory=dict)
    media: dict[tuple[str, int, bool], Media] = field(default_factory=dict)
    # An ordered set: a resumed run logs its data set again, and it is still one artifact.
    artifacts: dict[Artifact, None] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def tell(self, fact: KnownEvent, last_step: int | None) -> None:
        """Take in one fact; what happened after `last_step` is marked as superseded."""
        match fact:
            case RunStarted():
                # An import tells it again when the run was renamed where it came from.
                self.started, self.tags = fact, fact.tags
            case ConfigLogged():
                self.config.setdefault(fact.scope, {}).update(fact.config)
            case SeedsLogged():
                self._tell_seeds(fact)
            case EnvironmentCaptured():
                self.environment.update(fact.environment)
            case SummaryLogged():
                self.summary.update(fact.values)
            case TagsSet():
                self.tags = fact.tags
            case EventsDropped():
                self.dropped.update(fact.counts)
            case CheckpointSaved():
                self._tell_checkpoint(fact, superseded=_is_after(fact.step, last_step))
            case CheckpointDeleted():
                self._tell_deletion(fact)
            case MediaLogged():
                self._tell_media(fact, superseded=_is_after(fact.step, last_step))
            case ArtifactLogged():
                self.artifacts[Artifact(fact.name, fact.type, fact.path, fact.size_bytes, fact.sha256)] = None

    def _tell_seeds(self, fact: SeedsLogged) -> None:
        known = {"init": fact.init, "data": fact.data, "dropout": fact.dropout, "all": fact.all}
        self.seeds = replace(self.seeds, **{name: seed for name, seed in known.items() if seed is not None})

    def _tell_checkpoint(self, fact: CheckpointSaved, *, superseded: bool) -> None:
        key = (fact.path, fact.step, superseded)
        self.checkpoints.pop(key, None)
        self.checkpoints[key] = Checkpoint(
            fact.step, fact.path, fact.metrics, fact.size_bytes, fact.kept, superseded=superseded
        )

    def _tell_deletion(self, fact: CheckpointDeleted) -> None:
        for key, checkpoint in self.checkpoints.items():
            if key[:2] == (fact.path, fact.step):
                self.checkpoints[key] = replace(checkpoint, deleted=True)
            elif (fact.path, fact.step) == (checkpoint.kept, checkpoint.step):
                # The run's own copy made room for a better one; the original may still be there.
                self.checkpoints[key] = replace(checkpoint, kept=None)

    def _tell_media(self, fact: MediaLogged, *, superseded: bool) -> None:
        key = (fact.name, fact.step, superseded)
        self.media.pop(key, None)
        self.media[key] = Media(
            fact.name, fact.step, fact.media, fact.path, fact.size_bytes, fact.sha256, fact.caption, superseded
        )


def _is_after(step: int, last_step: int | None) -> bool:
    return last_step is not None and step > last_step
