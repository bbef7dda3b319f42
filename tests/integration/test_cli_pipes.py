"""What a command does when whoever reads its output goes away, as in `trackbridge ls | head -1`."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.integration.cli_kit import command, record

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows tells of a closed pipe in another way")

READER_GONE = 141


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipes")
    record(folder, "a", lr=1e-5)
    record(folder, "b", lr=2e-5)
    return folder


def to_nobody(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command with an output that nobody reads from the first byte on."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(command(*arguments), stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    "words",
    [
        "--help", "ls --help", "--version",
        "ls", "ls --json", "show a", "show a --full", "show a --json", "tail a", "tail a -f",
        "diff a b", "diff a b --format md", "diff a b --format json",
        "compare a b", "compare a b --format md", "compare a b --format json", "compare a b --format csv",
        "status", "status --json", "gc --dry-run", "rm a",
    ],
)  # fmt: skip
def test_a_command_whose_reader_went_away_ends_quietly_as_other_tools_do(words: str, root: Path) -> None:
    about_runs = "--help" not in words and words != "--version"

    done = to_nobody(*words.split(), *(["--root", root] if about_runs else []))

    assert (done.returncode, done.stderr) == (READER_GONE, "")


@pytest.mark.parametrize("words", ["doctor", "doctor --json"])
def test_a_doctor_whose_reader_went_away_ends_quietly(words: str, root: Path) -> None:
    done = to_nobody(*words.split()[:1], root, *words.split()[1:])

    assert (done.returncode, done.stderr) == (READER_GONE, "")


@pytest.mark.parametrize("words", ["show nobody", "ls --no-such-option", "diff a"])
def test_an_error_that_nobody_reads_ends_quietly(words: str, root: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(command(*words.split(), "--root", root), stdout=subprocess.PIPE, stderr=writer)

    os.close(writer)
    assert (done.returncode, done.stdout) == (READER_GONE, b"")


def test_the_first_line_is_enough_for_head(root: Path) -> None:
    with subprocess.Popen(
        command("show", "a", "--json", "--root", root), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) in [(READER_GONE, b""), (0, b"")]


def test_a_command_without_an_output_is_done(root: Path) -> None:
    script = f"exec {shlex.join(command('ls', '--root', root))} >&-"

    done = subprocess.run(["sh", "-c", script], stderr=subprocess.PIPE, text=True)

    assert (done.returncode, done.stderr) == (0, "")
