"""The delivery of one run to one target: batches in order, each confirmed before the next is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import TypeVar

from trackbridge.adapters.base import Adapter, Ending, RemoteRef, RunHeader
from trackbridge.adapters.registry import told_of_version
from trackbridge.errors import AdapterBug, DeliveryError, MissingDependencyError, TransientDeliveryError
from trackbridge.journal.cursor import State, load_cursor, save_cursor
from trackbridge.relay.choice import CheckpointChoice
from trackbridge.relay.feed import Batch, Feed
from trackbridge.relay.header import with_last_words
from trackbridge.relay.log import masked
from trackbridge.settings import CheckpointUpload
from trackbridge.targets import Target

BATCH_ROWS = 1000
CONFIRM_TIMEOUT_S = 60.0
T = TypeVar("T")
_STATE_AFTER: dict[type[Exception], State] = {TransientDeliveryError: "waiting", AdapterBug: "broken"}
_log = logging.getLogger(__name__)


class RunDelivery:
    """Delivers a run to a target from where its cursor stands. Not thread-safe; hold the target's lock.

    Every method raises a DeliveryError where the tracker did not take it; the cursor then stands where it stood.
    `is_unconfirmed` says that it took the last batch, but did not confirm it in time.
    """

    def __init__(
        self,
        header: RunHeader,
        target: Target,
        adapter: Adapter,
        *,
        checkpoints: CheckpointUpload = "none",
        confirm_timeout_s: float = CONFIRM_TIMEOUT_S,
    ) -> None:
        self.header = header
        self.target = target
        self.cursor = load_cursor(header.folder, str(target))
        self._adapter = adapter
        self._checkpoints = checkpoints
        self._confirm_timeout_s = confirm_timeout_s
        self._feed = Feed(header.folder, self.cursor.marks, self.cursor.next_row)
        self._is_open = False
        self.is_unconfirmed = False

    def open(self) -> int:
        """Create the run at the tracker or take it up again, and repeat what was in flight when a relay died.

        Returns:
            how many rows were repeated.
        """
        cursor = self.cursor
        known = None
        if cursor.remote_id is not None:
            known = RemoteRef(cursor.remote_id, cursor.url, state=cursor.remote_state)
        remote = self._guarded(lambda: self._adapter.open(self.header, known))
        self._is_open = True
        cursor.remote_id, cursor.url, cursor.remote_state = remote.remote_id, remote.url, dict(remote.state)
        cursor.error = None
        if remote.delivered_rows is not None and remote.delivered_rows < cursor.next_row:
            cursor.start_again()
            self._feed = Feed(self.header.folder, {}, 0)
        self._save("delivering")
        if cursor.in_flight is None:
            return 0
        with _trouble_is_transient():
            batch = self._feed.take_again(cursor.in_flight)
        self._hand_over(batch)
        return len(batch.rows)

    def deliver_new(self, limit: int = BATCH_ROWS) -> int:
        """Deliver one batch of what is new; how many rows it had."""
        with _trouble_is_transient():
            batch = self._feed.take(limit)
        if batch.rows:
            self.cursor.in_flight, self.cursor.closed_as = batch.counts, None
            self._save("delivering")
            self._hand_over(batch)
        return len(batch.rows)

    def close(self, ending: Ending | None) -> None:
        """End the run at the tracker, or only the connection; nothing happens when it is closed."""
        if not self._is_open:
            return
        self._is_open = False
        told = None if ending is None else with_last_words(ending, self.header.folder)
        self._guarded(lambda: self._adapter.close(told))
        if ending is not None:
            self.cursor.closed_as, self.cursor.error = ending.status, None
            self._save("delivered")

    def abandon(self) -> None:
        """Close a connection that failed, whatever it says to that."""
        try:
            self.close(None)
        except (DeliveryError, MissingDependencyError) as error:
            _log.info("closing the connection to %s after a failure: %s", self.target, error)

    def _hand_over(self, batch: Batch) -> None:
        choice = CheckpointChoice(self._checkpoints, self.cursor.best_score)
        rows = [choice.marked(row) for row in batch.rows]
        delivery = self._guarded(lambda: self._adapter.deliver(rows))
        self.is_unconfirmed = not self._guarded(lambda: self._adapter.flush(self._confirm_timeout_s))
        if self.is_unconfirmed:
            raise TransientDeliveryError(
                f"{self.target} did not confirm {len(rows)} events in {self._confirm_timeout_s:.0f} s"
            )
        cursor = self.cursor
        for rejection in delivery.rejections:
            cursor.reject(rejection.row, rejection.kind, rejection.what, masked(rejection.reason))
        cursor.marks, cursor.in_flight, cursor.error = batch.marks, None, None
        cursor.next_row += len(rows)
        cursor.best_score = choice.best
        self._save("delivering")

    def _guarded(self, call: Callable[[], T]) -> T:
        """The call's answer; whatever an adapter lets slip becomes an AdapterBug, so that the others go on."""
        try:
            return call()
        except AdapterBug as bug:
            raise AdapterBug(f"{bug}{told_of_version(self._adapter)}") from bug
        except (DeliveryError, MissingDependencyError):
            raise
        except Exception as error:
            _log.exception("the %s adapter failed", self.target)
            told = f"the {self.target} adapter failed: {type(error).__name__}: {error}{told_of_version(self._adapter)}"
            raise AdapterBug(told) from error

    def _save(self, state: State) -> None:
        self.cursor.state, self.cursor.updated_ns = state, time_ns()
        with _trouble_is_transient():
            save_cursor(self.header.folder, self.cursor)


def note_failure(run_folder: Path, target: Target, error: Exception) -> None:
    """Keep in the cursor why a delivery waits or stopped, for `trackbridge status`."""
    state = _STATE_AFTER.get(type(error), "refused")
    _log.warning("%s is %s: %s", target, state, error)
    try:
        cursor = load_cursor(run_folder, str(target))
        cursor.state, cursor.error, cursor.updated_ns = state, masked(str(error)), time_ns()
        save_cursor(run_folder, cursor)
    except (DeliveryError, OSError) as trouble:
        # A damaged cursor is left for a person to look at, and a full disk takes no note.
        _log.warning("the cursor of %s was not changed: %s", target, trouble)


@contextmanager
def _trouble_is_transient() -> Iterator[None]:
    """A disk that is full or away may come back, and so may the server of a network file system."""
    try:
        yield
    except OSError as error:
        raise TransientDeliveryError(f"cannot use {error.filename or 'the run folder'}: {error.strerror}") from error
