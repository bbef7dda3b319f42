"""
Replicate groups: runs that differ in nothing but seeds and volatile keys, found without naming any key.

Everyone asks trackers to "group by everything except the seed" (wandb#2680, aim#334); a tracker that makes
the user list the keys gets it wrong as soon as one is forgotten.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackbridge.comparison.canonical import MISSING, Path, dotted, flatten, untyped
from trackbridge.comparison.keys import causes
from trackbridge.errors import MisuseError, NotFoundError, nearest
from trackbridge.store.records import RunRecord, Seeds

MAX_LABEL_PARTS = 3
MAX_VALUE_CHARS = 24

# The scopes a person writes; the others (training arguments, model config) mostly follow from these.
_WRITTEN_SCOPES = ("pipeline", "script")
_SEED_WORDS = frozenset(("init", "data", "dropout", "seed", "all", "run"))


@dataclass(frozen=True, slots=True)
class ReplicateGroup:
    """Runs that are replicates of each other.

    `key` is a digest of what they share; `label` is the name a study gave them, else what sets the group apart from
    the others beside it; `settings` has the keys and values that do, all of them. `differing` names config keys in
    which its runs differ all the same, because the user named the keys to group by: then they are no replicates.
    """

    key: str
    label: str
    runs: tuple[RunRecord, ...]
    settings: Mapping[str, Any]
    differing: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[Seeds, ...]:
        """The seeds of each run, in the runs' order."""
        return tuple(run.seeds for run in self.runs)


def replicate_groups(runs: Sequence[RunRecord]) -> tuple[ReplicateGroup, ...]:
    """The runs sorted into groups of replicates, in order of first appearance.

    Values that differ in type alone (`1` and `1.0`) do not split a group; the diff still shows them.
    """
    members: dict[str, list[RunRecord]] = {}
    config_of: dict[str, dict[Path, Any]] = {}
    digests: dict[Hashable, str] = {}
    for run in runs:
        config = causes(run)
        written = _as_written(config)
        # A digest is slow to make, and replicates mostly have the same config to the letter.
        key = digests.get(written) or digests.setdefault(written, _digest(config))
        members.setdefault(key, []).append(run)
        config_of.setdefault(key, config)
    keys = list(members)
    settings = _settings([config_of[key] for key in keys])
    labels = _labels(keys, settings, _given_names(list(members.values())), fallback=_shared_name(runs))
    return tuple(
        ReplicateGroup(key, label, tuple(members[key]), one)
        for key, label, one in zip(keys, labels, settings, strict=True)
    )


def groups_by(runs: Sequence[RunRecord], keys: Sequence[str]) -> tuple[ReplicateGroup, ...]:
    """The runs sorted by the values of some config keys alone, whatever else differs between them.

    Args:
        runs: the runs to sort.
        keys: full paths such as `training_arguments.learning_rate`, or their ends, such as `learning_rate`.

    Raises:
        NotFoundError: none of the runs has such a key.
        MisuseError: several keys end so.
    """
    configs = [flatten(run.config) for run in runs]
    known = {dotted(path): path for config in configs for path in config}
    chosen = {_key_named(key, known): key for key in keys}
    members: dict[tuple[Hashable, ...], list[RunRecord]] = {}
    values: dict[tuple[Hashable, ...], dict[str, Any]] = {}
    for run, config in zip(runs, configs, strict=True):
        one = {key: config.get(path, MISSING) for path, key in chosen.items()}
        mark = tuple(_comparable(value) for value in one.values())
        members.setdefault(mark, []).append(run)
        values.setdefault(mark, one)
    return tuple(
        ReplicateGroup(
            key=_digest({(key,): value for key, value in one.items()}),
            label=_label(one),
            runs=tuple(members[mark]),
            settings=one,
            differing=tuple(key for part in replicate_groups(members[mark])[:1] for key in part.settings),
        )
        for mark, one in values.items()
    )


def _key_named(key: str, known: Mapping[str, Path]) -> Path:
    if key in known:
        return known[key]
    ending = {name: path for name, path in known.items() if name.endswith(f".{key}")}
    if len(ending) > 1:
        raise MisuseError(f"several config keys end in {key!r}: name one of {', '.join(sorted(ending))}")
    if not ending:
        raise NotFoundError(f"none of the runs has a config key {key!r}{nearest(key, known)}")
    return next(iter(ending.values()))


def seeds_text(seeds: Seeds) -> str:
    """The seeds in words, such as `dropout 3` or `init 1, data 2`; empty when none was recorded."""
    named = {name: getattr(seeds, name) for name in ("all", "init", "data", "dropout")}
    return ", ".join(f"{name} {number}" for name, number in named.items() if number is not None)


def short_value(value: Any) -> str:
    """A config value as a person would write it, at most 24 characters long."""
    text = value if isinstance(value, str) and value else "null" if value is None else repr(value)
    if isinstance(value, float) and len(text) > 8:
        # Arithmetic leaves values such as 6.000000000000001e-05, of which nobody wants to read the end.
        text = f"{value:.6g}"
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"


