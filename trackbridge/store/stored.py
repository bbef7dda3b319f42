"""
A record as the index keeps it: small facts decoded for every table, large ones when somebody looks.

A table of a thousand runs shows a few columns of each; decoding every config for it would take most of the time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import msgspec

from trackbridge.store.records import (
    Artifact,
    Checkpoint,
    Media,
    MetricSummary,
    Problem,
    RunRecord,
    RunStatus,
    Seeds,
    Series,
    Session,
)

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in five pieces of bytes: JSON, and MessagePack for the summaries of its metrics."""

    facts: bytes
    config: bytes
    environment: bytes
    summary: bytes
    metrics: bytes


class LazyMapping(Mapping[str, _Value], Generic[_Value]):
    """A read-only mapping that is decoded when it is first looked at."""

    __slots__ = ("_decode", "_decoded", "_encoded")

    def __init__(self, encoded: bytes, decode: Callable[[bytes], dict[str, _Value]]) -> None:
        self._encoded = encoded
        self._decode = decode
        self._decoded: dict[str, _Value] | None = None

    def __getitem__(self, name: str) -> _Value:
        return self._mapping()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping())

    def __len__(self) -> int:
        return len(self._mapping())

    # The mixins of Mapping would look up every key, one by one.
    def items(self) -> ItemsView[str, _Value]:
        return self._mapping().items()

    def values(self) -> ValuesView[_Value]:
        return self._mapping().values()

    def __contains__(self, name: object) -> bool:
        return name in self._mapping()

    def __repr__(self) -> str:
        return repr(self._mapping())

    def _mapping(self) -> dict[str, _Value]:
        if self._decoded is None:
            self._decoded = self._decode(self._encoded)
        return self._decoded


class _Facts(msgspec.Struct, array_like=True, frozen=True):
    """What is decoded for every record."""

    run_id: str
    project: str
    name: str
    status: RunStatus
    group: str | None
    tags: tuple[str, ...]
    notes: str | None
    started_ns: int
    ended_ns: int | None
    last_seen_ns: int
    seeds: Seeds
    sessions: tuple[Session, ...]
    checkpoints: tuple[Checkpoint, ...]
    media: tuple[Media, ...]
    artifacts: tuple[Artifact, ...]
    problems: tuple[Problem, ...]
    unknown_kinds: dict[str, int]
    dropped: dict[str, int]
    n_superseded: int


_facts_decoder = msgspec.json.Decoder(_Facts, strict=False)
_metrics_decoder = msgspec.msgpack.Decoder(dict[str, MetricSummary])


def to_stored(record: RunRecord) -> StoredRecord:
    """The record as bytes, without its points, and without its path: a root can be mounted elsewhere."""
    values = {name: getattr(record, name) for name in _Facts.__struct_fields__}
    # JSON has no word for NaN, and MessagePack no integers above 64 bits: scores are spelled as in the journal.
    values["checkpoints"] = [replace(one, metrics=_spelled(one.metrics)) for one in record.checkpoints]
    return StoredRecord(
        facts=msgspec.json.encode(_Facts(**values)),
        config=_free_json(record.config),
        environment=_free_json(record.environment),
        summary=_free_json(record.summary),
        metrics=msgspec.msgpack.encode(record.metrics),
    )


def from_stored(stored: StoredRecord, path: str, load_series: Callable[[str], Series]) -> RunRecord:
    """The record again; its config, environment, summary and metrics are decoded when first looked at."""
    facts = _facts_decoder.decode(stored.facts)
    return RunRecord(
        path=path,
        config=LazyMapping(stored.config, _from_free_json),
        environment=LazyMapping(stored.environment, _from_free_json),
        summary=LazyMapping(stored.summary, _from_free_json),
        metrics=LazyMapping(stored.metrics, _metrics_decoder.decode),
        load_series=load_series,
        **msgspec.structs.asdict(facts),
    )


def _spelled(metrics: Mapping[str, float]) -> dict[str, Any]:
    return {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}


def _free_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _from_free_json(encoded: bytes) -> dict[str, Any]:
    # The standard library writes and reads NaN and infinities; msgspec does not, but is twice as fast.
    try:
        decoded = msgspec.json.decode(encoded)
    except msgspec.DecodeError:
        decoded = json.loads(encoded)
    return cast(dict[str, Any], decoded)
