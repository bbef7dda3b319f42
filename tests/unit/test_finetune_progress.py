"""What the display of a study is told: scores of one step only, never beside another step's."""

from __future__ import annotations

from pathlib import Path

from transformers import TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.progress import ShowProgress


class Told:
    """A display that keeps what it was told."""

    def __init__(self) -> None:
        self.scores: list[str] = []

    def advanced(self, name: str, step: int, total: int) -> None:
        pass

    def scored(self, name: str, scores: str) -> None:
        self.scores.append(scores)


def test_scores_are_told_when_every_eval_set_was_scored_at_the_step(tmp_path: Path) -> None:
    told = Told()
    progress = ShowProgress(told, "one", "mcc", n_eval_sets=2)  # type: ignore[arg-type]  # only what it calls
    arguments, control = TrainingArguments(str(tmp_path)), TrainerControl()

    for step, name, score in ((25, "dev", 0.1), (25, "test", 0.2), (50, "dev", 0.3), (50, "test", 0.4)):
        state = TrainerState(global_step=step, max_steps=50)
        progress.on_evaluate(arguments, state, control, metrics={f"eval_{name}_mcc": score, f"eval_{name}_loss": 1.0})

    assert told.scores == ["eval_dev/mcc 0.1000 eval_test/mcc 0.2000", "eval_dev/mcc 0.3000 eval_test/mcc 0.4000"]
