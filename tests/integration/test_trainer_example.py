"""The example of the Trainer callback does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from process_kit import training_environment

import trackbridge as tb

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "trainer_callback.py"


def test_the_trainer_example_runs_offline_and_shows_its_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLE), str(tmp_path / "example")]
    done = subprocess.run(
        command, cwd=tmp_path, env=training_environment(), capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    records = tb.open_store(tmp_path / "example" / "runs").runs(project="trainer-example")
    assert {record.seeds.dropout for record in records} == {1, 2, 3}
    for record in records:
        [kept] = [checkpoint for checkpoint in record.checkpoints if checkpoint.kept]
        assert kept.metrics["eval/accuracy"] == record.metrics["eval/accuracy"].maximum
        assert f"{record.name}  finished  {kept.metrics['eval/accuracy']:.3f} at step {kept.step}" in done.stdout
