"""The delivery of one run to one target: batches in order, each confirmed before the next is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time_ns
from typing import TypeVar

from trackbridge.adapters.base import Adapter, Ending, RemoteRef, RunHeader
from trackbridge.errors import AdapterBug, DeliveryError, MissingDependencyError, TransientDeliveryError
from trackbridge.events.redact import mask_text
from trackbridge.relay.cursor import Cursor, RejectionNote, State, load_cursor, save_cursor
from trackbridge.relay.feed import Batch, Feed
from trackbridge.targets import Target

BATCH_ROWS = 1000
CONFIRM_TIMEOUT_S = 60.0
T = TypeVar("T")
_STATE_AFTER: dict[type[Exception], State] = {TransientDeliveryError: "waiting", AdapterBug: "broken"}
_log = logging.getLogger(__name__)


class RunDelivery:
    """Delivers a run to a target from where its cursor stands. Not thread-safe; hold the target's lock."""

    def __init__(self, header: RunHeader, target: Target, adapter: Adapter) -> None:
        self.header = header
        self.target = target
        self._adapter = adapter
        self.cursor: Cursor = load_cursor(header.folder, str(target), target.file_stem)
        self._feed = Feed(header.folder, self.cursor.marks, self.cursor.next_row)
        self._is_open = False

    def open(self) -> None:
        """Create the run at the tracker or take it up again, and repeat what was in flight when a relay died.

        Raises:
            DeliveryError: the tracker did not take it.
        """
        cursor = self.cursor
        remote = None
        if cursor.remote_id is not None:
            remote = RemoteRef(cursor.remote_id, cursor.url, state=cursor.remote_state)
        self._remember(self._guarded(lambda: self._adapter.open(self.header, remote)))
        self._is_open = True
        if cursor.in_flight is not None:
            self._hand_over(self._feed.take_again(cursor.in_flight))

    def deliver_new(self, limit: int = BATCH_ROWS) -> int:
        """Deliver one batch of what is new; how many rows it had.

        Raises:
            DeliveryError: the tracker did not take it; the cursor stands where it stood.
        """
        batch = self._feed.take(limit)
        if batch.rows:
            self.cursor.in_flight = batch.ends
            self._save("delivering")
            self._hand_over(batch)
        return len(batch.rows)

    def close(self, ending: Ending | None) -> None:
        """End the run at the tracker, or only the connection.

        Raises:
            DeliveryError: the tracker did not take the ending.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._guarded(lambda: self._adapter.close(ending))
        if ending is not None:
            self.cursor.closed_as = ending.status
            self._save("delivered")

    def note_failure(self, error: DeliveryError | MissingDependencyError) -> None:
        """Keep why the delivery waits or does not go on, for `trackbridge status`."""
        self.cursor.error = mask_text(str(error))
        self._save(_STATE_AFTER.get(type(error), "refused"))

    def _hand_over(self, batch: Batch) -> None:
        delivery = self._guarded(lambda: self._adapter.deliver(batch.rows))
        self.cursor.reject(
            [RejectionNote(row=r.row, kind=r.kind, what=r.what, reason=r.reason) for r in delivery.rejections]
        )
        if not self._guarded(lambda: self._adapter.flush(CONFIRM_TIMEOUT_S)):
            raise TransientDeliveryError(
                f"{self.target} did not confirm {len(batch.rows)} rows in {CONFIRM_TIMEOUT_S:.0f} s"
            )
        cursor = self.cursor
        cursor.marks, cursor.in_flight, cursor.error = batch.marks, None, None
        cursor.next_row += len(batch.rows)
        self._save("delivering")

    def _guarded(self, call: Callable[[], T]) -> T:
        """The call's answer; whatever an adapter lets slip becomes an AdapterBug, so that the others go on."""
        try:
            return call()
        except (DeliveryError, MissingDependencyError):
            raise
        except Exception as error:
            _log.exception("the %s adapter failed", self.target)
            raise AdapterBug(f"the {self.target} adapter failed: {type(error).__name__}: {error}") from error

    def _remember(self, remote: RemoteRef) -> None:
        self.cursor.remote_id, self.cursor.url = remote.remote_id, remote.url
        self.cursor.remote_state = dict(remote.state)
        self._save("delivering")

    def _save(self, state: State) -> None:
        self.cursor.state, self.cursor.updated_ns = state, time_ns()
        save_cursor(self.header.folder, self.target.file_stem, self.cursor)
