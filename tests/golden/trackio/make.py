"""Makes the data of trackio beside this script, with trackio 0.43.0: `TRACKIO_DIR=. python make.py`."""

import math
from pathlib import Path

import numpy as np
import trackio

STEPS = [1, 2, 3, 4, 3, *range(5, 60)]
CONFIG = {"lr": 2e-5, "optimizer": {"name": "AdamW ü", "betas": [0.9, 0.999]}, "warm": True, "empty": None, "n": 3}

trackio.init(project="cola", name="baseline", group="study/ü", config=CONFIG, auto_log_gpu=False)
for position, step in enumerate(STEPS):
    trackio.log({"train/loss": 0.5 / (position + 1)}, step=step)
for step, value in enumerate([math.nan, math.inf, -math.inf, 1.0]):
    trackio.log({"eval/mcc": value}, step=step)
trackio.log({"../../<b>escape</b>": 1.0, "losses": {"überlänge": 2}, "is_best": True, "shape": [1, 2]}, step=7)
trackio.log({"sample": trackio.Image(np.zeros((4, 4, 3), dtype=np.uint8), caption="Wer?")}, step=3)
trackio.log({"weights": trackio.Histogram([1.0, 2.0, 2.0], num_bins=2), "story": trackio.Markdown("Es *war*")}, step=3)
table = trackio.Table(columns=["wer", "was"], data=[["a | b", 1], ["zwei\nZeilen", 0.5]])
trackio.log({"confusion": table}, step=3)
trackio.log_system({"cpu": 50.0})
trackio.alert("Look", "the loss is high", level=trackio.AlertLevel.WARN)
Path("notes.bin").write_bytes(b"\x00\x01")
artifact = trackio.Artifact("notes", type="dataset")
artifact.add_file("notes.bin")
trackio.log_artifact(artifact)
trackio.finish()
