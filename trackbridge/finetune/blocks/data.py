"""Labelled examples: where they are, and which fold of them trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from trackbridge.finetune.blocks.block import TABLE_FORMATS, Block, Column, EvalSetName, TableFormat, has_key


class LocalData(Block):
    """Delimited or JSON Lines files below `folder`, which is relative to the working directory.

    `format` defaults to the training file's suffix. `quoting: none` splits at every delimiter and takes
    quotation marks as text, which is what TSV files mean by them (CoLA, GLUE); `csv` obeys quotation marks.
    The default is `none` for TSV and `csv` for CSV.
    """

    folder: Path = Path()
    train: Path
    eval: dict[EvalSetName, Path] = Field(min_length=1)
    format: TableFormat | None = None
    header: bool = True
    quoting: Literal["none", "csv"] | None = None
    text: Column = "text"
    text_pair: Column | None = None
    label: Column = "label"

    @property
    def file_format(self) -> TableFormat:
        """The format as told, or as the training file's suffix tells it."""
        return self.format or TABLE_FORMATS[self.train.suffix.lower()]

    @model_validator(mode="after")
    def _format_is_known(self) -> LocalData:
        if self.format is None and self.train.suffix.lower() not in TABLE_FORMATS:
            raise ValueError(f"cannot tell the format of {self.train}: set data.format to tsv, csv or jsonl")
        return self

    @model_validator(mode="after")
    def _columns_can_be_found(self) -> LocalData:
        named = [c for c in (self.text, self.text_pair, self.label) if isinstance(c, str)]
        if not self.header and self.file_format != "jsonl" and named:
            raise ValueError(f"column {named[0]!r} is a name, but with header: false columns are numbers from 1")
        return self


class HubData(Block):
    """A dataset of the Hugging Face hub, or any folder `datasets.load_dataset` reads.

    `train` and the values of `eval` are split names; `subset` is the dataset's configuration (`cola`).
    """

    hub: str
    subset: str | None = None
    revision: str | None = None
    train: str = "train"
    eval: dict[EvalSetName, str] = Field(default={"validation": "validation"}, min_length=1)
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"


class BuiltinData(Block):
    """Sentences of the built-in acceptability grammar; `train` and the values of `eval` are counts.

    Each number `corpus` is another draw of sentences; it has nothing to do with the training's seeds.
    """

    builtin: Literal["acceptability"]
    train: int = Field(default=8000, ge=2)
    eval: dict[EvalSetName, Annotated[int, Field(ge=2)]] = Field(default={"dev": 1000}, min_length=1)
    corpus: int = Field(default=0, ge=0)


class Folds(Block):
    """Cross-validation: the training set is cut into `count` folds, of which fold `index` is held out.

    The held-out fold becomes the eval set `fold`, which chooses the weights; the other eval sets are only reported.
    Which example is in which fold follows from `seed` and the examples alone: equal texts share a fold, and each label
    is spread evenly over the folds.
    """

    count: int = Field(default=5, ge=2)
    index: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> Folds:
        if self.index >= self.count:
            raise ValueError(f"index {self.index} must be below count {self.count}: folds are counted from 0")
        return self


def _data_tag(given: Any) -> str:
    if has_key(given, "builtin"):
        return "(built-in)"
    return "(hub)" if has_key(given, "hub") else "(local)"


DataBlock = Annotated[
    Annotated[BuiltinData, Tag("(built-in)")] | Annotated[HubData, Tag("(hub)")] | Annotated[LocalData, Tag("(local)")],
    Discriminator(_data_tag),
]
