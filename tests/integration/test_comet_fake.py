"""The Comet server on loopback is one to the SDK: a script that knows nothing of trackbridge runs against it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from trackbridge.testing.fake_comet import FakeComet
from trackbridge.testing.seen import SeenMedia

KEY = "a" * 32
SCRIPT = f"""
import comet_ml
quiet = comet_ml.ExperimentConfig(log_env_details=False, log_code=False, name="plain", tags=["one"])
for steps in (range(1, 4), range(4, 7)):
    experiment = comet_ml.start(experiment_key="{KEY}", mode="get_or_create", experiment_config=quiet)
    for step in steps:
        experiment.log_metric("train/loss", 1 / step, step=step)
    experiment.log_parameters({{"optimizer": {{"lr": 2e-5}}}})
    experiment.log_text("The cat sat.", step=int(steps[0]))
    experiment.end()
read = comet_ml.APIExperiment(previous_experiment="{KEY}")
assert [point["step"] for point in read.get_metrics("train/loss")] == [1, 2, 3, 4, 5, 6]
assert read.get_state() == "finished"
assert read.get_asset(read.get_asset_list()[0]["assetId"]) == b"The cat sat."
"""


def test_the_sdk_starts_resumes_logs_uploads_and_reads_back(tmp_path: Path) -> None:
    with FakeComet() as comet:
        environment = {**os.environ, **comet.environment}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr
        seen = comet.seen(KEY)
        assert seen.curve("train/loss") == [(step, 1 / step) for step in range(1, 7)]
        assert (seen.name, seen.tags, seen.status) == ("plain", {"one"}, "finished")
        assert seen.config["optimizer/lr"] == "2e-05"
        assert [media for media in seen.media if media.media == "text"] == [
            SeenMedia("auto-generated-in-the-backend", "text", step) for step in (1, 4)
        ]
