"""What has to be known of a Comet experiment before its messages are told: its key, its labels, when it ran."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from trackbridge.sources.base import SourceFile, SourceProblem
from trackbridge.sources.comet_messages import Message, read_json, read_messages, time_ns

MESSAGES, EXPERIMENT, OUR_EVENTS = "messages.json", "experiment.json", "trackbridge-events.jsonl"
# Comet's keys are letters and digits, 32 to 50 of them; a continued experiment's archive has six more behind them.
_ARCHIVE_OF = re.compile(r"([A-Za-z0-9]{32,50})(-[A-Za-z0-9]{6})?")
UNTITLED = "general"


@dataclass(frozen=True, slots=True)
class Head:
    """An experiment, or the stretch of one that an archive holds.

    Attributes:
        place: what its problems are told of: the file of its messages, or its address.
        messages: reads them.
        members: its files, by what messages call them.
        others: Comet's "other" values, the last of each.
        experiment: Comet's fields of it as a whole.
        has_ended: false where Comet's own end never came.
    """

    place: str
    messages: Callable[[], Iterator[Message | SourceProblem]]
    members: Mapping[str, SourceFile]
    key: str
    project: str
    name: str
    started_ns: int
    others: Mapping[str, Any]
    experiment: Mapping[str, Any] = field(default_factory=dict)
    has_ended: bool = False

    @property
    def is_ours(self) -> bool:
        """True when trackbridge's own adapter wrote it."""
        return OUR_EVENTS in self.members and "trackbridge_rows" in self.experiment


def read_head(place: Path, members: Mapping[str, SourceFile]) -> Head | SourceProblem:
    """The head of an archive or of a leftover folder; why there is none.

    Raises:
        SourceRefused: it was made to do harm.
    """
    if MESSAGES not in members:
        told = "holds nothing" if not members else f"holds no {MESSAGES}"
        way_out = (
            "a killed run leaves such an archive, and its data in a folder below the temporary folder: import that"
        )
        return SourceProblem(place.name, "", f"{told}: {way_out}")
    experiment = _experiment(members)
    others = {
        str(message.payload.get("key")): message.payload.get("value")
        for message in read_messages(members[MESSAGES], only=b'"log_other"')
        if isinstance(message, Message)
    }
    started_ns = time_ns(experiment.get("start_time")) or _first_time(members[MESSAGES])
    key = str(experiment.get("offline_id") or "") or _key_of(place, members[MESSAGES])
    if not key:
        return SourceProblem(place.name, "", "tells of no run: it was cut off before the first message with a time")
    return Head(
        place=members[MESSAGES].name,
        messages=partial(read_messages, members[MESSAGES]),
        members=members,
        key=key,
        project=str(experiment.get("project_name") or UNTITLED),
        name=str(others.get("Name") or key),
        started_ns=started_ns,
        others=others,
        experiment=experiment,
        has_ended=bool(experiment),
    )


def _experiment(members: Mapping[str, SourceFile]) -> dict[str, Any]:
    try:
        told = read_json(members[EXPERIMENT])
    except (KeyError, ValueError, OSError):
        return {}
    return told if isinstance(told, dict) else {}


def _first_time(messages: SourceFile) -> int:
    timed = (one.t for one in read_messages(messages, only=b'"local_timestamp"') if isinstance(one, Message))
    return next(timed, 0)


def _key_of(place: Path, messages: SourceFile) -> str:
    """The key that an archive's name tells; else a digest of how the messages begin, up to the first with a time."""
    if match := _ARCHIVE_OF.fullmatch(place.stem):
        return match[1]
    digest = hashlib.sha256()
    for one in read_messages(messages):
        if isinstance(one, Message):
            digest.update(repr((one.type, sorted(one.payload.items(), key=str))).encode("utf-8", "backslashreplace"))
            if one.t:
                return f"leftover-{digest.hexdigest()[:24]}"
    return ""
