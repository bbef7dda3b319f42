"""The example of three comparisons that fool people draws its pictures, and says what the docs quote."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_story_draws_three_pictures_and_prints_every_sentence_that_is_quoted(tmp_path: Path) -> None:
    script = REPOSITORY / "examples" / "comparisons" / "story.py"

    said = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout

    page = (REPOSITORY / "docs" / "reading-a-comparison.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^> (.+)$", page, re.MULTILINE)
    assert len(quoted) == 4
    assert [sentence for sentence in quoted if sentence not in said] == []
    for name in ("pair", "longer", "layers"):
        drawn = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        kept = (REPOSITORY / "docs" / f"story-{name}.svg").read_text(encoding="utf-8")
        assert re.search(r"<desc[^>]*>(.*?)</desc>", drawn)[1] == re.search(r"<desc[^>]*>(.*?)</desc>", kept)[1]  # type: ignore[index]


def test_the_study_of_the_story_is_a_valid_one() -> None:
    from trackbridge.finetune.config_file import read_overrides
    from trackbridge.finetune.plan import read_plan

    plan = read_plan(REPOSITORY / "examples" / "comparisons" / "cola_layers.yaml", read_overrides(["data.folder=x"]))

    assert len(plan.runs) == 20
