"""A TensorBoard log folder, read by TensorBoard's own code."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun

WORDS = {"images": "image", "histograms": "histogram", "text": "text"}


class LogFolder:
    """A log folder, read by TensorBoard's own code; superseded steps are not hidden."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_ids(self) -> list[str]:
        return [next(run.glob("*tfevents*")).name.split(".")[4] for run in self.folder.iterdir()]

    def seen(self, run_id: str) -> SeenRun:
        folder = next(self.folder.glob(f"*-{run_id[-12:]}"))
        shown = EventAccumulator(str(folder), size_guidance={"tensors": 0}, purge_orphaned_data=False)
        shown.Reload()
        plugins = {tag: shown.SummaryMetadata(tag).plugin_data for tag in shown.Tags()["tensors"]}
        texts = {tag: one_text(shown, tag) for tag, plugin in plugins.items() if plugin.plugin_name == "text"}
        config, labels = hyperparameters(plugins["_hparams_/session_start_info"].content)
        environment = json.loads(textwrap.dedent(texts.get("trackbridge/environment", "{}")))
        summary = json.loads(textwrap.dedent(texts.get("trackbridge/summary", "{}")))
        ending = texts.get("trackbridge/ending", "")
        return SeenRun(
            name=folder.name.rpartition("-")[0],
            group=labels.get("group"),
            tags=frozenset(labels.get("tags", "").split(", ")),
            notes=texts.get("trackbridge/notes"),
            config=config | flat({"environment": environment}),
            summary=summary,
            points=tuple(
                SeenPoint(tag, event.tensor_proto.double_val[0], event.step, round(event.wall_time * 1e9))
                for tag, plugin in plugins.items()
                if plugin.plugin_name == "scalars"
                for event in shown.Tensors(tag)
            ),
            media=tuple(media for tag in plugins for media in media_of(shown, tag, plugins[tag].plugin_name)),
            status=status_of(plugins, ending),
            error=ending.partition("\n\n")[2],
            console=textwrap.dedent(texts.get("trackbridge/console", "")),
        )


def one_text(shown: EventAccumulator, tag: str) -> str:
    return str(make_ndarray(shown.Tensors(tag)[-1].tensor_proto).item().decode())


def hyperparameters(content: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """The config with values as text, and the labels beside it."""
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    plain = {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}
    texts = {name: text_of(value) for name, value in plain.items()}
    return {name: text for name, text in texts.items() if "/" in name}, texts


def text_of(value: bool | float | str) -> str:
    # All numbers are doubles there, as in JavaScript.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in nested.items():
        found |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return found


def media_of(shown: EventAccumulator, tag: str, plugin: str) -> list[SeenMedia]:
    if plugin not in WORDS or tag.startswith("trackbridge/") or tag.endswith("/caption"):
        return []
    contents = [(event.step, make_ndarray(event.tensor_proto)) for event in shown.Tensors(tag)]
    is_table = plugin == "text" and b"| --- |" in contents[0][1].item()
    return [SeenMedia(tag, "table" if is_table else WORDS[plugin], step) for step, _ in contents]


def status_of(plugins: Mapping[str, Any], ending: str) -> str:
    if "_hparams_/session_end_info" not in plugins:
        return "running"
    info = HParamsPluginData.FromString(plugins["_hparams_/session_end_info"].content).session_end_info
    assert (info.status == 1) == ending.startswith("finished")
    return ending.partition(",")[0].partition("\n")[0]
