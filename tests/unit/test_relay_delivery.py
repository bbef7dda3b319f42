"""A batch is written down, handed over, confirmed, counted; whatever fails in between, nothing else is counted."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

import pytest
from relay_kit import TARGET, Trouble, TroubledAdapter, delivered, told_run

from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef
from trackbridge.errors import AdapterBug, DeliveryRefused, MissingDependencyError, TransientDeliveryError
from trackbridge.events.models import CheckpointSaved, RunFinished
from trackbridge.journal.cursor import load_cursor
from trackbridge.journal.paths import run_folder
from trackbridge.relay.delivery import RunDelivery, note_failure
from trackbridge.relay.header import header_of
from trackbridge.settings import CheckpointUpload
from trackbridge.store.store import open_store
from trackbridge.testing.journals import ToldJournal

FINISHED = Ending("finished", 0)


def delivery_of(folder: Path, trouble: Trouble, *, checkpoints: CheckpointUpload = "none") -> RunDelivery:
    record = open_store(folder.parent.parent).run(folder.name)
    return RunDelivery(header_of(record), TARGET, TroubledAdapter(trouble), checkpoints=checkpoints)


def deliver(folder: Path, trouble: Trouble, *, limit: int = 2, checkpoints: CheckpointUpload = "none") -> RunDelivery:
    delivery = delivery_of(folder, trouble, checkpoints=checkpoints)
    delivery.open()
    while delivery.deliver_new(limit):
        pass
    delivery.close(FINISHED)
    return delivery


def run_with_checkpoints(root: Path, *scores: float, metric: str = "eval/mcc") -> tuple[Path, ToldJournal]:
    """A run with a checkpoint at steps 1, 2, 3, ..., with these scores."""
    _, journal = told_run(root, points=0, ends=False)
    for step, score in enumerate(scores, start=1):
        journal.tell(CheckpointSaved, step=step, path=f"checkpoint-{step}", metrics={metric: score})
    journal.tell(RunFinished, status="finished").write(root)
    return run_folder(root, "demo", journal.run_id), journal


def kept_checkpoints(folder: Path) -> list[int]:
    return [event.step for event in delivered(folder).rows.values() if isinstance(event, CheckpointSaved)]


def test_a_run_is_delivered_in_confirmed_batches_and_closed(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble()

    deliver(folder, trouble)

    cursor = load_cursor(folder, "memory")
    assert trouble.of("deliver") == [[0, 1], [2, 3], [4, 5]]
    assert [name for name, _ in trouble.calls] == ["open", *["deliver", "flush"] * 3, "close"]
    assert (cursor.state, cursor.next_row, cursor.in_flight, cursor.closed_as) == ("delivered", 6, None, "finished")
    assert cursor.events_waiting(folder) == 0


def test_a_batch_is_written_down_before_it_is_handed_over(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    seen: list[dict[str, int] | None] = []
    trouble = Trouble()

    class Looking(TroubledAdapter):
        def deliver(self, rows):
            seen.append(load_cursor(folder, "memory").in_flight)
            return super().deliver(rows)

    delivery = delivery_of(folder, trouble)
    delivery._adapter = Looking(trouble)
    delivery.open()
    delivery.deliver_new(4)

    assert [list((in_flight or {}).values()) for in_flight in seen] == [[4]]


@pytest.mark.parametrize("where", ["deliver", "flush"])
def test_what_failed_in_flight_is_repeated_with_the_same_numbers(tmp_path: Path, where: str) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble(**{where: [TransientDeliveryError("away")]})
    with pytest.raises(TransientDeliveryError):
        deliver(folder, trouble, limit=4)
    assert load_cursor(folder, "memory").next_row == 0

    # Another limit: the batch is the one that was in flight, whatever fits into one now.
    deliver(folder, trouble, limit=1)

    assert trouble.of("deliver") == [[0, 1, 2, 3], [0, 1, 2, 3], [4], [5]]
    assert sorted(delivered(folder).rows) == list(range(6))


def test_a_batch_that_is_not_confirmed_is_not_counted(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    delivery = delivery_of(folder, Trouble(flush=[False]))
    delivery.open()

    with pytest.raises(TransientDeliveryError, match="did not confirm 6 events in 60 s"):
        delivery.deliver_new()

    cursor = load_cursor(folder, "memory")
    assert delivery.is_unconfirmed
    assert (cursor.next_row, list((cursor.in_flight or {}).values())) == (0, [6])


def test_the_tracker_gets_back_the_reference_it_gave(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    reference = RemoteRef("run-7", "http://tracker/run-7", state={"offset": 3})
    trouble = Trouble(open=[reference])
    delivery_of(folder, trouble).open()

    delivery_of(folder, trouble).open()

    assert trouble.of("open") == [None, reference]


def test_a_tracker_that_lost_rows_gets_all_of_them_again(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble()
    deliver(folder, trouble)
    trouble.next["open"] = [RemoteRef("run", delivered_rows=2)]

    deliver(folder, trouble, limit=10)

    assert trouble.of("deliver")[-1] == [0, 1, 2, 3, 4, 5]
    assert load_cursor(folder, "memory").next_row == 6


def test_rejections_are_counted_once_though_their_batch_is_repeated(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    lost = Delivery((Rejection(2, "metrics_logged", "train/loss", "too small"),))
    trouble = Trouble(deliver=[lost, lost], flush=[False])
    with pytest.raises(TransientDeliveryError):
        deliver(folder, trouble, limit=10)

    deliver(folder, trouble, limit=10)

    cursor = load_cursor(folder, "memory")
    assert cursor.rejected == 1
    assert [(note.what, note.reason, note.count) for note in cursor.rejections] == [("train/loss", "too small", 1)]


def test_what_an_adapter_lets_slip_is_a_bug_of_it(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)

    with pytest.raises(AdapterBug, match="memory adapter failed: KeyError: 'loss'"):
        deliver(folder, Trouble(deliver=[KeyError("loss")]))


@pytest.mark.parametrize("error", [ValueError("oh"), AdapterBug("oh")])
def test_a_bug_beside_an_untested_sdk_tells_the_version_to_install(tmp_path: Path, error: Exception) -> None:
    folder, _ = told_run(tmp_path)

    class Old(TroubledAdapter):
        capabilities = Capabilities(sdk="msgspec", tested_versions=("0.1.0", "0.2.0"))

    delivery = delivery_of(folder, Trouble())
    delivery._adapter = Old(Trouble(open=[error]))
    with pytest.raises(
        AdapterBug, match=r"oh\. msgspec .* with 0\.1\.0 to 0\.2\.0\. If it fails: pip install msgspec==0\.2\.0"
    ):
        delivery.open()


def test_a_closed_run_that_goes_on_is_open_again(tmp_path: Path) -> None:
    folder, journal = told_run(tmp_path)
    trouble = Trouble()
    deliver(folder, trouble)
    journal.log(9, {"train/loss": 0.1}).write(tmp_path)

    delivery = delivery_of(folder, trouble)
    delivery.open()
    delivery.deliver_new()

    cursor = load_cursor(folder, "memory")
    assert (cursor.state, cursor.closed_as, cursor.next_row) == ("delivering", None, 7)


def test_the_best_checkpoint_is_the_best_of_all_relays_and_not_of_the_last(tmp_path: Path) -> None:
    folder, _ = run_with_checkpoints(tmp_path, 0.3, 0.5, 0.4, 0.6)
    for _ in range(6):
        delivery = delivery_of(folder, Trouble(), checkpoints="best")
        delivery.open()
        delivery.deliver_new(1)
        delivery.abandon()

    assert kept_checkpoints(folder) == [1, 2, 4]
    assert load_cursor(folder, "memory").best_score == 0.6


def test_a_batch_that_is_repeated_uploads_the_same_checkpoints(tmp_path: Path) -> None:
    folder, _ = run_with_checkpoints(tmp_path, 0.3, 0.5)
    uploads: list[list[str | None]] = []

    class Noting(TroubledAdapter):
        def deliver(self, rows):
            uploads.append([row.upload for row in rows if isinstance(row.event, CheckpointSaved)])
            return super().deliver(rows)

    trouble = Trouble(flush=[False])
    for is_first in (True, False):
        delivery = delivery_of(folder, trouble, checkpoints="all")
        delivery._adapter = Noting(trouble)
        with pytest.raises(TransientDeliveryError) if is_first else nullcontext():
            delivery.open() or delivery.deliver_new(10)

    assert uploads == [["best", "best"]] * 2


@pytest.mark.parametrize(("policy", "kept"), [("none", []), ("best", [1, 3]), ("all", [1, 2, 3])])
def test_the_policy_says_which_checkpoints_are_uploaded(
    tmp_path: Path, policy: CheckpointUpload, kept: list[int]
) -> None:
    folder, _ = run_with_checkpoints(tmp_path, 0.3, math.nan, 0.4)

    deliver(folder, Trouble(), checkpoints=policy)

    assert kept_checkpoints(folder) == kept


def test_lower_is_better_where_the_metric_is_a_loss(tmp_path: Path) -> None:
    folder, _ = run_with_checkpoints(tmp_path, 0.3, 0.5, 0.2, metric="eval/loss")

    deliver(folder, Trouble(), checkpoints="best")

    assert kept_checkpoints(folder) == [1, 3]


def test_an_abandoned_connection_is_closed_without_an_ending_whatever_it_says(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    trouble = Trouble(close=[TransientDeliveryError("away")])
    delivery = delivery_of(folder, trouble)
    delivery.abandon()
    delivery.open()

    delivery.abandon()

    assert trouble.of("close") == [None]


def test_a_folder_that_cannot_be_written_is_trouble_that_may_pass(tmp_path: Path) -> None:
    folder, _ = told_run(tmp_path)
    (folder / "delivery" / "memory.draft").mkdir(parents=True)

    with pytest.raises(TransientDeliveryError, match=r"cannot use .*memory\.draft: Is a directory"):
        delivery_of(folder, Trouble()).open()


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (TransientDeliveryError("503"), "waiting"),
        (DeliveryRefused("no key: set WANDB_API_KEY"), "refused"),
        (MissingDependencyError.for_extra("wandb", "wandb", "wandb"), "refused"),
        (AdapterBug("KeyError"), "broken"),
    ],
)
def test_a_failure_is_noted_beside_what_was_delivered(tmp_path: Path, error: Exception, state: str) -> None:
    folder, _ = told_run(tmp_path)
    delivery = delivery_of(folder, Trouble())
    delivery.open()
    delivery.deliver_new(2)

    note_failure(folder, TARGET, error)

    cursor = load_cursor(folder, "memory")
    assert (cursor.state, cursor.error, cursor.next_row) == (state, str(error), 2)


def test_a_secret_in_an_error_does_not_reach_the_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = told_run(tmp_path)
    monkeypatch.setenv("COMET_API_KEY", "kYpT0p5ecret25characters")

    note_failure(folder, TARGET, TransientDeliveryError("GET /run?apiKey=kYpT0p5ecret25characters failed"))

    assert load_cursor(folder, "memory").error == "GET /run?apiKey=***masked*** failed"
