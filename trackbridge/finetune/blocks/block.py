"""What every block of the config is, and the values several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt


class Block(BaseModel):
    """A part of the config: read-only, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Column = StrictInt | str
"""A column by name, or by number from 1."""
EvalSetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
SeedValue = Annotated[StrictInt, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]

TableFormat = Literal["tsv", "csv", "jsonl"]
TABLE_FORMATS: dict[str, TableFormat] = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""The formats of tables by the suffixes of their files."""


def has_key(given: Any, key: str) -> bool:
    """Whether a block as typed, or already read, has the key: what tells the kinds of a block apart."""
    return key in given if isinstance(given, Mapping) else hasattr(given, key)
