"""One run by each vendor's own SDK, offline: what sources read and what bridges are tried with."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comet_kit import run_script

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOSTILE_NAME = "../../<b>escape</b>"

WANDB = """
import math, sys, threading
import numpy as np
import wandb
folder = sys.argv[1]
run = wandb.init(
    mode="offline", dir=folder, id="abc123", project="sentiment", name="läuft", notes="line one\\nline two",
    tags=["a", "б"], group="study", job_type="train",
    config={"optimizer": {"lr": 2e-5, "betas": [0.9, 0.999]}, "ключ": "значение", "layers": 12, "ratio": 3.0},
    settings=wandb.Settings(x_stats_sampling_interval=0.5, silent=True),
)
run.define_metric("global_step")
run.define_metric("eval/*", step_metric="global_step")
print("it trains, 日本")
for number in range(5):
    run.log({"train/loss": 1 / (number + 1), "nested": {"deep": {"er": number}}})
run.log({"train/loss": math.nan, "high": math.inf, sys.argv[2]: -math.inf})
run.log({"eval/mcc": 0.5, "global_step": 200})
run.log({"eval/mcc": 0.25, "global_step": 100})
run.log({"picture": wandb.Image(np.zeros((4, 4, 3), dtype=np.uint8), caption="black")})
run.log({"table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None]])})
run.log({"histogram": wandb.Histogram([1, 2, 3, 3]), "sentence": "Der Hund bellt."})
run.summary["best"] = 0.7
run.config.update({"late": {"value": 1}})
with open(folder + "/notes.txt", "w") as file:
    file.write("kept")
run.save(folder + "/notes.txt", base_path=folder)
artifact = wandb.Artifact("weights", type="model", metadata={"epoch": 3})
artifact.add_file(folder + "/notes.txt")
run.log_artifact(artifact)
run.alert("drift", "the loss rises")
run.tags = ("a", "c")
threading.Event().wait(1.0)  # the SDK samples the machine every half second
run.finish(exit_code=3)
"""

NEPTUNE = """
import sys
import numpy as np
import neptune
from neptune.types import File

off = dict(source_files=[], capture_stdout=False, capture_stderr=False, capture_hardware_metrics=False)
run = neptune.init_run(mode="offline", name="base line ü", tags=["ü", "b"], description="Zwei\\nZeilen", **off)
run["parameters"] = {"lr": 2e-5, "layers": 12, "optimizer": {"name": "AdamW ü"}, "is_frozen": True}
run["sys/group_tags"].add("study")
run["best"] = 0.5
run["eval/sample"].append(File.as_image(np.zeros((4, 4, 3))), step=3, description="grau")
run["story"].append("Es war einmal", step=2)
run["tables/confusion"].upload(File.from_content("wer,was\\na,1\\n", extension="csv"))
run["monitoring/0/cpu"].append(50.0)
for position, step in enumerate(STEPS):
    run["train/loss"].append(0.5 / (position + 1), step=step)
run[sys.argv[1]].append(1.0, step=7)
run.wait(disk_only=True)
raise ValueError("on purpose")
"""

COMET_STEPS = [1, 2, 3, 4, 3, *range(5, 60)]
COMET_CONFIG = {
    "lr": 2e-5,
    "optimizer": {"name": "AdamW ü", "betas": [0.9, 0.999]},
    "warm": True,
    "empty": None,
    "n": 3,
    "s": "3",
}
COMET = f"""
print("Es wird trainiert")
experiment.log_parameters({COMET_CONFIG!r})
experiment.log_other("group", "study/ü")
experiment.log_other("best", 0.5)
for position, step in enumerate({COMET_STEPS!r}):
    experiment.log_metric("train/loss", 0.5 / (position + 1), step=step, epoch=step / 10)
for step, value in enumerate([math.nan, math.inf, -math.inf, 1.0]):
    experiment.log_metric("eval/mcc", value, step=step)
experiment.log_metric({HOSTILE_NAME!r}, 1.0, step=7)
experiment.log_metrics({{"losses": {{"ctc": 1, "überlänge/損失": 2}}}}, step=8)
with experiment.validate():
    experiment.log_metric("accuracy", 0.5, step=8)
from PIL import Image
experiment.log_image(Image.new("RGB", (4, 4)), name="sample", step=3)
experiment.log_histogram_3d([1.0, 2.0, 2.0, -3.0], name="weights", step=3)
experiment.log_text("Es war einmal", step=3)
experiment.log_table("confusion.csv", tabular_data=[["a | b", 1], ["zwei\\nZeilen", 2]], headers=["wer", "was"])
experiment.log_asset_data("\\x00\\x01", name="sub/notes.bin")
raise ZeroDivisionError("on purpose")
"""

MLFLOW_STARTED_MS = 1_700_000_000_000
MLFLOW_STEPS = [1, 2, 3, 4, 3, *range(5, 200)]
NEPTUNE_STEPS = [1, 2, 3, 4, 3, *range(5, 60)]
TENSORBOARD_STEPS = [1, 2, 3, 4, 3, *range(5, 60)]
TENSORBOARD_CONFIG = {"lr": 2e-5, "layers": 12, "optimizer": "AdamW ü", "is_frozen": True}


def log_to_wandb(folder: Path) -> Path:
    """A folder with a run that failed, and with the staging folder of its artifact, as the SDK left them."""
    folder.mkdir()
    environment = {"WANDB_DATA_DIR": str(folder / "data"), "WANDB_ERROR_REPORTING": "false"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        command = [sys.executable, "-c", WANDB, str(folder), HOSTILE_NAME]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


def log_to_tensorboard(folder: Path) -> Path:
    """A log folder by torch's writer."""
    import torch
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    with SummaryWriter(str(folder)) as writer:
        for summary in hparams(TENSORBOARD_CONFIG, {"eval/mcc": 0.5}):
            writer.file_writer.add_summary(summary)
        writer.add_image("sample", torch.zeros(3, 4, 4), 3)
        writer.add_histogram("weights", torch.arange(10.0), 3)
        writer.add_text("story", "Es war einmal", 3)
        writer.add_tensor("matrix", torch.arange(4.0).reshape(2, 2), 3)
        for position, step in enumerate(TENSORBOARD_STEPS):
            writer.add_scalar("train/loss", 0.5 / (position + 1), step)
            writer.add_scalar("überlänge/損失", position, step, new_style=True)
        for step, value in enumerate([math.nan, math.inf, -math.inf, 1.0]):
            writer.add_scalar("eval/mcc", value, step)
        writer.add_scalar(HOSTILE_NAME, 1.0, 7)
    return folder


def log_to_comet(folder: Path) -> Path:
    """A folder with the archive of a run that ended with an error."""
    folder.mkdir()
    assert run_script(folder, COMET) == 1
    return folder


def log_to_neptune(folder: Path) -> Path:
    """The directory of a run of the client that ended with an error; the client takes no value that is not finite."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", f"STEPS = {NEPTUNE_STEPS}\n{NEPTUNE}", HOSTILE_NAME]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "on purpose" in done.stderr, done.stderr
    return folder / ".neptune"


def log_to_mlflow_files(folder: Path) -> Path:
    """A folder with a file store, by MLflow's client."""
    from mlflow import MlflowClient

    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        log_to_mlflow(MlflowClient((folder / "mlruns").as_uri()))
    return folder


def log_to_mlflow(client: MlflowClient) -> None:
    """A run that holds what MLflow can."""
    import numpy as np
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

    started_ms = MLFLOW_STARTED_MS
    experiment = client.create_experiment("cola ü", artifact_location=None)
    tags = {"mlflow.note.content": "Zwei\nZeilen", "model": "bert ü"}
    run_id = client.create_run(experiment, start_time=started_ms, tags=tags, run_name="base line ü").info.run_id
    client.log_param(run_id, "lr", "2e-05")
    client.log_param(run_id, "optimizer/name", "AdamW: 'ü' # x\ny")
    points = [Metric("train/loss", 0.5 / (at + 1), started_ms + at, step) for at, step in enumerate(MLFLOW_STEPS)]
    values = enumerate([math.nan, math.inf, -math.inf, 1.0])
    points += [Metric("eval/mcc", value, started_ms + step, step) for step, value in values]
    points += [Metric("system/cpu_utilization_percentage", 50.0, started_ms + 9000 * at, at) for at in range(2)]
    client.log_batch(run_id, metrics=[*points, Metric("eval_überlänge - x", 1.0, started_ms, 0)])
    client.log_image(run_id, np.zeros((4, 4, 3), dtype=np.uint8), key="eval/sample", step=3)
    client.log_table(run_id, {"wer": ["a", None], "was": [1, 0.5]}, "tables/confusion.json")
    client.log_text(run_id, "Es war einmal", "notes/story.txt")
    dataset = Dataset("cola", "1234", "local", "train.tsv", "{}", "{}")
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.set_terminated(run_id, "FAILED", started_ms + 60_000)
