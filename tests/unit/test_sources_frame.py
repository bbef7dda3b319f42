"""The parts under every source: names and files made safe, sources found, journals written whole or not at all."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackbridge.errors import MisuseError, NotFoundError, SourceRefused
from trackbridge.events.models import MetricsLogged, RunStarted, SummaryLogged
from trackbridge.events.names import check_metric_name, check_project_name
from trackbridge.journal.imported import INTEGRITY_EVERY_LINES, ImportedJournal
from trackbridge.journal.lock import held
from trackbridge.journal.reader import read_file
from trackbridge.sources.files import checked_name, file_inside, file_outside
from trackbridge.sources.importing import import_runs
from trackbridge.sources.known import read_known
from trackbridge.sources.protobuf import fields
from trackbridge.sources.registry import BUILT_IN, find_source, load_source
from trackbridge.sources.wording import metric_name, project_name
from trackbridge.testing.written import events_of, problems

IDENTITY = {"run_id": "0" * 32, "writer_id": "1" * 32, "session_id": "1" * 32, "role": "import"}
any_text = st.text(st.characters(codec=None), max_size=700)


@given(any_text)
def test_any_name_becomes_one_that_a_metric_can_have(name: str) -> None:
    assert check_metric_name(metric_name(name))


@given(st.text("ab", min_size=501, max_size=600), st.text("ab", min_size=501, max_size=600))
def test_two_long_names_stay_two(first: str, second: str) -> None:
    assert (metric_name(first) == metric_name(second)) == (first == second)


@given(any_text)
def test_any_name_becomes_one_that_a_project_can_have(name: str) -> None:
    assert check_project_name(project_name(name))


def test_a_name_that_can_be_stays_as_it_is() -> None:
    assert metric_name("eval/größe ☃") == "eval/größe ☃"
    assert project_name("my project-1.2") == "my project-1.2"


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../../up", "..", "C:\\x", "c:x", "\\\\host\\share", "a\\..\\b", "a\nb", "", "x" * 2000],
)
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(SourceRefused, match=r"run\.log names"):
        checked_name(name, named_by="run.log")


@pytest.mark.parametrize("name", ["a", "a/b.png", "..a", "a..b/c..", "日本/x y"])
def test_names_that_stay_inside_are_taken(name: str) -> None:
    assert checked_name(name, named_by="run.log") == name


def test_links_are_followed_only_to_where_the_user_allowed_it(tmp_path: Path) -> None:
    inside, elsewhere = tmp_path / "inside", tmp_path / "elsewhere"
    inside.mkdir()
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(b"bytes")
    (inside / "link").symlink_to(elsewhere / "file")
    (inside / "loop").symlink_to(inside / "loop")

    assert file_inside(inside, "link", named_by="x") is None
    assert file_inside(inside, "loop", named_by="x") is None
    assert file_inside(inside, "gone", named_by="x") is None
    allowed = file_inside(inside, "link", named_by="x", also=[elsewhere])
    assert allowed is not None
    with allowed.open() as file:
        assert file.read() == b"bytes"
    assert file_outside(str(elsewhere / "file"), allowed=[inside]) is None
    assert file_outside(str(inside / ".." / "elsewhere" / "file"), allowed=[inside]) is None
    assert file_outside(str(elsewhere / "file"), allowed=[tmp_path]) is not None


def test_an_unknown_source_is_told_with_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match="wandb"):
        load_source("wandbb")


def test_every_built_in_source_loads_and_has_its_name() -> None:
    assert [load_source(name).name for name in BUILT_IN] == list(BUILT_IN)


def test_a_place_that_nobody_knows_is_told(tmp_path: Path) -> None:
    (tmp_path / "poem.xyz").write_text("Es war einmal")

    with pytest.raises(NotFoundError, match="nothing at"):
        find_source(str(tmp_path / "gone"))
    with pytest.raises(NotFoundError, match="--from"):
        find_source(str(tmp_path / "poem.xyz"))


def test_two_imports_into_one_root_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run-a.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    root = tmp_path / "runs"
    root.mkdir()

    with held(root / ".importing"), pytest.raises(MisuseError, match="another import"):
        import_runs(tmp_path / "wandb", source="wandb", root=root)

    assert import_runs(tmp_path / "wandb", source="wandb", root=root).problems


def test_a_journal_is_there_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    with ImportedJournal(tmp_path, IDENTITY, started_ns=5) as journal:
        journal.append(RunStarted(seq=0, t=5, project="p", name="n"))
        assert not journal.path.exists()
        for step in range(2 * INTEGRITY_EVERY_LINES):
            journal.append_points(5 + step, step, {"loss": math.nan if step % 7 == 0 else 0.5}, None)

    assert problems(journal.path) == []
    assert len(events_of(tmp_path, MetricsLogged)) == 2 * INTEGRITY_EVERY_LINES
    assert read_file(journal.path).events[0].t == 5


def test_a_journal_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ImportedJournal(tmp_path, IDENTITY, started_ns=5) as journal:  # noqa: PT012 - its exit
        journal.append(RunStarted(seq=0, t=5, project="p", name="n"))
        raise KeyError("broke off")

    assert list(tmp_path.iterdir()) == []


def test_a_journal_without_events_is_none(tmp_path: Path) -> None:
    with ImportedJournal(tmp_path, IDENTITY, started_ns=5):
        pass

    assert list(tmp_path.iterdir()) == []


def test_what_is_known_has_no_order_and_no_numbers(tmp_path: Path) -> None:
    with ImportedJournal(tmp_path, IDENTITY, started_ns=5) as journal:
        journal.append(SummaryLogged(seq=0, t=6, values={"a": math.nan}))
        journal.append_points(7, 1, {"loss": math.nan, "acc": 0.5}, None)

    known = read_known(tmp_path)

    assert known.has(SummaryLogged(seq=99, t=6, values={"a": math.nan}))
    assert not known.has(SummaryLogged(seq=1, t=7, values={"a": math.nan}))
    assert known.new_of(7, 1, {"loss": math.nan, "acc": 0.25}) == {"acc": 0.25}
    assert known.new_of(8, 1, {"acc": 0.5}) == {"acc": 0.5}


@given(st.binary(max_size=40))
def test_any_bytes_are_fields_or_an_error(message: bytes) -> None:
    try:
        for number, value in fields(message):
            assert number >= 0
            assert isinstance(value, (int, bytes))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ends are right ones