def _as_written(config: Mapping[Path, Any]) -> Hashable:
    """Equal only for configs of the same keys, values and types."""
    return tuple(
        (path, type(value), value if isinstance(value, (str, int, float)) or value is None else repr(value))
        for path, value in config.items()
    )


def _digest(config: Mapping[Path, Any]) -> str:
    leaves = sorted((path, repr(untyped(value))) for path, value in config.items())
    return hashlib.blake2b(repr(leaves).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def _settings(configs: Sequence[Mapping[Path, Any]]) -> list[dict[str, Any]]:
    """Per group, the keys and values that set the groups apart, named as shortly as is unambiguous."""
    columns: dict[Path, tuple[Any, ...]] = {}
    for path in dict.fromkeys(path for config in configs for path in config):
        values = tuple(config.get(path, MISSING) for config in configs)
        if len({_comparable(value) for value in values}) > 1:
            columns[path] = values
    columns = _without_echoes(_written(columns, len(configs)))
    names = _short_names(list(columns))
    return [{names[path]: values[index] for path, values in columns.items()} for index in range(len(configs))]


def _written(columns: Mapping[Path, tuple[Any, ...]], n_groups: int) -> dict[Path, tuple[Any, ...]]:
    for scope in _WRITTEN_SCOPES:
        within = {path: values for path, values in columns.items() if path[0] == scope}
        rows = {tuple(_comparable(values[index]) for values in within.values()) for index in range(n_groups)}
        if within and len(rows) == n_groups:
            return within
    return dict(columns)


def _without_echoes(columns: Mapping[Path, tuple[Any, ...]]) -> dict[Path, tuple[Any, ...]]:
    """One key for each column of values: a learning rate recorded in two scopes is told once."""
    first: dict[Hashable, Path] = {}
    for path, values in columns.items():
        first.setdefault(tuple(_comparable(value) for value in values), path)
    return {path: columns[path] for path in first.values()}


def _short_names(paths: Sequence[Path]) -> dict[Path, str]:
    names: dict[Path, str] = {}
    for path in paths:
        # A key alone (`lr`) may hide where it sits, so its parent stays unless that is the scope.
        depth = min(2, max(1, len(path) - 1))
        while depth < len(path) and any(other[-depth:] == path[-depth:] for other in paths if other != path):
            depth += 1
        names[path] = dotted(path[-depth:])
    return names


def _given_names(groups: Sequence[Sequence[RunRecord]]) -> list[tuple[str, str]]:
    """Per group what a study calls its variant, and what its runs' names have in common; "" where that tells nothing.

    A name tells nothing that another group beside it has, too.
    """
    variants = [{_variant_name(run) for run in runs} - {""} for runs in groups]
    told = [one for names in variants for one in names]
    # Where a name has two settings or a setting two names, none of them is to be trusted.
    are_telling = len(set(told)) == sum(map(bool, variants)) == len(told) and len(groups) > 1
    names = [_shared_words([run.name for run in runs]) for runs in groups]
    uses = Counter(names)
    return [
        (next(iter(variant), "") if are_telling else "", name if uses[name] == 1 else "")
        for variant, name in zip(variants, names, strict=True)
    ]


def _variant_name(run: RunRecord) -> str:
    name = run.config.get("study", {}).get("variant")
    return name if isinstance(name, str) else ""


def _shared_words(names: Sequence[str]) -> str:
    """The words with which all names begin, without the seeds that may follow."""
    words = [words[0] for words in zip(*(name.split() for name in names), strict=False) if len(set(words)) == 1]
    while words and words[-1] in _SEED_WORDS:
        words.pop()
    return " ".join(words)


def _labels(
    keys: Sequence[str],
    settings: Sequence[Mapping[str, Any]],
    given: Sequence[tuple[str, str]],
    *,
    fallback: str,
) -> list[str]:
    """A variant's name; else the settings where these are few; else what the names of the runs share."""
    labels = [
        variant or (name if len(one) > MAX_LABEL_PARTS and name else _label(one)) or fallback
        for one, (variant, name) in zip(settings, given, strict=True)
    ]
    uses = Counter(labels)
    return [f"{label} [{key[:4]}]" if uses[label] > 1 else label for key, label in zip(keys, labels, strict=True)]


def _label(settings: Mapping[str, Any]) -> str:
    parts = [f"{name}={short_value(value)}" for name, value in settings.items() if value is not MISSING]
    parts += [f"no {name}" for name, value in settings.items() if value is MISSING]
    more = f" and {len(parts) - MAX_LABEL_PARTS} more" if len(parts) > MAX_LABEL_PARTS else ""
    return ", ".join(parts[:MAX_LABEL_PARTS]) + more


def _shared_name(runs: Sequence[RunRecord]) -> str:
    studies = {run.group for run in runs}
    projects = {run.project for run in runs}
    return next(iter(studies)) or "all runs" if len(studies) == 1 else "/".join(sorted(projects)[:2]) or "all runs"


def _comparable(value: Any) -> Hashable:
    return MISSING if value is MISSING else untyped(value)
