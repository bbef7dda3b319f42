"""What the fake W&B server keeps of a run, and how the run reads as seen through it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun

MEDIA_WORDS = {"image-file": "image", "table-file": "table", "histogram": "histogram", "html-file": "text"}
STEP, SYSTEM_STEP = "trainer/step", "system/seconds"


@dataclass(slots=True)
class FakeArtifact:
    """A version of an artifact; `files` are the bytes that were uploaded, by their path in its manifest."""

    id: str
    name: str
    type: str
    digest: str
    project: str
    state: str = "PENDING"
    aliases: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class FakeWandbRun:
    """A run as the server has it. Lines are kept as they came, at the offset they came with.

    Attributes:
        history: a row per line; None where a later offset left a gap.
        last_step: the highest step, -1 without any.
        rewritten: how often a line was sent again at the same offset with other bytes.
        files: what was uploaded, by name.
    """

    run_id: str
    project: str
    entity: str
    name: str = ""
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[str | None] = field(default_factory=list)
    events: list[str | None] = field(default_factory=list)
    output: list[str | None] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, FakeArtifact] = field(default_factory=dict)
    state: str = "running"
    exit_code: int | None = None
    last_step: int = -1
    rewritten: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, parsed."""
        return [json.loads(line) for line in self.history if line is not None]

    def put_lines(self, kept: list[str | None], offset: int, lines: list[str]) -> None:
        """Place streamed lines at their offset; what was there is replaced, as the real server does."""
        kept.extend([None] * (offset - len(kept)))
        before = kept[offset : offset + len(lines)]
        self.rewritten += sum(old not in (None, new) for old, new in zip(before, lines, strict=False))
        kept[offset : offset + len(lines)] = lines

    def take_stream(self, update: Mapping[str, Any]) -> None:
        """Apply a `file_stream` request."""
        kept_by_name = {
            "wandb-history.jsonl": self.history,
            "wandb-events.jsonl": self.events,
            "output.log": self.output,
        }
        for name, part in (update.get("files") or {}).items():
            if name in kept_by_name:
                self.put_lines(kept_by_name[name], part["offset"], part["content"])
                if name == "wandb-history.jsonl":
                    self.last_step = max(self.last_step, *(json.loads(line)["_step"] for line in part["content"]))
            elif name == "wandb-summary.json":
                self.summary = json.loads(part["content"][-1])
        if update.get("complete"):
            self.exit_code = update.get("exitcode")
            self.state = "failed" if self.exit_code else "finished"

    def as_seen(self) -> SeenRun:
        """The run in the words of the contract suite."""
        config = {key: entry["value"] for key, entry in self.config.items() if not key.startswith("_")}
        rows = self.rows
        return SeenRun(
            name=self.name,
            group=self.group,
            tags=frozenset(self.tags),
            notes=self.notes,
            config=config,
            summary={key: value for key, value in self.summary.items() if not key.startswith("_")},
            points=tuple(point for row in rows for point in _points(row)),
            media=tuple(media for row in rows for media in _media(row)),
            artifacts=frozenset(
                name
                for artifact in self.artifacts.values()
                if artifact.state == "COMMITTED" and artifact.type != "run_table"
                for name in _artifact_names(artifact)
            ),
            status=self.state,
            error=json.dumps(self.summary, ensure_ascii=False),
            console="\n".join(line or "" for line in self.output),
        )


def _artifact_names(artifact: FakeArtifact) -> list[str]:
    steps = [alias for alias in artifact.aliases if alias.startswith("step-")]
    return steps if artifact.name.startswith("checkpoint-") else [artifact.name]


def _points(row: Mapping[str, Any]) -> list[SeenPoint]:
    time_ns = round(row["_timestamp"] * 1e9)
    step = row.get(STEP, row.get(SYSTEM_STEP))
    return [
        SeenPoint(name, float(value), step, time_ns)
        for name, value in row.items()
        if isinstance(value, (int, float)) and not name.startswith(("_", "trainer/")) and name != SYSTEM_STEP
    ]


def _media(row: Mapping[str, Any]) -> list[SeenMedia]:
    types = {name: MEDIA_WORDS.get(value.get("_type", "")) for name, value in row.items() if isinstance(value, dict)}
    return [SeenMedia(name, word, row[STEP]) for name, word in types.items() if word]
