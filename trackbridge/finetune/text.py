"""Unlabelled texts, in documents, from files, the hub or the built-in grammar."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trackbridge.errors import DataError
from trackbridge.finetune.blocks.text import BuiltinText, HubText, LocalText
from trackbridge.finetune.grammar import documents
from trackbridge.finetune.hub import load_split
from trackbridge.finetune.rows import read_lines, read_table

# as WikiText writes them: " = Title = " begins an article, " = = Section = = " a section of it
_TITLE = re.compile(r"= [^=](.*[^=])? =")
_HEADING = re.compile(r"(= )+[^=](.*[^=])?( =)+")


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
    if isinstance(text, BuiltinText):
        source = f"built-in acceptability grammar, texts {text.corpus}"
        return _texts(source, documents(text.sentences, corpus=text.corpus))
    if isinstance(text, HubText):
        table = load_split(text.hub, subset=text.subset, revision=text.revision, split=text.split)
        return _texts(table.source, _documents(row.text(text.column) for row in table.rows))
    found = [document for name in text.files for document in _documents(_lines_of(text, name))]
    return _texts(", ".join(str(text.folder / name) for name in text.files), found)


def _lines_of(text: LocalText, name: Path) -> Iterable[str]:
    file = text.folder / name
    if text.file_format == "txt":
        return read_lines(file)
    rows = read_table(file, text.file_format, quoting=text.quoting, header=text.header)
    return (row.text(text.column) for row in rows)


def _documents(lines: Iterable[str]) -> list[list[str]]:
    """Articles where there are titles, else what stands between empty lines, else every line by itself."""
    stripped = [line.strip() for line in lines]
    if any(map(_TITLE.fullmatch, stripped)):
        begins = [bool(_TITLE.fullmatch(line)) for line in stripped]
        content = ["" if _HEADING.fullmatch(line) else line for line in stripped]
    else:
        has_gaps = "" in stripped
        begins = [not (has_gaps and line) for line in stripped]
        content = stripped
    found: list[list[str]] = [[]]
    for line, is_first in zip(content, begins, strict=True):
        if is_first:
            found.append([])
        if line:
            found[-1].append(line)
    return [document for document in found if document]


def _texts(source: str, found: list[list[str]]) -> Texts:
    if not found:
        raise DataError(f"{source}: no texts in it")
    content = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return Texts(source, found, hashlib.sha256(content.encode()).hexdigest())
