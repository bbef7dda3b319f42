"""
Follows one run for one target until it has ended and everything is delivered.

Trouble that passes is waited out, with growing pauses; a refusal or a bug stops this target alone and is kept in
its cursor. Time and waiting are given, so tests need neither.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trackbridge.adapters.registry import load_adapter
from trackbridge.errors import DeliveryError, MissingDependencyError, TransientDeliveryError
from trackbridge.relay.cursor import delivery_folder
from trackbridge.relay.delivery import RunDelivery
from trackbridge.relay.header import ending_of, header_of
from trackbridge.relay.lock import held
from trackbridge.relay.retry import Backoff
from trackbridge.store.records import RunRecord
from trackbridge.targets import Target

Outcome = Literal["delivered", "caught up", "held elsewhere", "waiting", "refused"]
POLL_EVERY_S = 1.0
_log = logging.getLogger(__name__)


@dataclass
class Follower:
    """One run and one target. `read_record` gives the run as it stands now; `wait(s)` is False to give up."""

    run_folder: Path
    target: Target
    read_record: Callable[[], RunRecord]
    wait: Callable[[float], bool]
    checkpoints: str = "none"
    backoff: Backoff = field(default_factory=Backoff)

    def follow(self, *, until: Literal["ended", "caught up"]) -> Outcome:
        """Deliver until the run has ended, or until nothing new is left for now."""
        with held(delivery_folder(self.run_folder) / f"{self.target.file_stem}.lock") as is_ours:
            if not is_ours:
                return "held elsewhere"
            while True:
                outcome = self._attempt(until)
                if outcome != "waiting":
                    return outcome
                if not self.wait(self.backoff.next_delay_s(wished_s=self._wished_s)):
                    return "waiting"

    _wished_s: float | None = None

    def _attempt(self, until: Literal["ended", "caught up"]) -> Outcome:
        header = header_of(self.read_record())
        adapter = load_adapter(self.target.adapter)
        delivery = RunDelivery(header, self.target, adapter(mode=self.target.mode))
        try:
            delivery.open()
            self.backoff.succeeded()
            return self._deliver_all(delivery, until)
        except TransientDeliveryError as error:
            self._wished_s = error.retry_after_s
            delivery.note_failure(error)
            return "waiting"
        except (DeliveryError, MissingDependencyError) as error:
            delivery.note_failure(error)
            return "refused"

    def _deliver_all(self, delivery: RunDelivery, until: Literal["ended", "caught up"]) -> Outcome:
        while True:
            # Asked before the last look at the journal: what was written before the end is read after it.
            ending = ending_of(self.read_record())
            while delivery.deliver_new():
                pass
            if ending is not None:
                delivery.close(ending)
                return "delivered"
            if until == "caught up" or not self.wait(POLL_EVERY_S):
                delivery.close(None)
                return "caught up"
