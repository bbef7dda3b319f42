"""
What became of a run on its way through another tracker: two runs compared field by field, as their journals tell them.

    before = tb.open_store("runs").run("baseline")
    after = tb.open_store("back").run("baseline")  # delivered to a tracker, and imported from its files
    for field, crossing in cross(before, after).items():
        print(field, crossing.fate, *crossing.differences)
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from trackbridge.events.models import MetricsLogged
from trackbridge.journal.codec import decode_json
from trackbridge.journal.console import console_text
from trackbridge.sources.base import UNKNOWN_NS
from trackbridge.store.records import Checkpoint, RunRecord
from trackbridge.testing.written import events_of

TIME_TOLERANCE_NS = 1_000_000
"""Times up to a millisecond apart are the same: few trackers keep more."""

Fate: TypeAlias = Literal["kept", "changed", "lost in part", "lost", "-"]
"""`changed`: everything is there, some of it in other words, or something came to be. `-`: there was nothing."""

Parts: TypeAlias = dict[Hashable, Any]
"""What a field consists of, by what identifies it."""

_MEDIA = {"images": "image", "tables": "table", "histograms": "histogram", "texts": "text", "plotly": "plotly"}
_TIMES = ("times", "start and end")
_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Crossing:
    """What became of one field; each difference is a sentence about one part of it."""

    fate: Fate
    differences: tuple[str, ...] = ()


def cross(before: RunRecord, after: RunRecord) -> dict[str, Crossing]:
    """What became of every field of a run, by the field's name; the folders of both runs are read.

    What an import adds of its own, a config scope with the source's name and `import` in the environment, is no
    difference.

    Raises:
        AssertionError: a journal is damaged.
    """
    first, second = _fields(before), _fields(after)
    source = after.environment.get("import", {}).get("source")
    own = [key for key in second["config"] if isinstance(key, tuple) and key[0] == source]
    for key in own:
        if key not in first["config"]:
            del second["config"][key]
    for name in _TIMES:
        second[name] = {key: _as_known(t, first[name].get(key)) for key, t in second[name].items()}
    return {name: _crossing(parts, second[name]) for name, parts in first.items()}


def _crossing(before: Parts, after: Parts) -> Crossing:
    lost = [f"{_named(key)}: {_shown(value)} is gone" for key, value in before.items() if key not in after]
    # Compared as text: 1 is not 1.0, and NaN is equal to nothing.
    changed = [
        f"{_named(key)}: {_shown(value)} became {_shown(after[key])}"
        for key, value in before.items()
        if key in after and repr(after[key]) != repr(value)
    ]
    added = [f"{_named(key)}: {_shown(value)} came to be" for key, value in after.items() if key not in before]
    differences = (*lost, *changed, *added)
    if not differences:
        return Crossing("kept" if before else "-")
    if lost:
        return Crossing("lost" if len(lost) == len(before) else "lost in part", differences)
    return Crossing("changed", differences)


def _fields(run: RunRecord) -> dict[str, Parts]:
    """The parts of every field of a run."""
    environment = {name: part for name, part in run.environment.items() if name != "import"}
    last = run.sessions[-1]
    return {
        **_curves(events_of(Path(run.path), MetricsLogged)),
        "config": _leaves(run.config),
        "seeds": _known({name: getattr(run.seeds, name) for name in ("init", "data", "dropout", "all")}),
        "environment": _leaves(environment),
        "name and project": {"name": run.name, "project": run.project},
        "tags": dict.fromkeys(run.tags, "a tag"),
        "group": _known({"group": run.group}),
        "notes": _known({"notes": run.notes}),
        "summary": _leaves(run.summary),
        **_media(run),
        "files": {one.name: (one.type, one.size_bytes, one.sha256) for one in run.artifacts},
        "checkpoints": {_checkpoint_key(one): (dict(one.metrics), one.size_bytes) for one in run.checkpoints},
        "console": _known({"console": console_text(Path(run.path)) or None}),
        "status and exit code": _known({"status": last.status, "exit code": last.exit_code}),
        "error and traceback": _known({"error": last.error, "traceback": last.traceback}),
        "start and end": _known({"start": run.started_ns or None, "end": run.ended_ns or None}),
        "resumes": {("session", number): one.from_step for number, one in enumerate(run.sessions) if number},
    }


def _curves(events: Iterable[MetricsLogged]) -> dict[str, Parts]:
    """Every point that was logged, superseded ones too, by metric, step, and how often that step came before."""
    names = ("points", "NaN and infinities", "steps", "times", "epochs", "system metrics")
    fields: dict[str, Parts] = {name: {} for name in names}
    counts: Counter[tuple[str, int]] = Counter()
    for event in events:
        for metric, value in event.metrics.items():
            key = (metric, event.step, counts[metric, event.step])
            counts[metric, event.step] += 1
            if metric.startswith("system/"):
                fields["system metrics"][key] = value
                continue
            fields["points" if math.isfinite(value) else "NaN and infinities"][key] = value
            insort(fields["steps"].setdefault(metric, []), event.step)
            if event.t != UNKNOWN_NS:
                fields["times"][key] = event.t
            if event.epoch is not None:
                fields["epochs"][key] = event.epoch
    return fields


def _media(run: RunRecord) -> dict[str, Parts]:
    """Media by kind with their content, and their captions; those that a resume superseded, too."""
    fields: dict[str, Parts] = {title: {} for title in (*_MEDIA, "captions")}
    titles = {kind: title for title, kind in _MEDIA.items()}
    for one in run.media:
        key = (one.media, one.name, one.step, "superseded" if one.superseded else "counts")
        fields[titles[one.media]][key] = _content(Path(run.path) / one.path)
        if one.caption is not None:
            fields["captions"][key] = one.caption
    return fields


def _checkpoint_key(one: Checkpoint) -> tuple[object, ...]:
    states = {"deleted": one.deleted, "superseded": one.superseded}
    return (one.step, one.path, *(state for state, holds in states.items() if holds))


def _content(path: Path) -> Any:
    content = path.read_bytes()
    return decode_json(content) if path.suffix == ".json" else content


def _leaves(nested: Mapping[str, Any], path: tuple[str, ...] = ()) -> Parts:
    """The values in nested objects by their paths; an empty object is a value."""
    found: Parts = {}
    for name, value in nested.items():
        key = (*path, name)
        if isinstance(value, Mapping) and value:
            found |= _leaves(value, key)
        else:
            found[key] = value
    return found


def _known(parts: Mapping[str, Any]) -> Parts:
    return {name: value for name, value in parts.items() if value is not None}


def _as_known(t: int, known: int | None) -> int:
    """The known time, where another is the same but for its precision."""
    return t if known is None or abs(t - known) > TIME_TOLERANCE_NS else known


def _named(key: Hashable) -> str:
    return " / ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
