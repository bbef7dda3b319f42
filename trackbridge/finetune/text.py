"""Unlabelled texts, in documents, from files, the hub or the built-in grammar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trackbridge.finetune.blocks.text import BuiltinText, HubText, LocalText


@dataclass(frozen=True, slots=True)
class Texts:
    """Documents of one or more texts each; `source` says where from, `sha256` is that of all of it."""

    source: str
    documents: Sequence[Sequence[str]]
    sha256: str


def load_texts(text: LocalText | HubText | BuiltinText) -> Texts:
    """The texts a config names.

    Raises:
        DataError: a file or dataset is not what the config says; names the file and line.
        MissingDependencyError: the hub was asked for and `datasets` is not installed.
    """
    raise NotImplementedError
