"""`trackbridge check` on runs that were really recorded: its exit codes, its files, what a baseline may be called."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli_kit import ESCAPE, HOSTILE, Done, call

import trackbridge as tb

Capture = pytest.CaptureFixture[str]
DECIDES = ("--metric", "eval/mcc", "--worse-than", "0.02")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "runs"))
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path / "runs"


def record(root: Path, group: str | None, mean: float, *, n: int = 4, lr: float = 2e-5, name: str = "") -> None:
    """Runs with dropout seeds 0 to n - 1, whose scores lie close around a mean."""
    for seed in range(n):
        label = name or f"{group}-{seed}"
        with tb.start_run("cola", name=label, group=group, root=root, config={"lr": lr}) as run:
            run.log_seeds(tb.Seeds(init=1, data=2, dropout=seed))
            run.log({"eval/mcc": mean + random.Random(f"{label} {group} {seed}").gauss(0, 0.002)}, step=100)


def check(capsys: Capture, *arguments: object) -> Done:
    return call(capsys, "check", *arguments, *DECIDES)


@pytest.mark.parametrize(
    ("mean", "code", "outcome"), [(0.6, 0, "pass"), (0.5, 1, "fail"), (0.58, 6, "cannot tell")], ids=["0", "1", "6"]
)
def test_each_decision_has_its_exit_code(root: Path, capsys: Capture, mean: float, code: int, outcome: str) -> None:
    record(root, "main", 0.6)
    record(root, "pr-7", mean)

    done = check(capsys, "--group", "pr-7", "--baseline", "main")

    assert done.code == code
    assert done.out.startswith(f"{outcome}: eval/mcc with a margin of 0.02\n")
    assert "(95 % interval, 4 pairs of equal seeds)" in done.out


@pytest.mark.parametrize(
    ("choice", "code", "kind"), [("own", 6, "error"), ("fail", 1, "failure"), ("pass", 0, "skipped")]
)
def test_what_cannot_be_told_ends_as_one_chooses(
    root: Path, capsys: Capture, tmp_path: Path, choice: str, code: int, kind: str
) -> None:
    record(root, "main", 0.6, n=1)
    record(root, "pr-7", 0.59, n=1)

    done = check(
        capsys, "--group", "pr-7", "--baseline", "main", "--cannot-tell", choice, "--junit", tmp_path / "check.xml"
    )

    assert done.code == code
    assert done.out.startswith("cannot tell: ")
    assert len(list(ElementTree.parse(tmp_path / "check.xml").getroot().iter(kind))) == 1


def test_a_lost_metric_fails_and_says_so(root: Path, capsys: Capture) -> None:
    record(root, "main", 0.6)
    record(root, "pr-7", 0.6, n=3)
    with tb.start_run("cola", name="mute", group="pr-7", root=root, config={"lr": 2e-5}) as run:
        run.log({"train/loss": 1.0}, step=1)

    done = check(capsys, "--group", "pr-7", "--baseline", "main")

    assert done.code == 1
    assert "1 of 4 runs of pr-7 failed: mute (no eval/mcc)" in done.out
    assert check(capsys, "--group", "pr-7", "--baseline", "main", "--failed-allowed", "1").code == 0


def test_a_baseline_may_be_a_group_a_run_or_another_root(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record(root, "main", 0.6)
    record(tmp_path / "golden", None, 0.6, name="reference")
    record(root, "pr-7", 0.5)

    for baseline in ("main", "main-2", "cola/main-2", tmp_path / "golden", "golden"):
        done = check(capsys, "--group", "pr-7", "--baseline", baseline, "--format", "json")
        scored = json.loads(done.out)["cases"][1]
        assert (done.code, scored["n"], scored["n_baseline"]) == (1, 4, 4)


def test_a_run_of_a_study_stands_for_its_replicates(root: Path, capsys: Capture) -> None:
    record(root, "study", 0.6, lr=1e-5, name="plain")
    record(root, "study", 0.5, lr=2e-5, name="changed")

    done = check(capsys, "--group", "study", "--baseline", "plain", "--format", "json")

    assert [case["setting"] for case in json.loads(done.out)["cases"]] == ["lr=2e-05", "lr=2e-05"]
    assert done.code == 1


def test_named_runs_are_judged_though_their_config_is_the_baselines(root: Path, capsys: Capture) -> None:
    record(root, None, 0.6, name="old")
    record(root, None, 0.5, n=1, name="new")

    done = check(capsys, "new", "--baseline", "old", "--format", "json")

    scored = json.loads(done.out)["cases"][1]
    assert (scored["n"], scored["n_baseline"], scored["outcome"]) == (1, 4, "cannot tell")


def test_a_baseline_of_two_projects_is_the_one_of_the_project_judged(root: Path, capsys: Capture) -> None:
    record(root, "pr-7", 0.6)
    for project in ("cola", "sst2"):
        with tb.start_run(project, name="plain", root=root, config={"lr": 3e-5}) as run:
            run.log({"eval/mcc": 0.5}, step=1)

    ambiguous = check(capsys, "--group", "pr-7", "--baseline", "plain")

    assert ambiguous.code == 2
    assert "baseline 'plain' could be runs of cola, sst2: write project/name, or an id" in ambiguous.err
    assert check(capsys, "--project", "cola", "--baseline", "plain").code == 6
    assert check(capsys, "--group", "pr-7", "--baseline", "sst2/plain").code == 6


def test_a_name_of_two_meanings_is_refused(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record(root, "golden", 0.6)
    record(tmp_path / "golden", "kept", 0.6)
    record(root, "pr-7", 0.6)

    done = check(capsys, "--group", "pr-7", "--baseline", "golden")

    assert done.code == 2
    assert "'golden' could be a group or a folder: write ./golden for a folder" in done.err
    assert check(capsys, "--group", "pr-7", "--baseline", "./golden").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--baseline", "mian"), 3, "no group, folder or run is called 'mian' (known: "),
        (("--baseline", "main", "--metric", "eval/mc"), 3, "did you mean 'eval/mcc'?"),
        (("--baseline", "main", "--worse-than", "-1"), 2, "the margin is -1.0; expected 0 or more"),
        (
            ("--baseline", "main", "--cannot-tell", "maybe"),
            2,
            "--cannot-tell cannot be 'maybe' (known: fail, ",
        ),
        (("--baseline", "main", "--format", "csv"), 2, "--format cannot be 'csv' (known: json, md, table)"),
        (("--baseline", "pr-7"), 2, "all runs are the baseline's own"),
        (("--baseline", "main", "--junit", "no/such/folder.xml"), 2, "cannot write"),
    ],
)
def test_misuse_is_one_line_and_no_decision(
    root: Path, capsys: Capture, arguments: tuple[str, ...], code: int, told: str
) -> None:
    record(root, "main", 0.6)
    record(root, "pr-7", 0.6)

    done = call(capsys, "check", "--group", "pr-7", *DECIDES, *arguments)

    assert (done.code, len(done.err.splitlines())) == (code, 1)
    assert told in done.err


def test_an_empty_folder_is_no_baseline(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record(root, "pr-7", 0.6)
    (tmp_path / "empty").mkdir()

    done = check(capsys, "--group", "pr-7", "--baseline", tmp_path / "empty")

    assert done.code == 3
    assert "there are no runs below" in done.err


def test_the_summary_is_appended_where_github_or_an_option_says(
    root: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(root, "main", 0.6)
    record(root, "pr-7", 0.5)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    (tmp_path / "step.md").write_text("before\n", encoding="utf-8")

    printed = check(capsys, "--group", "pr-7", "--baseline", "main", "--format", "md").out
    check(capsys, "--group", "pr-7", "--baseline", "main", "--summary", tmp_path / "own.md")

    assert (tmp_path / "step.md").read_text(encoding="utf-8") == f"before\n{printed}\n"
    assert (tmp_path / "own.md").read_text(encoding="utf-8") == f"{printed}\n"


def test_hostile_names_are_text_in_the_terminal_and_in_every_file(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record(root, "main", 0.6, n=3)
    with tb.start_run("cola", name=HOSTILE, group=HOSTILE, root=root, config={"lr": 2e-5}) as run:
        run.log({"train/loss": 1.0}, step=1)
    files = ("--junit", tmp_path / "check.xml", "--summary", tmp_path / "check.md")

    done = check(capsys, "--group", HOSTILE, "--baseline", "main", *files)

    assert done.code == 1
    assert ESCAPE not in done.out
    assert ESCAPE not in (tmp_path / "check.md").read_text(encoding="utf-8")
    failures = list(ElementTree.parse(tmp_path / "check.xml").getroot().iter("failure"))
    assert r"\x1b[2J" in (failures[0].text or "")


def test_nothing_is_written_into_the_runs(root: Path, capsys: Capture, tmp_path: Path) -> None:
    record(root, "main", 0.6)
    record(root, "pr-7", 0.5)
    record(tmp_path / "golden", None, 0.6, name="reference")
    folders = (root / "cola", tmp_path / "golden" / "cola")

    def seen() -> dict[Path, tuple[int, int]]:
        files = [path for folder in folders for path in folder.rglob("*")]
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = seen()
    check(capsys, "--group", "pr-7", "--baseline", "main")
    check(capsys, "--group", "pr-7", "--baseline", tmp_path / "golden")

    assert seen() == before
