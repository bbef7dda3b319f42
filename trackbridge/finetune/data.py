"""The examples of a training and its eval sets, from files, the hub or the built-in grammar, and their fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trackbridge.errors import DataError
from trackbridge.finetune.blocks.data import BuiltinData, HubData, LocalData
from trackbridge.finetune.grammar import sentences
from trackbridge.finetune.hub import load_split
from trackbridge.finetune.rows import Row, read_table
from trackbridge.finetune.text import Texts


@dataclass(frozen=True, slots=True)
class Examples:
    """n texts, their second texts if they are pairs, and their labels as written.

    `source` says where they come from; `places[i]` where in it example i stands, for error messages.
    `sha256` is that of the file's bytes, or of the content where there is no file; a part has that of the whole.
    `soft_labels[i]` is the probability of each class, where that is what is to be learned of example i.
    """

    source: str
    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    places: list[str]
    sha256: str
    soft_labels: list[list[float]] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, positions: Sequence[int], name: str) -> Examples:
        """The examples at these positions, in the order given; `name` says which part of the whole they are."""
        return Examples(
            source=f"{self.source}, {name}",
            texts=[self.texts[position] for position in positions],
            pairs=None if self.pairs is None else [self.pairs[position] for position in positions],
            labels=[self.labels[position] for position in positions],
            places=[self.places[position] for position in positions],
            sha256=self.sha256,
            soft_labels=None if self.soft_labels is None else [self.soft_labels[position] for position in positions],
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """What one training sees: its training set, its eval sets by name, and perhaps texts that a teacher may label."""

    train: Examples
    evals: Mapping[str, Examples]
    unlabelled: Texts | None = None


def load_corpus(data: LocalData | HubData | BuiltinData) -> Corpus:
    """The training set and the eval sets a config names.

    Raises:
        DataError: a file or dataset is not what the config says; names the file and line.
        MissingDependencyError: the hub was asked for and `datasets` is not installed.
    """
    if isinstance(data, BuiltinData):
        return _generated(data)
    if isinstance(data, HubData):
        return Corpus(_from_hub(data, data.train), {name: _from_hub(data, split) for name, split in data.eval.items()})
    return Corpus(_from_file(data, data.train), {name: _from_file(data, file) for name, file in data.eval.items()})


def _generated(data: BuiltinData) -> Corpus:
    """A draw for each set, so that making one set larger changes no sentence of the others."""
    counts = {"train": data.train, **{f"eval {name}": count for name, count in data.eval.items()}}
    drawn = {}
    for position, (name, count) in enumerate(counts.items()):
        texts, labels = sentences(count, corpus=data.corpus * 1000 + position)
        source = f"built-in acceptability grammar, corpus {data.corpus}, {name}"
        drawn[name] = _examples(source, texts, None, labels, [f"sentence {i}" for i in range(1, count + 1)])
    return Corpus(drawn["train"], {name: drawn[f"eval {name}"] for name in data.eval})


def _from_file(data: LocalData, name: Path) -> Examples:
    file = data.folder / name
    rows = list(read_table(file, data.file_format, quoting=data.quoting, header=data.header))
    if not rows:
        raise DataError(f"{file}: no examples in it")
    return Examples(
        source=str(file),
        texts=[row.text(data.text) for row in rows],
        pairs=None if data.text_pair is None else [row.text(data.text_pair) for row in rows],
        labels=[_written_label(row, data.label) for row in rows],
        places=[f"{file}, line {row.line}" for row in rows],
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def _written_label(row: Row, column: str | int) -> str:
    value = row.value(column)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise row.error(f"column {column!r} holds {value!r}, expected a label")
    return str(value)


def _from_hub(data: HubData, split: str) -> Examples:
    table = load_split(data.hub, subset=data.subset, revision=data.revision, split=split)
    source, rows, names = table.source, table.rows, table.class_names.get(data.label)
    texts = [row.text(data.text) for row in rows]
    pairs = None if data.text_pair is None else [row.text(data.text_pair) for row in rows]
    labels = [_hub_label(row, data.label, names) for row in rows]
    return _examples(source, texts, pairs, labels, [f"{source}, row {row.line}" for row in rows])


def _hub_label(row: Row, column: str, names: Sequence[str] | None) -> str:
    if names is None:
        return _written_label(row, column)
    value = row.value(column)
    # -1 is the hub's convention for a test set whose labels are withheld
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise row.error(f"column {column!r} holds {value!r}, which is none of its classes {', '.join(names)}")
    return names[value]


def _examples(source: str, texts: list[str], pairs: list[str] | None, labels: list[str], places: list[str]) -> Examples:
    content = json.dumps([texts, pairs, labels], ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Examples(source, texts, pairs, labels, places, digest)
