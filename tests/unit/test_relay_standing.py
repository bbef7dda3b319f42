"""How a delivery stands, as `trackbridge status` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from relay_kit import TARGET, Trouble, told_run

from trackbridge.errors import AdapterBug, DeliveryRefused, TransientDeliveryError
from trackbridge.journal.cursor import Cursor, cursor_file, lock_file, save_cursor
from trackbridge.journal.lock import held
from trackbridge.relay.delivery import note_failure
from trackbridge.relay.follower import Follower
from trackbridge.relay.header import ending_of
from trackbridge.relay.standing import standing, standings
from trackbridge.relay.watch import RunWatch


def deliver(folder: Path) -> None:
    watch = RunWatch(folder, lambda session: True)
    Follower(watch, TARGET, Trouble().connect, lambda: ending_of(watch.record()), lambda seconds: False).catch_up()


def test_a_delivered_run_is_delivered_until_there_is_news(tmp_path: Path) -> None:
    folder, journal = told_run(tmp_path)
    deliver(folder)
    before = standing(folder, "memory")
    journal.log(9, {"a": 1.0}).write(tmp_path)

    after = standing(folder, "memory")

    assert (before.state, before.waiting, before.mending_command) == ("delivered", 0, None)
    assert (after.state, after.waiting) == ("stopped", 1)
    assert after.mending_command == f"trackbridge sync {tmp_path} --to memory"


def test_a_target_that_was_asked_for_and_never_begun_has_stopped(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    save_cursor(folder, Cursor(target="wandb"))

    (one,) = standings(folder)

    assert (one.cursor.target, one.state, one.waiting) == ("wandb", "stopped", 6)


def test_a_delivery_is_under_way_while_a_relay_holds_its_lock(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    save_cursor(folder, Cursor(target="memory", state="delivering"))
    with held(lock_file(folder, "memory")):
        under_way = standing(folder, "memory").state
        note_failure(folder, TARGET, TransientDeliveryError("503"))
        waiting = standing(folder, "memory")

    assert under_way == "delivering"
    assert (waiting.state, waiting.cursor.error, waiting.mending_command) == ("waiting", "503", None)
    assert standing(folder, "memory").state == "stopped"


@pytest.mark.parametrize(("error", "state"), [(DeliveryRefused("no key"), "refused"), (AdapterBug("oh"), "broken")])
def test_what_a_person_has_to_mend_is_told_with_the_command(tmp_path: Path, error: Exception, state: str) -> None:
    folder, _ = told_run(tmp_path)
    note_failure(folder, TARGET, error)

    one = standing(folder, "memory")

    assert (one.state, one.cursor.error) == (state, str(error))
    assert one.mending_command == f"trackbridge sync {tmp_path} --to memory"


def test_a_damaged_cursor_is_shown_as_what_it_is(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    save_cursor(folder, Cursor(target="wandb:offline"))
    cursor_file(folder, "wandb:offline").write_bytes(b"{")

    (one,) = standings(folder)

    assert (one.cursor.target, one.state) == ("wandb:offline", "refused")
    assert "is damaged" in (one.cursor.error or "")
