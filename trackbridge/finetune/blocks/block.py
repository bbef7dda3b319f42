"""What every block of the config is, and the values several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class Block(BaseModel):
    """A part of the config: read-only, and a key it does not know is an error, as is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, given: Any, info: ValidationInfo) -> Any:
        # pydantic takes True for 1, as Python does: `epochs: yes` would be one epoch
        if isinstance(given, bool) and _is_number(cls.model_fields[str(info.field_name)].annotation):
            raise PydanticCustomError("no_number", "expected a number")
        return given


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


def _is_number(annotation: Any) -> bool:
    """Whether a field takes numbers, perhaps null or a text beside them, and no yes or no."""
    alternatives = {annotation, *get_args(annotation)}
    return not alternatives.isdisjoint({int, float}) and bool not in alternatives
