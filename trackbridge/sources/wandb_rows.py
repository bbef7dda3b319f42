"""What becomes of the rows of a run, whether a file or W&B's server has them."""

from __future__ import annotations

from collections.abc import Iterator

from trackbridge.sources import wandb_ours as ours
from trackbridge.sources.base import UNKNOWN_NS, Fact, Points, SourceMedia
from trackbridge.sources.wandb_history import Axes, Row
from trackbridge.sources.wandb_media import Files, Logged, media_facts


class RowFacts:
    """Makes points and media of rows, each at its step.

    Attributes:
        axes: which metric is the step of which; told as it becomes known.
        now_ns: the latest time of any row, at first that of the run's start.
    """

    def __init__(self, files: Files, *, started_ns: int, is_ours: bool, first_number: int = 0) -> None:
        """
        Args:
            files: where media are.
            started_ns: when the run began.
            is_ours: whether trackbridge delivered the run, whose steps and captions stand in columns then.
            first_number: what is added to W&B's own number of a row.
        """
        self.axes = Axes()
        self.now_ns = started_ns
        self._files = files
        # A run without times was delivered: W&B's are those of the delivery.
        self._is_timeless = is_ours and started_ns == UNKNOWN_NS
        self._is_ours = is_ours
        self._first_number = first_number

    def facts(self, row: Row) -> Iterator[Fact]:
        """The points and the media of a row.

        Raises:
            SourceRefused: it names a file outside of its folder, or is nested too deep.
        """
        row.number += self._first_number
        if self._is_timeless:
            row.t = UNKNOWN_NS
        if self._is_ours:
            yield from self._restored(row)
            return
        self.now_ns = max(self.now_ns, row.t)
        for step, numbers in self.axes.by_step(row).items():
            if numbers:
                yield Points(row.t, step, numbers)
        for name, value in row.others.items():
            yield from media_facts(Logged(row.t, name, self.axes.step_of(name, row), value), self._files)

    def _restored(self, row: Row) -> Iterator[Fact]:
        epoch = ours.take_columns(row)
        self.now_ns = max(self.now_ns, row.t)
        captions = ours.take_captions(row)
        if row.numbers:
            yield Points(row.t, row.number, row.numbers, epoch)
        for name, value in row.others.items():
            for fact in media_facts(Logged(row.t, name, row.number, value, captions.get(name)), self._files):
                yield ours.restored_text(fact) if isinstance(fact, SourceMedia) else fact
