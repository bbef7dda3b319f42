"""What stands beside the curves of a run in TensorBoard: its hyperparameters, and its facts as texts."""

from __future__ import annotations

from typing import Any

import msgspec

from trackbridge.adapters import tensorboard_events as events
from trackbridge.adapters.base import Ending, RunHeader
from trackbridge.adapters.description import Description
from trackbridge.adapters.shaping import leaves
from trackbridge.adapters.tensorboard_rows import PREFIX, as_code
from trackbridge.journal.codec import encode_json


def description_records(description: Description, run: RunHeader) -> bytes:
    """The records of the file that comes first in the run's folder."""
    started_s = run.started_ns / 1e9
    labels = {"group": run.group, "tags": ", ".join(description.tags)}
    shown = {name: label for name, label in labels.items() if label} | dict(leaves(description.config))
    texts = {"run": _as_document(_identity(description, run)), "notes": run.notes or ""}
    for name in ("config", "environment", "summary", "checkpoints"):
        if content := getattr(description, name):
            texts[name] = _as_document(content)
    numbers = {name: float(value) for name, value in description.summary.items() if _is_number(value)}
    values = [events.hyperparameters(shown, started_s)]
    values += [events.text(f"{PREFIX}/{name}", content) for name, content in texts.items() if content]
    values += [events.scalar(f"summary/{name}", number) for name, number in numbers.items()]
    first = events.version_record(started_s) + events.start_record(started_s, 0)
    return first + events.record(started_s, 0, values)


def ending_records(ending: Ending, run: RunHeader) -> bytes:
    """The records of the file that is there when the run has ended."""
    ended_s = (ending.ended_ns or run.started_ns) / 1e9
    words = ending.status if ending.exit_code is None else f"{ending.status}, exit code {ending.exit_code}"
    told = f"{words}\n\n{as_code(ending.error)}" if ending.error else words
    status = events.session_end("success" if ending.status == "finished" else "failure", ended_s)
    values = [status, events.text(f"{PREFIX}/ending", told)]
    if ending.console:
        values.append(events.text(f"{PREFIX}/console", as_code(ending.console)))
    return events.version_record(ended_s) + events.record(ended_s, 0, values)


def _identity(description: Description, run: RunHeader) -> dict[str, Any]:
    """What the folder's name and the hyperparameters say in part only; with it the run can be imported as it was."""
    labels = {"group": run.group, "tags": description.tags, "notes": run.notes, "started_ns": run.started_ns}
    return {"run_id": run.run_id, "project": run.project, "name": run.name, **labels}


def _as_document(content: Any) -> str:
    return as_code(msgspec.json.format(encode_json(content)).decode())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
