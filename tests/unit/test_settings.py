"""Explicit argument, then environment, then pyproject.toml, then default; and what is said of a wrong one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from trackbridge.errors import SettingsError
from trackbridge.settings import Settings, launcher_rank, load_settings, reproducibility_variables


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a `[tool.trackbridge]` table above it."""
    (tmp_path / "pyproject.toml").write_text('[tool.trackbridge]\nroot = "runs"\nlost_after_s = 30\n', "utf-8")
    folder = tmp_path / "src" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return tmp_path


def write_table(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.trackbridge]\n{text}\n", "utf-8")


def test_without_anything_set_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.root == Path("trackbridge-runs")
    assert not settings.strict


def test_pyproject_is_found_in_the_folders_above_and_its_root_lies_beside_it(project: Path) -> None:
    settings = load_settings()
    assert settings.root == project / "runs"
    assert settings.lost_after_s == 30.0


def test_the_environment_goes_before_pyproject_and_an_argument_before_both(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", "elsewhere")
    assert load_settings().root == Path("elsewhere")
    assert load_settings(root="here").root == Path("here")
    assert load_settings(root=None).root == Path("elsewhere")
    assert load_settings().lost_after_s == 30.0


def test_an_absolute_root_in_pyproject_stays_as_it_is(project: Path) -> None:
    write_table(project, f"root = '{project.anchor}runs'")
    assert load_settings().root == Path(f"{project.anchor}runs")


def test_the_nearest_pyproject_alone_counts(project: Path) -> None:
    (project / "src" / "pyproject.toml").write_text("[project]\nname = 'inner'\n", "utf-8")
    assert load_settings() == Settings()


def test_settings_are_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings().strict
    monkeypatch.setenv("TRACKBRIDGE_STRICT", "1")
    assert load_settings().strict
    monkeypatch.setenv("TRACKBRIDGE_STRICT", "false")
    assert not load_settings().strict


def test_an_empty_variable_and_one_of_somebody_else_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_ROOT", "")
    monkeypatch.setenv("TRACKBRIDGE_ROOTS", "x")
    assert load_settings() == Settings()


def test_an_unknown_name_in_pyproject_is_refused_with_the_nearest(project: Path) -> None:
    write_table(project, "lost_after = 30")
    expected = r"unknown setting 'lost_after' in pyproject.toml \[tool.trackbridge\] .*did you mean 'lost_after_s'"
    with pytest.raises(SettingsError, match=expected):
        load_settings()


def test_an_unknown_argument_is_refused(project: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'stric' in argument .*did you mean 'strict'"):
        load_settings(stric=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "lost_after_s = 0",
            r"setting 'lost_after_s' from pyproject.toml \[tool.trackbridge\] is 0: expected `float` > 0",
        ),
        ("strict = 'perhaps'", r"setting 'strict' from pyproject.toml .* is 'perhaps': expected `bool`"),
        ("root = 5", r"setting 'root' from pyproject.toml .* is 5: "),
        ("patch_limit_bytes = -1", r"'patch_limit_bytes' .* is -1: expected `int` >= 0"),
    ],
)
def test_a_wrong_value_in_pyproject_says_where_it_stands(project: Path, line: str, message: str) -> None:
    write_table(project, line)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_a_wrong_value_elsewhere_says_where_it_came_from(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"setting 'lost_after_s' from argument is -1"):
        load_settings(lost_after_s=-1)
    monkeypatch.setenv("TRACKBRIDGE_LOST_AFTER_S", "soon")
    with pytest.raises(SettingsError, match=r"setting 'lost_after_s' from environment is 'soon': expected `float`"):
        load_settings()
    assert load_settings(lost_after_s=5).lost_after_s == 5.0


def test_a_pyproject_that_is_no_toml_is_refused_only_where_it_has_a_table_of_ours(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.trackbridge]\nroot = \n", "utf-8")
    with pytest.raises(SettingsError, match=r"pyproject.toml is not valid TOML: "):
        load_settings()
    (project / "pyproject.toml").write_text("[tool.other]\nroot = \n", "utf-8")
    assert load_settings() == Settings()
    (project / "pyproject.toml").write_bytes(b"\xff\xfe[tool.trackbridge]")
    assert load_settings() == Settings()


def test_every_setting_says_what_it_is_for() -> None:
    described = {name: get_args(hint)[1].description for name, hint in _hints().items()}
    assert [name for name, description in described.items() if not description] == []


def _hints() -> dict[str, Any]:
    return get_type_hints(Settings, include_extras=True)


@pytest.mark.parametrize(("word", "is_on"), [("on", True), ("yes", True), ("1", True), ("off", False), ("no", False)])
def test_a_switch_is_written_as_people_write_it(word: str, is_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_STRICT", word)

    assert load_settings().strict is is_on


def test_targets_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_TO", "wandb, comet:offline,")

    assert load_settings().to == ("wandb", "comet:offline")


@pytest.mark.parametrize(
    ("rank", "size", "expected"),
    [(None, None, (0, 1)), ("3", "8", (3, 8)), ("0", "1", (0, 1)), ("3", None, (0, 1)), ("x", "8", (0, 1))],
)
def test_the_launcher_tells_rank_and_size(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, size: str | None, expected: tuple[int, int]
) -> None:
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert launcher_rank() == expected


def test_variables_that_change_numbers_are_recorded_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("HF_TOKEN", "swordfish")
    found = reproducibility_variables()
    assert found["OMP_NUM_THREADS"] == "3"
    assert "swordfish" not in found.values()


def test_reading_settings_without_a_table_parses_no_toml() -> None:
    script = (
        "import sys; sys.modules.pop('tomllib', None)\n"
        "import trackbridge.settings; trackbridge.settings.load_settings()\n"
        "sys.exit(int('tomllib' in sys.modules or 'tomli' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
