"""What trackbridge's own W&B adapter delivered, back as it was: scopes, seeds, environment, steps, epochs, captions."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, cast, get_args

from trackbridge.events.models import (
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunResumed,
    SeedsLogged,
    Status,
)
from trackbridge.sources.base import UNKNOWN_NS, Fact, SourceFile, SourceMedia
from trackbridge.sources.json_values import parsed
from trackbridge.sources.wandb_file import read_records
from trackbridge.sources.wandb_history import Row
from trackbridge.sources.wandb_records import ArtifactTold, Item, Kind, changes, kind_and_message

MARK = "trackbridge"
STEP, EPOCH, SYSTEM_STEP = "trainer/step", "trainer/epoch", "system/seconds"
_SEEDS = ("init", "data", "dropout", "all")
_TEXT = re.compile(r"<pre style='white-space: pre-wrap'>(.*)</pre>\s*", re.DOTALL)
_SVG = re.compile(r"\s*(<\?xml.{0,2000}?)?<svg", re.DOTALL)
_MAX_HTML_BYTES = 1 << 26
_MOST_DIGITS = 20


def is_ours(config: Mapping[str, Any]) -> bool:
    """True when the config has the mark that the adapter leaves."""
    mark = config.get(MARK)
    return isinstance(mark, dict) and isinstance(mark.get("run_id"), str)


def started_ns(config: Mapping[str, Any]) -> int:
    """When the run itself began: W&B's own time is that of the delivery. Unknown where the adapter did not know."""
    try:
        told = datetime.fromisoformat(str(config[MARK].get("started_at")))
    except ValueError:
        return UNKNOWN_NS
    # A float of seconds since 1970 is good for a quarter of a microsecond.
    return round(told.timestamp() * 1e6) * 1000


def config_facts(t: int, config: Mapping[str, Any]) -> Iterator[Fact]:
    """The scopes of the config as they were logged, the seeds and the environment."""
    for scope, value in config.items():
        if scope == MARK or not isinstance(value, dict):
            continue
        if scope == "seeds":
            seeds = {name: seed for name, seed in value.items() if name in _SEEDS and isinstance(seed, int)}
            yield SeedsLogged(seq=0, t=t, **seeds)
        elif scope == "environment":
            yield EnvironmentCaptured(seq=0, t=t, environment=value)
        else:
            yield ConfigLogged(seq=0, t=t, scope=scope, config=value)


def resumed(t: int, updates: Iterable[Item]) -> RunResumed | None:
    """That a later session began, where a record of summary tells it; at `t` where that does not say when."""
    told = {path[-1]: value for path, value in updates if path and is_internal(path[-1])}
    if f"{MARK}/resumed_from_step" not in told:
        return None
    from_step, started = told[f"{MARK}/resumed_from_step"], _nanoseconds(told.get(f"{MARK}/resumed_at_ns"))
    known_step = from_step if isinstance(from_step, int) else None
    return RunResumed(seq=0, t=t if started is None else started, from_step=known_step)


def _nanoseconds(told: Any) -> int | None:
    """A time that the adapter wrote as text."""
    text = str(told)
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else None


def count_resumed(path: Path) -> int:
    """How many later sessions a file holds: the adapter delivers all of a run into one."""
    mark = f"{MARK}/resumed_from_step".encode()
    count = 0
    for record in read_records(path):
        if isinstance(record, bytes) and mark in record:
            try:
                kind, message = kind_and_message(record)
                count += kind == Kind.SUMMARY and resumed(0, changes(message).updates) is not None
            except ValueError:
                continue
    return count


def take_columns(row: Row) -> float | None:
    """Take the columns of a row out that carry its step; its epoch, where it has one.

    `row.number` becomes the step, so that the rest of the row belongs to it. `row.t` of what had no time is that of the
    delivery, and is taken back.
    """
    if row.numbers.pop(f"{MARK}/untimed", None) is not None:
        row.t = UNKNOWN_NS
    step = row.numbers.pop(STEP, None)
    system_step = row.numbers.pop(SYSTEM_STEP, None)
    own = step if step is not None else system_step
    if own is not None and own == own // 1:
        row.number = int(own)
    return row.numbers.pop(EPOCH, None)


