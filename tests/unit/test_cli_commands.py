"""The table of commands: quick, documented, and with the exit codes the documentation lists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trackbridge import errors
from trackbridge.cli import exits
from trackbridge.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"


def commands() -> list[str]:
    return [command.name or "" for command in app.registered_commands]


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented(name: str) -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")

    assert f"## `trackbridge {name}" in page


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented(name: str) -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    of_command = re.split(rf"## `trackbridge {name}\b", page, maxsplit=1)[-1]
    section = of_command.partition("\n## ")[0] + page.partition("\n## ")[0]
    help_text = subprocess.run(
        [sys.executable, "-m", "trackbridge", name, "--help"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
        check=True,
    ).stdout

    assert [
        option for option in set(re.findall(r"--[a-z-]+", help_text)) - {"--help"} if f"`{option}" not in section
    ] == []


def test_every_exit_code_is_documented() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError("x"), 3),
        (errors.MissingDependencyError("x"), 4),
        (errors.JournalWriteError("x"), 5),
        (errors.MisuseError("x"), 2),
        (errors.SettingsError("x"), 2),
        (errors.PipelineConfigError("x"), 2),
        (errors.DataError("x"), 2),
    ],
)
def test_each_error_has_its_exit_code(error: errors.TrackbridgeError, code: int) -> None:
    assert exits.exit_code(error) == code


def test_help_answers_within_three_tenths_of_a_second() -> None:
    durations_s = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "trackbridge", "--help"], capture_output=True, check=True)
        after = os.times()
        durations_s.append(after.children_user + after.children_system - before.children_user - before.children_system)

    # Processor time, and the least of three: the rest measures what else the machine is doing.
    assert min(durations_s) < 0.3
