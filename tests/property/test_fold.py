"""The fold, on runs of any number of sessions, ranks, children, rewinds and logging orders."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackbridge.events.models import CheckpointSaved, ConfigLogged, MediaLogged, MetricsLogged, RunFinished, RunResumed
from trackbridge.journal import reader
from trackbridge.journal.paths import journal_files, run_folder
from trackbridge.store import chunks, follow, index
from trackbridge.store.fold import JournalEvents, fold
from trackbridge.store.records import Problem, RunRecord
from trackbridge.store.store import open_store
from trackbridge.testing.journals import ToldJournal, hex_id

RUN = hex_id("run")
VALUES = st.sampled_from([0.0, 1.0, -2.5, 1e300, math.nan, math.inf, -math.inf])
LOGGED = st.tuples(st.integers(0, 12), st.dictionaries(st.sampled_from(["a", "b", "c/d"]), VALUES, min_size=1))


@st.composite
def runs(draw: st.DrawFn) -> list[ToldJournal]:
    """The journals of one run: up to three sessions, each with a main writer and up to two others."""
    journals = []
    for session in range(draw(st.integers(1, 3))):
        main = ToldJournal(f"main-{session}", started_s=1000.0 * session, host="h", pid=session + 1)
        if session:
            main.tell(RunResumed, from_step=draw(st.one_of(st.none(), st.integers(0, 12))))
        else:
            main.start("run", tags=["t"])
        journals.append(main)
        for number, role in enumerate(draw(st.lists(st.sampled_from(["rank", "child"]), max_size=2))):
            # Offsets of half a second keep the times of writers apart: of equal times none is the later.
            began = 1000.0 * session + 0.25 * (number + 1)
            journals.append(
                ToldJournal(f"{role}-{session}-{number}", started_s=began, session_id=main.writer_id, role=role)
            )
    for journal in journals:
        for step, metrics in draw(st.lists(LOGGED, max_size=12)):
            journal.log(step, metrics, epoch=draw(st.one_of(st.none(), st.just(step / 4))))
        step = draw(st.integers(0, 12))
        journal.tell(CheckpointSaved, step=step, path=f"/out/{step}")
        journal.tell(MediaLogged, name="cm", step=step, media="image", path="x", size_bytes=1, sha256="0")
        journal.tell(ConfigLogged, scope="script", config={"k": draw(st.integers()), journal.file[:10]: step})
    if draw(st.booleans()):
        journals[0].tell(RunFinished, status="failed", error="boom")
    return journals


def folded(journals: Sequence[ToldJournal]) -> RunRecord:
    return fold(RUN, "demo", "/x", [journal.read() for journal in journals])


def points(record: RunRecord) -> dict[str, list[list[float]]]:
    """Every array of every metric; NaN becomes a word, so that it equals itself."""
    arrays = {name: record.series(name) for name in record.metrics}
    return {
        name: [[repr(value) for value in array.tolist()] for array in (one.steps, one.values, one.times_ns, one.epochs)]
        for name, one in arrays.items()
    }


@given(runs(), st.randoms(use_true_random=False))
def test_order_in_which_journals_are_given_does_not_matter(journals: list[ToldJournal], order: random.Random) -> None:
    shuffled = order.sample(journals, len(journals))

    assert repr(folded(shuffled)) == repr(folded(journals))
    assert points(folded(shuffled)) == points(folded(journals))


@given(runs())
def test_fold_agrees_with_a_walk_over_all_points(journals: list[ToldJournal]) -> None:
    sessions = sorted({int(journal.events[0].t) // 10**12 for journal in journals})
    from_steps = {
        sessions.index(int(journal.events[0].t) // 10**12): fact.from_step
        for journal in journals
        for fact in journal.events
        if isinstance(fact, RunResumed) and fact.from_step is not None
    }
    winners: dict[str, dict[int, tuple[tuple[int, int], float]]] = {}
    hidden = set()
    for journal in journals:
        session = sessions.index(int(journal.events[0].t) // 10**12)
        for event in journal.events:
            if not isinstance(event, MetricsLogged):
                continue
            for name, value in event.metrics.items():
                if any(step < event.step for later, step in from_steps.items() if later > session):
                    hidden.add((journal.file, name, event.step))
                    continue
                best = winners.setdefault(name, {}).get(event.step)
                if best is None or (session, event.t) > best[0]:
                    winners[name][event.step] = ((session, event.t), value)
    record = folded(journals)

    assert list(record.metrics) == sorted(winners)
    assert record.n_superseded == len(hidden)
    for name, by_step in winners.items():
        series = record.series(name)
        assert series.steps.tolist() == sorted(by_step)
        np.testing.assert_array_equal(series.values, [by_step[step][1] for step in sorted(by_step)])
        finite = [value for _, value in by_step.values() if math.isfinite(value)]
        summary = record.metrics[name]
        assert (summary.n, summary.n_nonfinite) == (len(by_step), len(by_step) - len(finite))
        assert (summary.minimum, summary.maximum) == (min(finite, default=None), max(finite, default=None))


def as_the_disk_tells(root: Path) -> RunRecord:
    """The record folded from whole files, without any index."""
    folder = run_folder(root, "demo", RUN)
    journals = []
    for path in journal_files(folder):
        read = reader.read_file(path)
        problems = [Problem(path.name, one.line, one.offset, one.reason) for one in read.problems]
        journals.append(JournalEvents(path.name, read.events, problems))
    return fold(RUN, "demo", str(folder), journals)


@pytest.fixture(scope="module", autouse=True)
def _small_pieces() -> object:
    """Chunks, batches and blocks so small that short journals need many of them."""
    with (
        patch.object(chunks, "CHUNK_POINTS", 4),
        patch.object(index, "CHUNK_POINTS", 4),
        patch.object(follow, "BATCH_BYTES", 700),
        patch.object(reader, "BLOCK_BYTES", 300),
    ):
        yield


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs(), st.integers(0, 2**32), st.booleans())
def test_index_tells_what_whole_files_tell_however_the_bytes_arrived(
    journals: list[ToldJournal], seed: int, is_damaged: bool
) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run_folder(root, "demo", RUN).mkdir(parents=True)
        store = open_store(root)
        folder = run_folder(root, "demo", RUN)
        unwritten = {folder / journal.file: b"".join(journal.lines()) for journal in journals}
        for path, content in unwritten.items():
            if is_damaged:
                at = chance.randrange(len(content))
                unwritten[path] = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        while unwritten:
            path = chance.choice(list(unwritten))
            size = chance.randrange(1, 1500)
            with path.open("ab") as file:
                file.write(unwritten[path][:size])
            unwritten[path] = unwritten[path][size:]
            if not unwritten[path]:
                del unwritten[path]
            if chance.random() < 0.5:
                store.runs()
        (record,) = store.runs()

        expected = as_the_disk_tells(root)
        assert repr(record).replace("status='lost'", "status='running'") == repr(expected)
        assert points(open_store(root).run(RUN)) == points(expected)