def take_captions(row: Row) -> dict[str, str]:
    """Take the captions out that stand in columns beside media, and the count beside a histogram; captions by name."""
    captions = {}
    for name, value in list(row.others.items()):
        beside = row.others.get(f"{name}/caption")
        if isinstance(beside, str) and isinstance(value, dict):
            captions[name] = row.others.pop(f"{name}/caption")
        count = row.numbers.get(f"{name}/n_nonfinite")
        if count is not None and isinstance(value, dict) and value.get("_type") == "histogram":
            value["n_nonfinite"] = int(row.numbers.pop(f"{name}/n_nonfinite"))
    return captions


def restored_text(fact: SourceMedia) -> SourceMedia:
    """A text that was delivered as HTML as the text it was, an SVG as the picture it was; others as they are."""
    if fact.media != "text" or not fact.file.name.endswith(".html"):
        return fact
    with fact.file.open() as file:
        content = file.read(_MAX_HTML_BYTES).decode("utf-8", "replace")
    if match := _TEXT.fullmatch(content):
        text = SourceFile.of(fact.file.name, html.unescape(match[1]).encode("utf-8"))
        return replace(fact, file=text)
    return replace(fact, media="image", suffix="svg") if _SVG.match(content) else fact


def finished(t: int, summary: Mapping[str, Any], exit_code: int) -> RunFinished | None:
    """The end as the summary tells it; None for one that was lost, of which nobody knows."""
    told_status, code = summary.get(f"{MARK}/status"), summary.get(f"{MARK}/exit_code")
    if told_status == "lost":
        return None
    status: Status = "failed" if exit_code else "finished"
    if told_status in get_args(Status):
        status = cast(Status, told_status)
    else:
        code = exit_code
    why = {name: summary.get(f"{MARK}/{name}") for name in ("error", "traceback")}
    texts = {name: text for name, text in why.items() if isinstance(text, str)}
    ended = _nanoseconds(summary.get(f"{MARK}/ended_at_ns"))
    return RunFinished(
        seq=0,
        t=t if ended is None else ended,
        status=status,
        exit_code=code if isinstance(code, int) else None,
        **texts,
    )


def checkpoints(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the adapter told of each checkpoint, by `step-<step>`."""
    mark = config.get(MARK)
    told = mark.get("checkpoints") if isinstance(mark, dict) else None
    return {key: facts for key, facts in told.items() if isinstance(facts, dict)} if isinstance(told, dict) else {}


def checkpoint_facts(t: int, key: str, facts: Mapping[str, Any]) -> Iterator[Fact]:
    """That a checkpoint was saved, and that it was deleted; nothing where what is told of it makes no sense."""
    try:
        step, path = int(key.removeprefix("step-")), str(facts["path"])
        metrics = {str(name): float(value) for name, value in facts.get("metrics", {}).items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        return
    if "metrics" in facts:
        size_bytes = facts.get("size_bytes")
        known_bytes = size_bytes if isinstance(size_bytes, int) else None
        yield CheckpointSaved(seq=0, t=t, step=step, path=path, metrics=metrics, size_bytes=known_bytes)
    if facts.get("is_deleted") is True:
        yield CheckpointDeleted(seq=0, t=t, step=step, path=path)


def uploaded_checkpoint(t: int, told: ArtifactTold) -> CheckpointSaved | None:
    """The checkpoint that an artifact was made from, of runs delivered before checkpoints were told of; else None."""
    try:
        metadata = parsed(told.metadata or "{}")
        step, metrics = metadata["step"], metadata["metrics"]
        if not told.name.startswith("checkpoint-") or not isinstance(step, int):
            return None
        scores = {str(name): float(value) for name, value in metrics.items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    paths = [PurePath(file.local_path) for file in told.files if file.local_path]
    folder = paths[0].parent if paths else PurePath(told.name)
    return CheckpointSaved(seq=0, t=t, step=step, path=str(folder), metrics=scores)


def file_of(told: ArtifactTold, name: str) -> str:
    """What an artifact's file is called: the artifact's own name where it is the only one, as it was logged."""
    try:
        # W&B takes fewer characters in a name.
        logged = str(parsed(told.metadata or "{}")["name"])
    except (ValueError, TypeError, LookupError):
        logged = told.name
    return logged if len(told.files) == 1 else f"{logged}/{name}"


def is_internal(key: str) -> bool:
    """True for a key of the summary that the adapter wrote for itself."""
    return key.startswith(f"{MARK}/")
