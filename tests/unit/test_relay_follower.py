"""What one relay does for one run and one target, with time and trouble given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from relay_kit import TARGET, Trouble, delivered, told_run

from trackbridge.adapters.base import Ending
from trackbridge.errors import AdapterBug, DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import RunFinished, RunResumed
from trackbridge.journal.cursor import cursor_file, delivery_folder, load_cursor, lock_file
from trackbridge.journal.lock import held
from trackbridge.relay.follower import Follower, connected
from trackbridge.relay.header import ending_of
from trackbridge.relay.retry import Patience
from trackbridge.relay.watch import RunWatch
from trackbridge.targets import Target

AWAY = TransientDeliveryError("the tracker is away")


class Waits:
    """Waiting without time: something may happen at each wait, and after `most` of them patience is at its end."""

    def __init__(self, most: int = 0, *happenings: Callable[[], object]) -> None:
        self.waited_s: list[float] = []
        self._most = most
        self._happenings = iter(happenings)

    def __call__(self, seconds: float) -> bool:
        if len(self.waited_s) >= self._most:
            return False
        self.waited_s.append(seconds)
        next(self._happenings, lambda: None)()
        return True


def follower(folder: Path, trouble: Trouble, wait: Callable[[float], bool], *, alive: bool = True) -> Follower:
    watch = RunWatch(folder, lambda session: alive)
    return Follower(watch, TARGET, trouble.connect, lambda: ending_of(watch.record()), wait)


def test_a_run_that_has_ended_is_delivered_and_closed_with_its_status(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)

    outcome = follower(folder, Trouble(), Waits()).catch_up()

    assert outcome == "delivered"
    assert (delivered(folder).ending or Ending("lost")).status == "finished"


def test_a_run_that_goes_on_is_caught_up_with_and_left_open(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path, ends=False)
    trouble = Trouble()

    outcome = follower(folder, trouble, Waits()).catch_up()

    assert (outcome, trouble.of("close")) == ("caught up", [None])
    assert len(delivered(folder).rows) == 5


def test_a_live_run_is_followed_to_its_end(tmp_path: Path) -> None:
    folder, journal = told_run(tmp_path, ends=False)
    goes_on = [
        lambda: journal.log(4, {"train/loss": 0.2}).write(tmp_path),
        lambda: journal.tell(RunFinished, status="failed", exit_code=1, error="ValueError: no").write(tmp_path),
    ]
    trouble = Trouble()

    outcome = follower(folder, trouble, Waits(9, *goes_on)).follow()

    assert outcome == "delivered"
    assert trouble.of("open") == [None]
    assert [(ending.status, ending.exit_code, ending.error) for ending in trouble.of("close")] == [
        ("failed", 1, "ValueError: no")
    ]


def test_a_training_that_is_gone_without_a_word_is_closed_as_lost(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path, ends=False)
    trouble = Trouble()

    follower(folder, trouble, Waits(9), alive=False).follow()

    (ending,) = trouble.of("close")
    assert (ending.status, ending.exit_code) == ("lost", None)
    assert "gone without a word after 2023-11-14 22:13:24 UTC" in ending.error


def test_trouble_that_passes_is_waited_out_with_a_new_connection_each_time(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble(open=[AWAY], deliver=[AWAY], flush=[False])
    waits = Waits(99)

    outcome = follower(folder, trouble, waits).catch_up()

    assert outcome == "delivered"
    assert [name for name, _ in trouble.calls if name in ("open", "close")] == [
        "open", "open", "close", "open", "close", "open", "close",
    ]  # fmt: skip
    assert len(waits.waited_s) == 3
    assert waits.waited_s[0] < 0.51 < waits.waited_s[2] * 2
    assert sorted(delivered(folder).rows) == list(range(6))


def test_a_tracker_that_stays_away_leaves_the_run_waiting(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    waits = Patience(100.0, sleep=lambda seconds: None)

    outcome = follower(folder, Trouble(open=[AWAY] * 50), waits.wait).catch_up()

    cursor = load_cursor(folder, "memory")
    assert outcome == "waiting"
    assert (cursor.state, cursor.error) == ("waiting", "the tracker is away")


def test_progress_brings_back_short_delays_and_an_opened_connection_alone_does_not(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path, points=3000)
    waits = Waits(99)
    trouble = Trouble(deliver=[AWAY, AWAY, AWAY, AWAY])
    live = follower(folder, trouble, waits)
    live.catch_up()

    assert waits.waited_s == sorted(waits.waited_s)
    assert live.backoff.failures == 0


def test_slow_confirmations_get_more_time_each_try(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble(flush=[False, False])

    follower(folder, trouble, Waits(9)).catch_up()

    assert trouble.of("flush") == [60.0, 120.0, 240.0]


def test_a_server_may_ask_for_a_longer_pause(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    waits = Waits(1)

    follower(folder, Trouble(open=[TransientDeliveryError("429", retry_after_s=77.0)]), waits).catch_up()

    assert waits.waited_s == [77.0]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(DeliveryRefused("no key: set X"), "refused"), (AdapterBug("oh"), "broken"), (RuntimeError("oh"), "broken")],
)
def test_a_refusal_or_a_bug_stops_at_once_and_is_kept(tmp_path: Path, error: Exception, outcome: str) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble(deliver=[error])
    waits = Waits(9)

    assert follower(folder, trouble, waits).follow() == outcome

    cursor = load_cursor(folder, "memory")
    assert waits.waited_s == []
    assert cursor.state == outcome
    assert str(error) in (cursor.error or "")
    assert trouble.of("close") == [None]


def test_after_a_refusal_was_mended_the_next_relay_delivers_the_rest(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble(flush=[DeliveryRefused("no key")])
    follower(folder, trouble, Waits()).follow()

    assert follower(folder, trouble, Waits()).catch_up() == "delivered"

    cursor = load_cursor(folder, "memory")
    assert (cursor.state, cursor.error, sorted(delivered(folder).rows)) == ("delivered", None, list(range(6)))


def test_what_is_delivered_and_closed_is_not_even_opened_again(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble()
    follower(folder, trouble, Waits()).catch_up()

    assert follower(folder, trouble, Waits()).catch_up() == "delivered"

    assert len(trouble.of("open")) == 1


def test_a_run_that_was_resumed_after_its_delivery_is_taken_up_again(tmp_path: Path) -> None:
    folder, journal = told_run(tmp_path)
    trouble = Trouble()
    follower(folder, trouble, Waits()).catch_up()
    journal.tell(RunResumed, from_step=2).log(3, {"train/loss": 9.0})
    journal.tell(RunFinished, status="failed", exit_code=2).write(tmp_path)

    follower(folder, trouble, Waits()).catch_up()

    assert [ending.status for ending in trouble.of("close")] == ["finished", "failed"]
    assert sorted(delivered(folder).rows) == list(range(9))


def test_a_run_in_the_hands_of_another_relay_is_left_to_it(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    delivery_folder(folder).mkdir()
    trouble = Trouble()
    with held(lock_file(folder, "memory")):
        outcome = follower(folder, trouble, Waits()).catch_up()

    assert (outcome, trouble.calls) == ("held elsewhere", [])


def test_a_live_relay_stands_by_and_takes_over_when_the_other_dies(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    delivery_folder(folder).mkdir()
    other = held(lock_file(folder, "memory"))
    other.__enter__()
    trouble = Trouble()

    outcome = follower(folder, trouble, Waits(9, lambda: None, lambda: other.__exit__(None, None, None))).follow()

    assert (outcome, len(delivered(folder).rows)) == ("delivered", 6)


def test_a_live_relay_that_stands_by_goes_when_the_other_has_delivered(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble()
    follower(folder, trouble, Waits()).catch_up()
    with held(lock_file(folder, "memory")):
        assert follower(folder, trouble, Waits()).follow() == "delivered"

    assert len(trouble.of("open")) == 1


def test_a_damaged_cursor_is_a_refusal_and_is_left_as_it_is(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    delivery_folder(folder).mkdir()
    cursor_file(folder, "memory").write_bytes(b"{")
    trouble = Trouble()

    assert follower(folder, trouble, Waits()).catch_up() == "refused"

    assert cursor_file(folder, "memory").read_bytes() == b"{"
    assert trouble.calls == []


def test_a_run_that_was_deleted_is_let_go(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path, ends=False)

    def delete() -> None:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()

    assert follower(folder, Trouble(), Waits(9, delete)).follow() == "gone"
    assert not folder.exists()


def test_large_backlogs_go_in_growing_batches(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path, points=50_000)
    trouble = Trouble()

    follower(folder, trouble, Waits()).catch_up()

    assert [len(rows) for rows in trouble.of("deliver")] == [8000, 32_000, 10_003]


def test_an_adapter_that_does_not_exist_any_more_is_a_refusal(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    lost = Target("uninstalled")
    watch = RunWatch(folder, lambda session: True)
    gone = Follower(watch, lost, partial(connected, lost), lambda: ending_of(watch.record()), Waits())

    assert gone.catch_up() == "refused"
    assert "no adapter named 'uninstalled'" in (load_cursor(folder, "uninstalled").error or "")
