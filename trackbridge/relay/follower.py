"""
Delivers one run to one target, as far as it goes now or until the run has ended.

Trouble that passes is waited out, with growing pauses; a refusal or a bug stops this target alone and is kept in
its cursor. Time and waiting are given, so tests need neither.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from trackbridge.adapters.base import Adapter, Ending
from trackbridge.adapters.registry import load_adapter
from trackbridge.errors import AdapterBug, TrackbridgeError, TransientDeliveryError
from trackbridge.journal.cursor import delivery_folder, load_cursor, lock_file
from trackbridge.journal.lock import held
from trackbridge.relay.delivery import CONFIRM_TIMEOUT_S, RunDelivery, note_failure
from trackbridge.relay.header import header_of
from trackbridge.relay.retry import Backoff
from trackbridge.relay.standing import is_delivered
from trackbridge.relay.watch import RunWatch
from trackbridge.settings import CheckpointUpload
from trackbridge.targets import Target

Outcome: TypeAlias = Literal["delivered", "caught up", "held elsewhere", "waiting", "refused", "broken", "gone"]
"""How a delivery stands: all of it there and ended; all there is so far; in the hands of another relay; ..."""
POLL_EVERY_S = 0.5
LOCK_EVERY_S = 2.0
LONGEST_CONFIRMATION_S = 3600.0
SMALLEST_BATCH, LARGEST_BATCH = 8000, 32_000


def connected(target: Target) -> Adapter:
    """A new adapter object of a target."""
    return load_adapter(target.adapter)(mode=target.mode)


@dataclass
class Follower:
    """One run and one target.

    Attributes:
        connect: makes a new adapter object.
        ending: how the run ended, or None while it goes on.
        wait: sleeps so many seconds; False when there is no more patience for it.
        checkpoints: which of them are uploaded.
        delivered: told how many events were confirmed.
    """

    watch: RunWatch
    target: Target
    connect: Callable[[], Adapter]
    ending: Callable[[], Ending | None]
    wait: Callable[[float], bool]
    checkpoints: CheckpointUpload = "none"
    delivered: Callable[[int], None] = lambda count: None
    backoff: Backoff = field(default_factory=Backoff)
    confirm_timeout_s: float = CONFIRM_TIMEOUT_S

    def follow(self) -> Outcome:
        """Deliver until the run has ended and all of it is delivered; while another relay does so, stand by."""
        while True:
            with self._lock() as is_ours:
                if is_ours:
                    return self._insist(lambda: self.wait(POLL_EVERY_S))
            if self._is_done():
                return "delivered"
            if not self.wait(LOCK_EVERY_S):
                return "held elsewhere"

    def catch_up(self) -> Outcome:
        """Deliver what there is now, and the ending if the run has ended."""
        with self._lock() as is_ours:
            return self._insist(lambda: False) if is_ours else "held elsewhere"

    def _lock(self) -> AbstractContextManager[bool]:
        delivery_folder(self.watch.run_folder).mkdir(exist_ok=True)
        return held(lock_file(self.watch.run_folder, str(self.target)))

    def _insist(self, goes_on: Callable[[], bool]) -> Outcome:
        while True:
            try:
                return self._attempt(goes_on)
            except TransientDeliveryError as error:
                trouble, wished_s = error, error.retry_after_s
            except TrackbridgeError as error:
                note_failure(self.watch.run_folder, self.target, error)
                return "broken" if isinstance(error, AdapterBug) else "refused"
            except OSError as error:
                trouble, wished_s = TransientDeliveryError(f"cannot read the run: {error}"), None
            if not self.watch.run_folder.is_dir():
                return "gone"
            note_failure(self.watch.run_folder, self.target, trouble)
            if not self.wait(self.backoff.next_delay_s(wished_s=wished_s)):
                return "waiting"

    def _attempt(self, goes_on: Callable[[], bool]) -> Outcome:
        if self._is_done():
            return "delivered"
        header = header_of(self.watch.record())
        delivery = RunDelivery(
            header,
            self.target,
            self.connect(),
            checkpoints=self.checkpoints,
            confirm_timeout_s=self.confirm_timeout_s,
        )
        try:
            self._count(delivery.open())
            return self._deliver(delivery, goes_on)
        except Exception:
            if delivery.is_unconfirmed:
                # Slow is not down: a large file may take longer than the patience of the first try.
                self.confirm_timeout_s = min(2 * self.confirm_timeout_s, LONGEST_CONFIRMATION_S)
            delivery.abandon()
            raise

    def _deliver(self, delivery: RunDelivery, goes_on: Callable[[], bool]) -> Outcome:
        while True:
            # Asked before the last look at the journals: what was written before the end is read after it.
            ending = self.ending()
            self._deliver_backlog(delivery)
            if ending is not None:
                delivery.close(ending)
                return "delivered"
            if not goes_on():
                delivery.close(None)
                return "caught up"

    def _deliver_backlog(self, delivery: RunDelivery) -> None:
        # A confirmation may take a server seconds, whatever the size of the batch.
        limit = SMALLEST_BATCH
        while count := delivery.deliver_new(limit):
            self._count(count)
            limit = min(LARGEST_BATCH, limit * 4)

    def _count(self, confirmed: int) -> None:
        if confirmed:
            self.backoff.succeeded()
            self.delivered(confirmed)

    def _is_done(self) -> bool:
        folder = self.watch.run_folder
        return self.ending() is not None and is_delivered(folder, load_cursor(folder, str(self.target)))
