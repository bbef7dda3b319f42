"""The loudest note of all: runs of one comparison did not read the same data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from trackbridge.comparison.keys import data_digests
from trackbridge.comparison.note import MAX_NAMED, Note, named_runs
from trackbridge.store.records import RunRecord

SHORT_DIGEST = 8

_WORDS = r"(?:^|[^a-z]){}(?:[^a-z]|$)"
_EVALUATION = re.compile(_WORDS.format("(?:eval|evaluation|dev|val|valid|validation|test|holdout)"), re.IGNORECASE)
_TRAINING = re.compile(_WORDS.format("(?:train|training|texts?|unlabell?ed|weights|labels)"), re.IGNORECASE)


def notes_on_data(runs: Sequence[RunRecord], names: Sequence[str]) -> Iterator[Note]:
    """A warning for each data set of which the runs' digests differ, sets that are evaluated on first.

    Args:
        runs: the runs laid side by side.
        names: theirs, made unique.
    """
    name_of = {run.run_id: name for run, name in zip(runs, names, strict=True)}
    digests = {run.run_id: data_digests(run) for run in runs}
    found = {data_name for one in digests.values() for data_name in one}
    for data_name in sorted(found, key=lambda data_name: (not _is_evaluated_on(data_name), data_name)):
        holders: dict[str, list[str]] = {}
        for run_id, one in digests.items():
            if data_name in one:
                holders.setdefault(one[data_name], []).append(run_id)
        if len(holders) > 1:
            ids = tuple(run_id for members in holders.values() for run_id in members)
            yield Note("data_differs", "warning", _sentence(data_name, holders, name_of), ids)


def _sentence(data_name: str, holders: Mapping[str, Sequence[str]], name_of: Mapping[str, str]) -> str:
    usual = max(holders, key=lambda digest: len(holders[digest]))
    told = [f"{digest[:SHORT_DIGEST]} in {named_runs(ids, name_of)}" for digest, ids in holders.items()]
    # Those that are alike need no names: the others are the ones to look at.
    most = f"{usual[:SHORT_DIGEST]} in the other {len(holders[usual])} runs"
    kinds = [one for digest, one in zip(holders, told, strict=True) if digest != usual]
    kinds = [*kinds, most] if len(holders[usual]) > MAX_NAMED else told
    more = [f"and {len(kinds) - MAX_NAMED} more"] if len(kinds) > MAX_NAMED else []
    shown = "; ".join([*kinds[:MAX_NAMED], *more])
    return f"the data differ: {data_name!r} has {len(holders)} contents ({shown}){_consequence(data_name)}"


def _is_evaluated_on(data_name: str) -> bool:
    # The data of the runs that a run builds on are named after what it took from them: no score here is from those.
    return bool(_EVALUATION.search(data_name)) and "." not in data_name


def _consequence(data_name: str) -> str:
    if _is_evaluated_on(data_name):
        return "; scores on it are of different examples, so no verdict on them can be trusted"
    if _TRAINING.search(data_name):
        return "; what tells these runs apart may be what they learned from"
    return "; if scores are from it, they are of different examples, and no verdict on them can be trusted"
