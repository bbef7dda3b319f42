"""
`docs/support.md`, made from what the adapters say of themselves:

    python tests/support_page.py > docs/support.md
"""

from __future__ import annotations

import sys
from dataclasses import fields

from trackbridge.adapters.base import Capabilities
from trackbridge.adapters.registry import load_adapter
from trackbridge.targets import BUILT_IN

NAMES = ("wandb", "comet", "neptune", "mlflow", "tensorboard", "memory")
TITLES = {
    "online": "while the run goes on",
    "offline": "in the tracker's own offline format",
    "original_time": "time of each point",
    "original_step": "step of each point",
    "start_time": "start of the run",
    "non_finite": "NaN and infinities",
    "system_metrics": "CPU, memory, disk and GPU use",
    "nested_config": "nested config",
    "tags": "tags",
    "group": "group",
    "notes": "notes",
    "images": "images",
    "tables": "tables",
    "histograms": "histograms",
    "texts": "texts",
    "artifacts": "checkpoints and artifacts",
    "status": "how the run ended",
    "console": "last lines of a run that failed",
}
HEAD = """# What can each tracker carry?

This page is made from what the adapters say of themselves, and the contract suite holds each of them to it.
**yes** is as it was logged, **changed** by the rule below the table, **no** comes back as a rejection, which
`trackbridge status` lists. Name, metrics, seeds, environment and summary arrive everywhere.
[How runs get there](delivery.md). [What comes back when they are imported from there](bridges.md).
"""


def page() -> str:
    """The page as Markdown."""
    capabilities = {name: load_adapter(name).capabilities for name in NAMES}
    lines = [HEAD, f"| | {' | '.join(NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    for field, title in TITLES.items():
        lines.append(f"| {title} | {' | '.join(getattr(one, field) for one in capabilities.values())} |")
    for name, one in capabilities.items():
        lines += ["", f"## `{name}`", "", *_rules(one)]
    return "\n".join(lines) + "\n"


def _rules(one: Capabilities) -> list[str]:
    rules = [f"- {title}: {one.rules[field]}" for field, title in TITLES.items() if field in one.rules]
    return [f"Tested with {one.sdk} {_versions(one.tested_versions)}.", "", *rules] if one.sdk else rules


def _versions(tested: tuple[str, str] | None) -> str:
    first, last = tested or ("", "")
    return first if first == last else f"{first} to {last}"


def untold() -> set[str]:
    """What the page leaves out: it should be nothing."""
    supports = {field.name for field in fields(Capabilities)} - {"rules", "sdk", "tested_versions"}
    return (supports ^ set(TITLES)) | (set(BUILT_IN) ^ set(NAMES))


if __name__ == "__main__":
    sys.stdout.write(page())
