"""Labels: the classes found in the training set, and the number each label becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trackbridge.errors import DataError, nearest
from trackbridge.finetune.data import Examples


@dataclass(frozen=True, slots=True)
class Labels:
    """The class names in the order of their ids; empty for regression."""

    names: tuple[str, ...]

    @property
    def is_regression(self) -> bool:
        """Whether labels are real numbers."""
        return not self.names

    @property
    def outputs(self) -> int:
        """How many numbers the model gives per example."""
        return len(self.names) or 1

    def numbers(self, examples: Examples) -> list[int] | list[float]:
        """The class ids of the examples, or their values for regression.

        Raises:
            DataError: a label is none of the training set's, or no finite number; names its place.
        """
        if self.is_regression:
            return [_finite(label, place) for label, place in zip(examples.labels, examples.places, strict=True)]
        ids = {name: number for number, name in enumerate(self.names)}
        for label, place in zip(examples.labels, examples.places, strict=True):
            if label not in ids:
                raise DataError(f"{place}: label {label!r} is not in the training set{nearest(label, ids)}")
        return [ids[label] for label in examples.labels]

    def targets(self, examples: Examples) -> list[int] | list[float] | list[list[float]]:
        """What a model is to learn of each example: its soft label where there is one, else its number.

        Raises:
            DataError: as for `numbers`.
        """
        return self.numbers(examples) if examples.soft_labels is None else examples.soft_labels

    def certain(self, examples: Examples) -> list[list[float]]:
        """The labels of the examples as soft ones: all the probability on the class that is written.

        Raises:
            DataError: as for `numbers`.
        """
        return [[float(number == written) for number in range(self.outputs)] for written in self.numbers(examples)]


def find_labels(train: Examples, *, is_regression: bool) -> Labels:
    """The labels of a training set: whole numbers in their order, words in the alphabet's.

    Raises:
        DataError: there is only one label, or so many that they look like real numbers.
    """
    if is_regression:
        return Labels(())
    names = sorted(set(train.labels))
    if len(names) < 2:
        raise DataError(f"{train.source}: all {len(train)} examples have the label {names[0]!r}: nothing to learn")
    if any(not _is_whole(name) for name in names) and all(_is_number(name) for name in names):
        raise DataError(
            f"{train.source}: labels such as {names[0]!r} are real numbers: set evaluation.metric to pearson"
        )
    return Labels(tuple(sorted(names, key=int) if all(map(_is_whole, names)) else names))


def _finite(label: str, place: str) -> float:
    if not _is_number(label):
        raise DataError(f"{place}: label {label!r} is no finite number, which the metric pearson needs")
    return float(label)


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _is_whole(label: str) -> bool:
    return label.removeprefix("-").isdecimal()
