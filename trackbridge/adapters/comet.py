"""
The Comet adapter: online over the SDK's own connection, one answered request at a time; offline as an archive that
`comet upload` takes (`comet_archive`).

Online the SDK's streamer is not used: it reports success while a server refuses everything. A batch counts when its
request was answered with success. A request that went unanswered may have arrived: before anything is sent again, the
experiment is read back, and points it has already (same name, step and millisecond) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef, Row, RunHeader
from trackbridge.adapters.comet_archive import CometArchive
from trackbridge.adapters.comet_messages import Message, Other, Output, Translator
from trackbridge.adapters.comet_sdk import TESTED_VERSIONS
from trackbridge.adapters.comet_server import CometServer


class _Place(Protocol):
    """Where messages go: a server or an archive."""

    def open(self, remote: RemoteRef | None) -> RemoteRef: ...

    def take(self, messages: Sequence[Message], *, upto_row: int) -> list[Rejection]: ...

    def confirm(self) -> None: ...

    def end(self, ending: Ending | None) -> None: ...


class CometAdapter:
    """Delivers a run to Comet, as the experiment whose key is the run's id."""

    name: ClassVar[str] = "comet"
    capabilities: ClassVar[Capabilities] = Capabilities(
        system_metrics="changed",
        nested_config="changed",
        group="changed",
        notes="changed",
        tables="changed",
        histograms="changed",
        artifacts="changed",
        status="changed",
        rules={
            "offline": "an archive for `comet upload`, which thins curves of more than 15,000 points unless"
            " COMET_OFFLINE_SAMPLING_SIZE is larger; a second upload is refused, not doubled",
            "original_time": "whole milliseconds",
            "original_step": "points of steps that a resume superseded stay; the later ones follow at the same steps",
            "non_finite": 'as the texts "NaN", "Infinity" and "-Infinity", as Comet\'s own SDK sends them',
            "system_metrics": "`system/cpu_percent` is `sys.cpu_percent`: what begins so, Comet shows as system"
            " metrics; the step is seconds since the start",
            "nested_config": "flat parameters with `|` between the levels; a text over 1,000 characters is cut there"
            " and whole in the asset `config/<scope>-long-values.json`; keys that a later config dropped stay",
            "group": 'the "other" value `group`: Comet has no groups of runs',
            "notes": 'the "other" value `notes`',
            "tables": "a CSV asset of the table's name",
            "histograms": "each bin's count goes to the geometric bin of Comet's histograms that holds its centre",
            "artifacts": "every file is an asset below `checkpoints/step-<n>/` or `artifacts/`; Comet's versioned"
            " artifacts exist online only",
            "status": 'failed, killed and lost are shown as crashed; the "other" values `status` and `exit_code`'
            " tell which",
            "console": "the page of output; lines of an earlier failure stay above",
        },
        sdk="comet_ml",
        tested_versions=TESTED_VERSIONS,
    )

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._mode = mode
        self._folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Create the experiment or take it up again; offline, go on where the archive stands."""
        self._translator = Translator(run)
        self._place: _Place
        if self._mode == "online":
            self._place = CometServer(run)
        else:
            self._place = CometArchive(run, self._folder or run.folder / "offline" / self.name)
        reference = self._place.open(remote)
        self._next_row = reference.delivered_rows or 0
        return reference

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Hand over the rows that were not handed over to this object, or are in the archive, already."""
        messages: list[Message] = []
        rejections: list[Rejection] = []
        for row in rows:
            for translated in self._translator.translate(row):
                if isinstance(translated, Rejection):
                    rejections.append(translated)
                elif row.number >= self._next_row:
                    messages.append(translated)
        if rows and rows[-1].number >= self._next_row:
            rejections += self._place.take(messages, upto_row=rows[-1].number + 1)
            self._next_row = rows[-1].number + 1
        return Delivery(tuple(rejections))

    def flush(self, timeout_s: float) -> bool:
        """True: requests were answered before `deliver` returned; offline, the parts are on the platter now."""
        self._place.confirm()
        return True

    def close(self, ending: Ending | None) -> None:
        """End the experiment with its status, or only this connection; offline, complete the archive."""
        if ending is not None:
            facts = {"status": ending.status, "exit_code": ending.exit_code}
            messages: list[Message] = [Other(key, value) for key, value in facts.items() if value is not None]
            if ending.console:
                messages.append(Output(f"{ending.console}\n", (ending.ended_ns or 0) // 1_000_000))
            self._place.take(messages, upto_row=self._next_row)
        self._place.end(ending)
