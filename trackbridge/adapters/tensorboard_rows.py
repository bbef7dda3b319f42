"""
Rows as records of an event file. The same row gives the same bytes, and nothing else is looked at: so a file that was
cut back and written again is the file it was, even to a TensorBoard that had read further.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trackbridge.adapters import tensorboard_events as events
from trackbridge.adapters.base import Rejection, Row
from trackbridge.adapters.shaping import media_gone, media_unreadable, read_table, told_dropped, unknown_kind
from trackbridge.events.models import (
    AnyEvent,
    ArtifactLogged,
    CheckpointSaved,
    EventsDropped,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    RunResumed,
    UnknownEvent,
)

PREFIX = "trackbridge"
_PICTURES = {".png", ".jpg", ".jpeg", ".gif"}


class RowWriter:
    """Turns the rows of one run into records."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder
        self._records: dict[type, Callable[[int, Any], Iterator[bytes | Rejection]]] = {
            MetricsLogged: _metrics,
            RunResumed: _resumed,
            MediaLogged: self._media,
            ArtifactLogged: _artifact,
            EventsDropped: _dropped,
            RunFinished: _finished,
        }

    def records(self, row: Row) -> Iterator[bytes | Rejection]:
        """The records of a row, and what of it TensorBoard cannot carry."""
        if isinstance(row.event, UnknownEvent):
            yield unknown_kind(row)
        elif row.upload and isinstance(row.event, CheckpointSaved):
            yield Rejection(row.number, "checkpoint_saved", f"step-{row.event.step}", "TensorBoard keeps no files")
        elif make := self._records.get(type(row.event)):
            yield from make(row.number, row.event)

    def _media(self, row: int, event: MediaLogged) -> Iterator[bytes | Rejection]:
        path = self._folder / event.path
        try:
            value = _media_value(event, path.read_bytes(), path.suffix.lower())
        except FileNotFoundError:
            yield media_gone(row, event)
        except (OSError, ValueError, LookupError, TypeError) as error:
            yield media_unreadable(row, event, error)
        else:
            caption = [events.text(f"{event.name}/caption", event.caption)] if event.caption else []
            yield events.record(_seconds(event), event.step, [value, *caption])


def _metrics(row: int, event: MetricsLogged) -> Iterator[bytes]:
    values = [events.scalar(name, value) for name, value in event.metrics.items()]
    if event.epoch is not None and "epoch" not in event.metrics:
        values.append(events.scalar("epoch", event.epoch))
    yield events.record(_seconds(event), event.step, values)


def _resumed(row: int, event: RunResumed) -> Iterator[bytes]:
    if event.from_step is not None:
        yield events.start_record(_seconds(event), event.from_step + 1)


def _artifact(row: int, event: ArtifactLogged) -> Iterator[Rejection]:
    yield Rejection(row, "artifact_logged", event.name, "TensorBoard keeps no files")


def _dropped(row: int, event: EventsDropped) -> Iterator[bytes]:
    yield _remark(event, f"events_dropped/{row}", told_dropped(event))


def _finished(row: int, event: RunFinished) -> Iterator[bytes]:
    if event.traceback:
        yield _remark(event, f"traceback/{row}", as_code(event.traceback))


def _remark(event: AnyEvent, name: str, content: str) -> bytes:
    return events.record(_seconds(event), 0, [events.text(f"{PREFIX}/{name}", content)])


def as_code(content: str) -> str:
    """The text as Markdown that is shown letter by letter."""
    return "\n".join(f"    {line}" for line in content.split("\n"))


def _media_value(event: MediaLogged, content: bytes, suffix: str) -> bytes:
    if event.media == "image":
        if suffix not in _PICTURES:
            raise ValueError(f"TensorBoard shows PNG, JPEG and GIF pictures, not {suffix}")
        # TensorBoard itself never reads the size.
        return events.image(event.name, 0, 0, content)
    if event.media == "text":
        return events.text(event.name, content.decode("utf-8"))
    if event.media == "histogram":
        histogram = json.loads(content)
        # TensorBoard has no place for the count of what is not finite.
        described = content.decode("utf-8")
        return events.histogram(event.name, histogram["edges"], histogram["counts"], description=described)
    if event.media == "table":
        # The Markdown is for people: it does not tell the number 1 from the text "1".
        return events.text(event.name, _markdown_table(*read_table(content)), description=content.decode("utf-8"))
    raise ValueError(f"TensorBoard shows no {event.media} figures")


def _markdown_table(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: Any) -> str:
    shown = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return shown.replace("|", "\\|").replace("\n", "<br>")


def _seconds(event: AnyEvent) -> float:
    return event.t / 1e9
