"""Any event of any kind, made from the structs themselves, and journals of them written by the real writer."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from hypothesis import strategies as st

from trackbridge.events.models import (
    FORMAT_VERSION,
    AnyEvent,
    Int64,
    Integrity,
    JsonObject,
    KnownEvent,
    MetricsLogged,
    WriterOpened,
)
from trackbridge.journal.writer import JournalWriter

KINDS = KnownEvent.__args__
# A writer writes these two by itself; one made up would be a checksum that does not fit.
LOGGED_KINDS = tuple(kind for kind in KINDS if kind not in (WriterOpened, Integrity))
IDENTITY = {"v": FORMAT_VERSION, "run_id": "0" * 32}

Entry = tuple[type[KnownEvent], dict[str, Any]]

texts = st.text(max_size=12)
keys = st.one_of(texts, st.sampled_from(["$float", "$", "$$float", "kind", "crc32", "seq", "a/b", "é", "\u2028"]))
int64s = st.integers(-(2**63), 2**63 - 1)
big_ints = st.one_of(st.integers(), st.integers(-(10**400), 10**400))
leaves = st.one_of(st.none(), st.booleans(), big_ints, st.floats(), texts)


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    looks_escaped = st.builds(lambda key, value: {key: value}, st.sampled_from(["$float", "$$float", "$x"]), children)
    # An object that begins like a line of the journal must not be taken for one.
    looks_like_event = st.builds(lambda value: {"kind": "heartbeat", "seq": 1, "t": 2, "x": value}, children)
    plain = st.dictionaries(keys, children, max_size=3)
    return st.one_of(st.lists(children, max_size=3), plain, looks_escaped, looks_like_event)


def nested(levels: int, leaf: Any) -> Any:
    """A leaf under so many lists and objects."""
    for level in range(levels):
        leaf = {"level": leaf} if level % 2 else [leaf, level]
    return leaf


json_values = st.one_of(st.recursive(leaves, _containers, max_leaves=8), st.builds(nested, st.integers(55, 65), leaves))
json_objects = st.dictionaries(keys, json_values, max_size=4)


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, as the structs declare it."""
    if hint == Int64:
        return int64s
    if hint == JsonObject:
        return json_objects
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, UnionType):
        return st.one_of(*map(of_type, arguments))
    if origin is list:
        return st.lists(of_type(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(keys, of_type(arguments[1]), max_size=4)
    return {int: big_ints, float: st.floats(), str: texts, NoneType: st.none()}[hint]


def fields_of(kind: type[KnownEvent]) -> st.SearchStrategy[dict[str, Any]]:
    """Every field of a kind but `seq` and `t`, which the writer sets."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [name for name in kind.__struct_fields__ if name not in ("seq", "t")]
    # No process starts at a time that is no number.
    special = {"pid_started": st.none() | st.floats(allow_nan=False, allow_infinity=False)}
    return st.fixed_dictionaries({name: special[name] if name in special else of_type(hints[name]) for name in names})


def events_of(kinds: Iterable[type[KnownEvent]]) -> st.SearchStrategy[KnownEvent]:
    """Events with any `seq` and `t`."""
    return st.one_of(
        *(
            st.builds(lambda seq, t, fields, kind=kind: kind(seq=seq, t=t, **fields), int64s, int64s, fields_of(kind))
            for kind in kinds
        )
    )


entries = st.one_of(*(st.tuples(st.just(kind), fields_of(kind)) for kind in LOGGED_KINDS))


def write_journal(folder: Path, written: Iterable[Entry], *, syncs_after: int = 0) -> Path:
    """A closed journal of these entries; with an integrity line in the middle, after so many, where asked."""
    writer = JournalWriter(folder, IDENTITY)
    for number, (kind, fields) in enumerate(written, start=1):
        if kind is MetricsLogged and all(map(math.isfinite, (fields["epoch"] or 0.0, *fields["metrics"].values()))):
            assert writer.append_finite(fields["step"], fields["metrics"], fields["epoch"])
        else:
            assert writer.append(kind, **fields)
        if number == syncs_after:
            writer.sync()
    writer.close()
    return writer.path


def told(events: Iterable[AnyEvent]) -> list[str]:
    """Events as text: NaN equals NaN in it, 1 differs from 1.0 and from True, and the order of keys counts."""
    return [repr(event) for event in events]
