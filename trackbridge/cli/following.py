"""`trackbridge tail`: what a run logs, as it logs it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS, OK
from trackbridge.cli.selection import RootOption, open_root

if TYPE_CHECKING:
    from trackbridge.events.models import AnyEvent
    from trackbridge.store.store import Store

POLL_S = 0.3
STATUS_CHECK_S = 3.0


def tail(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An id, a prefix of one, or a name.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many earlier lines to show.")] = 20,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Only these metrics; a pattern such as 'eval/*'.")
    ] = None,
    root: RootOption = None,
) -> None:
    """Show what a run logged last; with -f also what it logs from now on, until it ends.

    With -f the exit code is 1 when the run did not end as finished.
    """
    from trackbridge.cli import render

    store = open_root(root)
    record = store.run(run)
    console = render.make_console()
    read_new = store.tail(record).read_new
    for line in deque(_lines(read_new(), metric), maxlen=lines):
        render.print_line(console, line)
    if not follow:
        return
    for line in _new_lines(store, record.run_id, read_new, metric):
        render.print_line(console, line)
    status = store.run(record.run_id).status
    render.print_line(console, f"the run is {status}", style="bold")
    raise typer.Exit(OK if status == "finished" else FOUND_PROBLEMS)


def _new_lines(
    store: Store, run_id: str, read_new: Callable[[], list[AnyEvent]], patterns: list[str] | None
) -> Iterator[str]:
    """Lines as they come, until the store says that the run no longer runs."""
    from trackbridge.events.models import RunFinished

    checked_s = float("-inf")
    while True:
        events = read_new()
        yield from _lines(events, patterns)
        may_have_ended = any(isinstance(event, RunFinished) for event in events)
        if may_have_ended or time.monotonic() - checked_s > STATUS_CHECK_S:
            checked_s = time.monotonic()
            if store.run(run_id).status != "running":
                # What was written between the last look and the end.
                yield from _lines(read_new(), patterns)
                return
        time.sleep(POLL_S)


def _lines(events: list[AnyEvent], patterns: list[str] | None) -> Iterator[str]:
    from trackbridge.events import models
    from trackbridge.report.text import number_text

    for event in events:
        clock = _clock(event.t)
        if isinstance(event, models.MetricsLogged):
            metrics = {name: value for name, value in event.metrics.items() if _is_wanted(name, patterns)}
            if metrics:
                scores = "  ".join(f"{name} {number_text(value)}" for name, value in metrics.items())
                yield f"{clock}  step {event.step:<7} {scores}"
        elif isinstance(event, models.CheckpointSaved):
            yield f"{clock}  step {event.step:<7} checkpoint {event.path}"
        elif isinstance(event, models.RunResumed):
            yield f"{clock}  resumed" + (f" after step {event.from_step}" if event.from_step is not None else "")
        elif isinstance(event, models.EventsDropped):
            yield f"{clock}  {sum(event.counts.values())} events were dropped: {event.reason}"
        elif isinstance(event, models.RunFinished):
            yield f"{clock}  {event.status}" + (f": {event.error}" if event.error else "")


def _clock(time_ns: int) -> str:
    # Of an imported run it may be unknown, which is 0.
    if not time_ns:
        return "-"
    return datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc).astimezone().strftime("%H:%M:%S")


def _is_wanted(name: str, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
