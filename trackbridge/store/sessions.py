"""
Which sessions a run had, which journal belongs to which, and what a later session superseded. Pure.

A session is one process. Its main writer's journal says how it began and ended; forked children and other
ranks write journals of their own that carry the same session id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trackbridge.events.models import KnownEvent, RunFinished, RunResumed, RunStarted, WriterOpened
from trackbridge.store.records import Problem, Session

_MAIN_ROLES = ("main", "import")
_SAID_BY_MAIN = (RunStarted, RunResumed, RunFinished)
# The ranks of one launch begin within seconds of each other, in any order.
_LAUNCH_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class WriterLog:
    """One journal file without its points: its facts in file order, times in UTC nanoseconds."""

    file: str
    facts: Sequence[KnownEvent]
    first_ns: int
    last_ns: int
    unknown_kinds: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[Problem] = ()

    @property
    def opened(self) -> WriterOpened | None:
        """Who wrote it; None when the first line is damaged."""
        return next((fact for fact in self.facts if isinstance(fact, WriterOpened)), None)

    @property
    def is_main(self) -> bool:
        """True for the journal that tells how its session began and ended."""
        opened = self.opened
        # Without a first line: nobody but a main writer says these things.
        return opened.role in _MAIN_ROLES if opened else any(isinstance(fact, _SAID_BY_MAIN) for fact in self.facts)

    @property
    def is_system(self) -> bool:
        """True for the journal of a companion that samples the machine, and may outlive the training."""
        return self.opened is not None and self.opened.role == "system"

    @property
    def session_id(self) -> str:
        """The session it says it belongs to; without a first line, the name of the file."""
        return self.opened.session_id if self.opened else self.file


@dataclass(frozen=True, slots=True)
class Placed:
    """A journal file in its run: the number of its session, and the last step that counts (None: all do).

    The steps of system metrics are seconds, which no resume supersedes.
    """

    log: WriterLog
    session: int
    last_step: int | None


def place(logs: Iterable[WriterLog]) -> tuple[tuple[Session, ...], list[Placed]]:
    """The sessions in the order they started, and every journal in its session."""
    by_id = _by_session_id(sorted(logs, key=lambda log: log.file))
    sessions = sorted(
        ((_session(session_id, logs), logs) for session_id, logs in by_id.items()),
        key=lambda pair: (pair[0].started_ns, pair[0].session_id),
    )
    placed = [
        Placed(log, number, None if log.is_system else _last_step([later for later, _ in sessions[number + 1 :]]))
        for number, (_, logs) in enumerate(sessions)
        for log in logs
    ]
    return tuple(session for session, _ in sessions), placed


def _by_session_id(logs: Sequence[WriterLog]) -> dict[str, list[WriterLog]]:
    found: dict[str, list[WriterLog]] = {}
    for log in logs:
        if log.is_main:
            found.setdefault(log.session_id, []).append(log)
    began = {session_id: mains[0].first_ns for session_id, mains in found.items()}
    for log in logs:
        if not log.is_main:
            session_id = log.session_id if log.session_id in found else _under_way(began, log) or log.session_id
            found.setdefault(session_id, []).append(log)
    return found


def _under_way(began: Mapping[str, int], log: WriterLog) -> str | None:
    """The session that ran when a journal began which does not say, or says an id that no main journal has."""
    before = [pair for pair in began.items() if pair[1] <= log.first_ns + _LAUNCH_NS]
    if before:
        return max(before, key=lambda pair: (pair[1], pair[0]))[0]
    return min(began.items(), key=lambda pair: (pair[1], pair[0]))[0] if began else None


def _session(session_id: str, logs: Sequence[WriterLog]) -> Session:
    # A session whose main journal was lost is told by the first journal that is left.
    main = min(logs, key=lambda log: (not log.is_main, log.opened is None, log.first_ns, log.file))
    opened = main.opened
    # An import of a source that has grown since writes one more journal of the same session.
    mains = sorted((log for log in logs if log.is_main), key=lambda log: (log.first_ns, log.last_ns))
    facts = [fact for log in mains for fact in log.facts]
    resumed = [fact.from_step for fact in facts if isinstance(fact, RunResumed) and fact.from_step is not None]
    finished = next((fact for fact in reversed(facts) if isinstance(fact, RunFinished)), None)
    return Session(
        session_id=session_id,
        host=opened.host if opened else "",
        boot_id=opened.boot_id if opened else None,
        pid=opened.pid if opened else 0,
        pid_started=opened.pid_started if opened else None,
        started_ns=main.first_ns,
        # What samples a process says nothing about its life.
        last_seen_ns=max(log.last_ns for log in logs if log is main or not log.is_system),
        from_step=min(resumed) if resumed else None,
        status=finished.status if finished else None,
        exit_code=finished.exit_code if finished else None,
        error=finished.error if finished else None,
        traceback=finished.traceback if finished else None,
    )


def _last_step(later: Sequence[Session]) -> int | None:
    resumed = [session.from_step for session in later if session.from_step is not None]
    return min(resumed) if resumed else None
