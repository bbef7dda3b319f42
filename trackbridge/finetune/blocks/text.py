"""Texts without labels: for further pre-training and pseudo-labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from trackbridge.finetune.blocks.block import Block, Column, has_key


class LocalText(Block):
    """Files below `folder`: plain text (a text a line, documents parted by empty lines), or a column of a table.

    `format` defaults to the first file's suffix; `txt` is plain text. `column`, `header` and `quoting` are for tables.
    """

    folder: Path = Path()
    files: list[Path] = Field(min_length=1)
    format: Literal["txt", "tsv", "csv", "jsonl"] | None = None
    header: bool = True
    quoting: Literal["none", "csv"] | None = None
    column: Column = "text"


class HubText(Block):
    """A split of a dataset of the Hugging Face hub, or of any folder `datasets.load_dataset` reads."""

    hub: str
    subset: str | None = None
    revision: str | None = None
    split: str = "train"
    column: str = "text"


class BuiltinText(Block):
    """Acceptable sentences of the built-in grammar; each number `corpus` is another draw."""

    builtin: Literal["acceptability"]
    sentences: int = Field(default=5000, ge=2)
    corpus: int = Field(default=1, ge=0)


def _text_tag(given: Any) -> str:
    if has_key(given, "builtin"):
        return "(built-in)"
    return "(hub)" if has_key(given, "hub") else "(local)"


TextBlock = Annotated[
    Annotated[BuiltinText, Tag("(built-in)")] | Annotated[HubText, Tag("(hub)")] | Annotated[LocalText, Tag("(local)")],
    Discriminator(_text_tag),
]
