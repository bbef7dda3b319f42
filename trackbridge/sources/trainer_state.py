"""
Reads `trainer_state.json`, which the Hugging Face `Trainer` writes into every checkpoint.

All checkpoints of one output folder are one run: the newest holds the whole history. The file tells neither times nor
settings; `training_args.bin` beside it does, but it is a pickle, which is never opened.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.errors import NotFoundError, SourceRefused
from trackbridge.events.models import CheckpointSaved, ConfigLogged, RunFinished, RunStarted, SummaryLogged
from trackbridge.events.trainer_names import is_final_report, metrics_of, numbers_of, scores_of
from trackbridge.sources.base import UNKNOWN_NS, Asked, Fact, Points, SourceProblem, SourceRun, Unmapped
from trackbridge.sources.columns import number_in

STATE_FILE = "trainer_state.json"
MAX_BYTES = 1 << 30
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_AXES = ("step", "epoch")


@dataclass(frozen=True, slots=True)
class _State:
    """One readable state file: `history` are the entries that `Trainer` logged, in their order."""

    path: Path
    history: Sequence[dict[str, Any]]
    rest: dict[str, Any]

    @property
    def step(self) -> int:
        """The updates completed when it was written."""
        step = self.rest.get("global_step")
        return step if type(step) is int else 0


class TrainerStateSource:
    """Output folders of a `Trainer`, or single checkpoints."""

    name: ClassVar[str] = "trainer_state"

    def recognises(self, place: str) -> bool:
        """True where there is a state file, in the folder or in one below it."""
        path = Path(place)
        return path.name == STATE_FILE or (path.is_dir() and next(_state_files(path), None) is not None)

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """One run for each output folder.

        Raises:
            NotFoundError: there is no state file.
        """
        path = asked.path
        by_folder: dict[Path, list[Path]] = {}
        for file in sorted([path] if path.is_file() else _state_files(path)):
            folder = file.resolve().parent
            by_folder.setdefault(folder.parent if _CHECKPOINT.fullmatch(folder.name) else folder, []).append(file)
        if not by_folder:
            raise NotFoundError(f"there is no {STATE_FILE} in {str(path)!r} or below it")
        return [one for folder, files in sorted(by_folder.items()) for one in _runs(folder, files)]


def _state_files(folder: Path) -> Iterator[Path]:
    # Links are not followed: one that leads upwards would never end.
    return (file for file in folder.rglob(STATE_FILE) if file.is_file() and not file.is_symlink())


def _runs(folder: Path, files: Sequence[Path]) -> Iterator[SourceRun | SourceProblem]:
    """The run of an output folder, and a problem for each state file that cannot be read."""
    states = []
    for file in files:
        read = _read(file)
        if isinstance(read, SourceProblem):
            yield read
        else:
            states.append(read)
    if states:
        newest = max(states, key=lambda state: (len(state.history), state.step))
        # The file has no id, but the digits of a first loss are as good as one.
        first = hashlib.sha256(json.dumps(newest.history[:1], sort_keys=True).encode()).hexdigest()[:16]
        read_it = partial(_facts, folder, newest, states)
        yield SourceRun(f"{folder.name}/{first}", folder.parent.name, folder.name, read_it)


def _read(file: Path) -> _State | SourceProblem:
    try:
        content = _json(file)
        history = content.pop("log_history")
        is_history = isinstance(history, list) and all(isinstance(entry, dict) for entry in history)
    except SourceRefused:
        raise
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return SourceProblem(str(file), "", f"no state of a Trainer: {type(error).__name__}: {error}")
    if not is_history:
        return SourceProblem(str(file), "log_history", "no list of entries")
    return _State(file, history, content)


def _facts(folder: Path, newest: _State, states: Sequence[_State]) -> Iterator[Fact]:
    yield RunStarted(seq=0, t=UNKNOWN_NS, project=folder.parent.name, name=folder.name)
    yield from _model_config(newest.path.parent)
    for entry in newest.history:
        yield from _entry_facts(newest, entry)
    for state in sorted(states, key=lambda state: state.step):
        place = state.path.resolve().parent
        if _CHECKPOINT.fullmatch(place.name):
            scores = _scores_at(newest, state.step)
            yield CheckpointSaved(seq=0, t=UNKNOWN_NS, step=state.step, path=str(place), metrics=scores)
    for key, value in newest.rest.items():
        yield Unmapped(UNKNOWN_NS, key, value)
    max_steps = newest.rest.get("max_steps")
    if isinstance(max_steps, int) and 0 < max_steps <= newest.step:
        yield RunFinished(seq=0, t=UNKNOWN_NS, status="finished")


def _model_config(checkpoint: Path) -> Iterator[Fact]:
    file = checkpoint / "config.json"
    try:
        # Links are not followed: one may lead out of the place.
        config = _json(file) if file.is_file() and not file.is_symlink() else None
    except SourceRefused:
        raise
    except (OSError, ValueError) as error:
        yield SourceProblem(str(file), "", f"cannot be read: {error}")
        return
    if isinstance(config, dict):
        yield ConfigLogged(seq=0, t=UNKNOWN_NS, scope="model", config=config)


def _json(file: Path) -> Any:
    if file.stat().st_size > MAX_BYTES:
        raise SourceRefused(f"{file} holds {file.stat().st_size} bytes, which no file of a Trainer does")
    try:
        return json.loads(file.read_bytes())
    except RecursionError as error:
        raise SourceRefused(f"{file} is nested deeper than any file of a Trainer") from error


def _entry_facts(state: _State, entry: dict[str, Any]) -> Iterator[Fact]:
    logs = {key: value for key, value in entry.items() if key not in _AXES and _is_number(value)}
    step, epoch = entry.get("step"), entry.get("epoch")
    if type(step) is not int:
        yield SourceProblem(str(state.path), "log_history", f"an entry without a step: {str(entry)[:80]}")
        return
    for key, value in entry.items():
        if key not in logs and key not in _AXES:
            yield Unmapped(UNKNOWN_NS, f"{key}/step-{step}", value)
    if is_final_report(logs):
        yield SummaryLogged(seq=0, t=UNKNOWN_NS, values=numbers_of(logs))
    elif metrics := metrics_of(logs):
        yield Points(UNKNOWN_NS, step, metrics, float(epoch) if isinstance(epoch, (int, float)) else None)


def _is_number(value: object) -> bool:
    return not isinstance(value, str) and number_in(value) is not None


def _scores_at(state: _State, step: int) -> dict[str, float]:
    scores: dict[str, float] = {}
    for entry in state.history:
        if entry.get("step") == step and any(key.endswith("_runtime") for key in entry):
            logs = {key: value for key, value in entry.items() if key not in _AXES and _is_number(value)}
            scores.update(scores_of(logs) if not is_final_report(logs) else {})
    return scores
