"""One split of a dataset of the Hugging Face hub, or of any folder `datasets` reads, in rows that can be pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trackbridge.errors import DataError, MissingDependencyError
from trackbridge.finetune.rows import Row


@dataclass(frozen=True, slots=True)
class HubSplit:
    """The rows of a split; `class_names` has the names of the classes by column, where the dataset tells them."""

    source: str
    rows: list[Row]
    class_names: Mapping[str, list[str]]


def load_split(hub: str, *, subset: str | None, revision: str | None, split: str) -> HubSplit:
    """The split, downloaded if it is not in the cache.

    Raises:
        DataError: there is no such dataset, subset or split.
        MissingDependencyError: `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError.for_extra("data.hub", "datasets", "transformers") from error
    try:
        table = datasets.load_dataset(hub, subset, split=split, revision=revision)
    # `datasets` raises many unrelated kinds for one cause: there is no such dataset, subset or split here
    except Exception as error:
        raise DataError(f"cannot load split {split!r} of the dataset {hub!r}: {error}") from error
    source = f"{hub}{f'/{subset}' if subset else ''}, split {split}"
    rows = [Row(number, columns, Path(source)) for number, columns in enumerate(table, start=1)]
    named = {column: getattr(feature, "names", None) for column, feature in table.features.items()}
    return HubSplit(source, rows, {column: names for column, names in named.items() if names is not None})
