"""Secrets are masked before they are written, and settings that only look like secrets are not."""

from __future__ import annotations

import copy

import pytest

from trackbridge.events.redact import MASK, is_secret_name, mask_arguments, mask_text, mask_value

SECRET_NAMES = """
    token hub_token hf_token HF_TOKEN push_to_hub_token hubToken access_token accessToken auth_token api_token
    refresh_token bearer_token session_token wandb_token github_token id_token
    api_key apiKey APIKey API_KEY WANDB_API_KEY comet_api_key api-key apikey secret_key private_key encryption_key
    aws_secret_access_key ssh_key access_key api_keys
    password PASSWORD db_password passwd pwd passphrase secret client_secret token_secret secrets credentials
    authorization
""".split()

# Names that occur in configs of transformers, datasets, accelerate and tokenizers.
SETTING_NAMES = """
    use_cls_token max_new_tokens token_type_ids pad_token mask_token cls_token sep_token bos_token eos_token unk_token
    additional_special_tokens eos_token_id pad_token_id forced_bos_token_id image_token_index token_dropout
    num_tokens max_tokens tokens n_tokens tokens_per_second include_num_input_tokens_seen token_classification
    tokenizer_name tokenizer tokenizer_class split_special_tokens add_prefix_space
    sort_key num_key_value_heads key_value_proj_dim key_padding_mask primary_key key keys label_key keyboard monkey
    secretary secret_santa_dataset author authors authority pass passes pwdir bypass compass
    classifier_dropout hub_model_id hub_private_repo push_to_hub access_mode private api_version auth_mode
""".split()


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)
    assert mask_value({name: "swordfish"}) == {name: MASK}


@pytest.mark.parametrize("name", SETTING_NAMES)
def test_names_of_settings_are_not_taken_for_secrets(name: str) -> None:
    assert not is_secret_name(name)
    assert mask_value({name: "swordfish"}) == {name: "swordfish"}


def test_secrets_are_masked_at_any_depth_and_the_input_is_left_alone() -> None:
    config = {"a": [{"hub": {"token": "x", "model": "bert"}}], "api_keys": ["x", "y"], "secrets": {"db": "x"}}
    before = copy.deepcopy(config)
    assert mask_value(config) == {"a": [{"hub": {"token": MASK, "model": "bert"}}], "api_keys": MASK, "secrets": MASK}
    assert config == before


def test_numbers_flags_and_nothing_under_a_secret_name_are_settings() -> None:
    config = {"use_auth_token": True, "hub_token": None, "api_key": "", "max_token": 3, "access_token": 0}
    assert mask_value(config) == config


SECRET_SHAPES = [
    "hf_" + "aB3" * 11,
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1_B" * 8,
    "sk-" + "a1B2" * 8,
    "sk-proj-" + "a1B-" * 8,
    "AKIA" + "A1B2" * 4,
    "xoxb-1234567890-abcdef",
    "glpat-" + "a1B2-" * 5,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkw.SflKxwRJSMeKKF2QT4fwpM",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRET_SHAPES, ids=lambda secret: secret[:12])
def test_a_known_shape_is_masked_wherever_it_stands(secret: str) -> None:
    assert secret not in mask_text(f"clone with {secret}")
    assert mask_value({"note": ["see", secret]}) == {"note": ["see", MASK]}


@pytest.mark.parametrize(
    "text",
    [
        "bert-base-uncased", "hf_internal", "sk-learn", "runs/sk-learn-pipeline-with-2-layers", "ghp_short",
        "risk-averse-and-very-long-name-of-a-model",
        "https://huggingface.co/bert-base-uncased", "http://localhost:8080/x", "git@github.com:a/b.git",
        "user@host:path", "2024-01-01T10:00:00", "file:///data/cola:v1@train", "eyJ is how base64 of JSON begins",
    ],
)  # fmt: skip
def test_texts_that_hold_no_secret_stay_as_they_are(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://ada:swordfish@example.org/x", f"https://ada:{MASK}@example.org/x"),
        ("postgres://ada:sword@fish@db:5432/x", f"postgres://ada:{MASK}@db:5432/x"),
        ("https://:swordfish@example.org", f"https://:{MASK}@example.org"),
        ("a https://u:p@h/x and https://v:q@h/y", f"a https://u:{MASK}@h/x and https://v:{MASK}@h/y"),
    ],
)
def test_the_password_in_an_address_is_masked(url: str, masked: str) -> None:
    assert mask_text(url) == masked


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (["train.py", "--api-key", "X", "--lr", "1"], ["train.py", "--api-key", MASK, "--lr", "1"]),
        (["--api_key=X"], [f"--api_key={MASK}"]),
        (["--hub_token", "X"], ["--hub_token", MASK]),
        (["-password", "X"], ["-password", MASK]),
        (["token=X", "lr=1"], [f"token={MASK}", "lr=1"]),
        (["+hub.token=X"], [f"+hub.token={MASK}"]),
        (["model.token=X", "trainer.api_key=X"], [f"model.token={MASK}", f"trainer.api_key={MASK}"]),
        (["HF_TOKEN=X", "python"], [f"HF_TOKEN={MASK}", "python"]),
        (["--push-to-hub-token=a=b"], [f"--push-to-hub-token={MASK}"]),
        (["--url", "https://a:b@c"], ["--url", f"https://a:{MASK}@c"]),
        (["hf_" + "aB3" * 11], [MASK]),
        (["--use-auth-token", "--lr", "1"], ["--use-auth-token", "--lr", "1"]),
    ],
)
def test_secrets_on_a_command_line_are_masked(arguments: list[str], masked: list[str]) -> None:
    assert mask_arguments(arguments) == masked


@pytest.mark.parametrize(
    "arguments",
    [
        ["train.py", "--max_new_tokens", "50", "--sort-key=length", "--lr=2e-5"],
        ["--pad_token", "[PAD]", "--tokenizer_name", "bert", "max_tokens=512", "model.pad_token=<pad>"],
        ["--key", "value", "a=b=c", "--", "-x", ""],
    ],
)
def test_a_command_line_without_secrets_stays_as_it_is(arguments: list[str]) -> None:
    assert mask_arguments(arguments) == arguments
