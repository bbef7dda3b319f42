"""
The Neptune adapter: online to a server that speaks Neptune's 2.x API (`neptune_server`); offline as a directory that
`neptune sync` takes (`neptune_directory`).

A run's ledger says what it consists of and after how many rows; it is kept with the run, so nothing can part them.
Rows that are handed over again after a crash find the same places again, and a point that is not after the last step
of its series, as read back, is there already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef, Row, RunHeader
from trackbridge.adapters.neptune_directory import NeptuneDirectory
from trackbridge.adapters.neptune_fields import Change, Refused, Translator
from trackbridge.adapters.neptune_ledger import MAX_SERIES, Ledger
from trackbridge.adapters.neptune_sdk import TESTED_VERSIONS
from trackbridge.adapters.neptune_server import NeptuneServer
from trackbridge.adapters.shaping import kind_of

_log = logging.getLogger(__name__)


class _Place(Protocol):
    """Where changes go: a server or a directory."""

    remote_id: str
    url: str

    def open(self, remote: RemoteRef | None) -> bytes: ...

    def take(self, changes: Iterable[Change]) -> list[Refused]: ...

    def confirm(self, timeout_s: float) -> bool: ...

    def keep(self, ledger: bytes) -> None: ...

    def end(self) -> None: ...


class NeptuneAdapter:
    """Delivers a run to Neptune, as the run whose custom id is the run's id."""

    name: ClassVar[str] = "neptune"
    capabilities: ClassVar[Capabilities] = Capabilities(
        start_time="changed",
        non_finite="changed",
        system_metrics="changed",
        nested_config="changed",
        tables="changed",
        histograms="changed",
        texts="changed",
        artifacts="changed",
        status="changed",
        rules={
            "online": "self-hosted servers and whatever else speaks Neptune's 2.x API: the hosted service closed on"
            " 5 March 2026",
            "offline": "a directory for `neptune sync`, which gives the run a new id (ours is the field `run/id`),"
            " drops what the server refuses without a word, and then deletes the directory",
            "original_time": "whole milliseconds",
            "original_step": "a series takes only steps after its last: a point that a resume repeats, or that is"
            f" logged twice at a step, goes to a further series `<metric>~2`, `~3`, ... (at most {MAX_SERIES}, then it"
            " is rejected); superseded points stay where they are",
            "start_time": "the field `run/started`; `sys/creation_time` is when the run was first delivered",
            "non_finite": 'Neptune has no such numbers: "NaN", "Infinity" and "-Infinity" go to a series of texts of'
            " the same name below `not_finite/`",
            "system_metrics": "series below `monitoring/`, which Neptune shows as monitoring; the step is seconds since"
            " the start",
            "nested_config": "a field for each leaf below `config/<scope>/`; lists, None, floats that are not finite"
            " and integers over 32 bits are texts; a text over 16,384 characters is cut there and whole below"
            " `long_values/`",
            "tables": "a CSV file for each step",
            "histograms": "a CSV file of bins and counts for each step",
            "texts": "a text file for each step",
            "artifacts": "each file is a field below `checkpoints/step-<n>/files/` or `artifacts/<name>/files/`",
            "status": "failed, killed and lost are shown as failed; the fields `run/status` and `run/exit_code` tell"
            " which",
            "console": "the file `run/console`",
        },
        sdk="neptune",
        tested_versions=TESTED_VERSIONS,
    )

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._mode = mode
        self._folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Create the run or take it up again; offline, go on where the directory stands."""
        self._place: _Place
        if self._mode == "online":
            self._place = NeptuneServer(run)
        else:
            self._place = NeptuneDirectory(run, self._folder or run.folder / "offline" / self.name)
        ledger = self._place.open(remote)
        self._ledger = Ledger(ledger)
        if remote is None:
            # The relay knows of no delivery, so its numbers may not be those of an earlier one.
            self._ledger.start_again()
        self._translator = Translator(run, self._ledger)
        self._next_row = self._ledger.rows
        self._rejections: list[Rejection] = []
        if not ledger:
            self._tell(self._translator.introduction())
        return RemoteRef(self._place.remote_id, self._place.url, delivered_rows=self._ledger.rows)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Hand over the rows that the ledger does not have; of the others only the rejections are told again."""
        numbers = {row.number for row in rows}
        again = [rejection for rejection in self._ledger.rejections if rejection.row in numbers]
        new = self._hand_over([row for row in rows if row.number >= self._next_row])
        self._rejections += new
        return Delivery((*again, *new))

    def flush(self, timeout_s: float) -> bool:
        """True when the last step of each series was read back, and the ledger is kept; offline, on the platter."""
        if not self._place.confirm(timeout_s):
            return False
        if self._ledger.rows < self._next_row:
            self._ledger.rows, self._ledger.rejections = self._next_row, self._rejections
            self._rejections = []
            self._place.keep(self._ledger.content())
        return True

    def close(self, ending: Ending | None) -> None:
        """End the run with its status, or only this connection."""
        if ending is not None:
            self._tell(self._translator.ending(ending))
            self._place.keep(self._ledger.content())
        self._place.end()

    def _hand_over(self, rows: Sequence[Row]) -> list[Rejection]:
        changes: list[Change] = []
        rejections: list[Rejection] = []
        for row in rows:
            for translated in self._translator.translate(row):
                if isinstance(translated, Rejection):
                    rejections.append(translated)
                else:
                    changes.append(translated)
            self._next_row = row.number + 1
        kinds = {row.number: kind_of(row.event) for row in rows}
        for change, reason in self._place.take(changes):
            rejections.append(Rejection(change.row, kinds[change.row], change.path, f"Neptune refuses it: {reason}"))
        return rejections

    def _tell(self, changes: Iterable[Change]) -> None:
        for change, reason in self._place.take(changes):
            _log.warning("neptune refuses the field %s: %s", change.path, reason)
