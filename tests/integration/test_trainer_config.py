"""What a training was told: arguments, model, adapters and seeds, each where it cannot hide another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from trainer_kit import arguments, config, events, points, tiny_model, trainer_for

import trackbridge as tb
from trackbridge.integrations.transformers import TrackingCallback


def trained(tmp_path: Path, args: dict[str, Any] | None = None, **settings: Any) -> Path:
    """The folder of a finished run of one step."""
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer_for(arguments(tmp_path / "out", max_steps=1, **(args or {})), TrackingCallback(run), **settings).train()
    return run.path


def test_arguments_and_model_are_scopes_of_their_own(tmp_path: Path) -> None:
    scopes = config(trained(tmp_path, {"learning_rate": 3e-4}))

    assert scopes["training_arguments"]["learning_rate"] == 3e-4
    assert scopes["training_arguments"]["max_steps"] == 1
    assert scopes["model"]["hidden_size"] == 16
    assert scopes["model"]["model_class"] == "BertForSequenceClassification"
    assert "hidden_size" not in scopes["training_arguments"]
    assert "learning_rate" not in scopes["model"]


def test_parameters_and_threads_are_counted(tmp_path: Path) -> None:
    model = tiny_model()
    model.bert.embeddings.requires_grad_(False)
    scopes = config(trained(tmp_path, model=model))

    assert scopes["model"]["parameters"] == sum(weights.numel() for weights in model.parameters())
    frozen = sum(weights.numel() for weights in model.bert.embeddings.parameters())
    assert scopes["model"]["trainable_parameters"] == scopes["model"]["parameters"] - frozen
    assert scopes["trainer"] == {"torch_threads": torch.get_num_threads(), "processes": 1}


def test_adapters_are_a_scope_with_a_config_per_adapter(tmp_path: Path) -> None:
    adapter = peft.LoraConfig(r=2, target_modules=["query", "value"], task_type="SEQ_CLS")
    scopes = config(trained(tmp_path, model=peft.get_peft_model(tiny_model(), adapter)))

    assert scopes["peft"]["default"]["r"] == 2
    assert scopes["peft"]["default"]["target_modules"] == ["query", "value"]
    assert scopes["model"]["trainable_parameters"] < scopes["model"]["parameters"]
    assert scopes["model"]["hidden_size"] == 16


AUTO = ("peft_version", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode")
"""What peft fills in by itself."""


def test_of_an_adapter_its_kind_and_size_are_recorded_and_what_is_not_as_by_default(tmp_path: Path) -> None:
    """Peft's own config has 45 keys, each a row in a comparison with a run without adapters."""
    adapter = peft.LoraConfig(target_modules=["query"], task_type="SEQ_CLS", use_dora=True)
    recorded = config(trained(tmp_path, model=peft.get_peft_model(tiny_model(), adapter)))["peft"]["default"]

    assert (recorded["peft_type"], recorded["r"], recorded["lora_alpha"]) == ("LORA", 8, 8)
    assert (recorded["target_modules"], recorded["use_dora"]) == (["query"], True)
    assert set(recorded) <= {*"peft_type r lora_alpha target_modules use_dora task_type modules_to_save".split(), *AUTO}


def test_a_model_without_a_config_is_recorded_with_its_size(tmp_path: Path) -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = torch.nn.Linear(6, 2)

        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.score(input_ids.float())
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    scopes = config(trained(tmp_path, model=Plain()))

    assert scopes["model"] == {"model_class": "Plain", "parameters": 14, "trainable_parameters": 14}


def test_secrets_in_arguments_are_masked_at_any_depth(tmp_path: Path) -> None:
    secret = "hunter2-hunter2-hunter2"
    model = tiny_model(task_specific_params={"serving": {"api_key": secret, "pad_token_id": 0, "use_cache": True}})
    folder = trained(tmp_path, {"hub_token": secret, "accelerator_config": {"split_batches": True}}, model=model)

    journal = "".join(path.read_text(encoding="utf-8") for path in folder.glob("journal-*.jsonl"))
    assert secret not in journal
    assert config(folder)["model"]["task_specific_params"]["serving"]["pad_token_id"] == 0
    assert config(folder)["training_arguments"]["accelerator_config"]["split_batches"] is True


def test_the_arguments_are_not_changed_by_being_recorded(tmp_path: Path) -> None:
    args = arguments(tmp_path / "out", max_steps=1, lr_scheduler_kwargs={"num_cycles": 2}, lr_scheduler_type="cosine")
    before = args.to_json_string()
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer_for(args, TrackingCallback(run)).train()

    assert args.to_json_string() == before


def test_trainers_seeds_are_recorded(tmp_path: Path) -> None:
    [seeds] = events(trained(tmp_path, {"seed": 11, "data_seed": 12}), "seeds_logged")

    assert seeds["data"] == 12
    assert seeds["dropout"] == 11
    # The model came ready made: what seeded its weights, Trainer cannot know.
    assert seeds.get("init") is None


def test_seeds_logged_by_the_owner_of_the_run_stand(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        run.log_seeds(tb.Seeds(init=1, data=2, dropout=3))
        trainer_for(arguments(tmp_path / "out", max_steps=1, seed=99), TrackingCallback(run)).train()

    [seeds] = events(run.path, "seeds_logged")
    assert (seeds["init"], seeds["data"], seeds["dropout"]) == (1, 2, 3)


def test_without_a_data_seed_the_last_seeding_of_torch_is_the_seed_and_is_recorded(tmp_path: Path) -> None:
    losses, seeds = [], []
    for seed in (1, 2):
        with tb.start_run("demo", root=tmp_path / "runs") as run:
            trainer = trainer_for(arguments(tmp_path / f"out-{seed}", seed=seed), TrackingCallback(run))
            torch.manual_seed(7)
            trainer.train()
        losses.append(points(run.path, "train/loss"))
        seeds.append([(event["data"], event["dropout"]) for event in events(run.path, "seeds_logged")])

    # Neither args.seed had any effect: to record it would have been wrong.
    assert losses[0] == losses[1]
    assert seeds == [[(7, 7)], [(7, 7)]]


def test_a_seed_of_torch_too_large_for_the_record_is_left_open(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", max_steps=1, data_seed=3), TrackingCallback(run))
        torch.manual_seed(2**40)
        trainer.train()

    [seeds] = events(run.path, "seeds_logged")
    assert (seeds["data"], seeds.get("dropout")) == (3, None)
    assert list(points(run.path, "train/loss")) == [1]


def test_a_config_that_cannot_be_read_costs_nothing_but_itself(tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        raise KeyError("quantization")

    model = tiny_model()
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", max_steps=2), TrackingCallback(run), model=model)
        model.config.to_dict = broken
        trainer.train()

    assert config(run.path)["model"] == {"could_not_be_read": "KeyError('quantization')"}
    assert config(run.path)["training_arguments"]["max_steps"] == 2
    assert list(points(run.path, "train/loss")) == [1, 2]
