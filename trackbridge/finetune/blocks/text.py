"""Texts without labels: for further pre-training and pseudo-labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from trackbridge.finetune.blocks.block import TABLE_FORMATS, Block, Column, TableFormat, has_key


class LocalText(Block):
    """Files below `folder`: plain text (a text a line), or a column of a table (a text a row).

    `format` defaults to the first file's suffix; `txt` is plain text. `column`, `header` and `quoting` are for tables.
    Empty lines part documents; where headings `= Title =` stand, these do; where there is neither, each text is one.
    """

    folder: Path = Path()
    files: list[Path] = Field(min_length=1)
    format: Literal["txt"] | TableFormat | None = None
    header: bool = True
    quoting: Literal["none", "csv"] | None = None
    column: Column = "text"

    @property
    def file_format(self) -> Literal["txt"] | TableFormat:
        """The format as told, or as the first file's suffix tells it."""
        if self.format is not None:
            return self.format
        return TABLE_FORMATS.get(self.files[0].suffix.lower(), "txt")

    @model_validator(mode="after")
    def _format_is_known(self) -> LocalText:
        if self.format is None and self.files[0].suffix.lower() not in {".txt", *TABLE_FORMATS}:
            raise ValueError(f"cannot tell the format of {self.files[0]}: set text.format to txt, tsv, csv or jsonl")
        return self

    @model_validator(mode="after")
    def _column_can_be_found(self) -> LocalText:
        if not self.header and self.file_format in ("tsv", "csv") and isinstance(self.column, str):
            raise ValueError(f"column {self.column!r} is a name, but with header: false columns are numbers from 1")
        return self


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
