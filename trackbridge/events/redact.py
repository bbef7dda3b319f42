"""
Masks secrets before they reach a journal: config values under secret-looking names, tokens in argv.

A key is secret when its last words say so (`api_key`, `hub_token`, `password`), unless it is one of the
many keys of this field that only look like it (`max_new_tokens`, `token_type_ids`, `use_cls_token`,
`sort_key`). A value is secret wherever it stands when it has the shape of a known credential.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MASK = "***masked***"

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SECRET_WORDS = frozenset(
    "password passwords passwd passphrase pwd secret secrets credential credentials apikey authorization".split()
)
_KEY_QUALIFIERS = frozenset("api access private secret signing encryption account master auth ssh".split())
_TOKEN_QUALIFIERS = frozenset(
    "api access auth hub hf refresh bearer session id secret oauth jwt bot push huggingface wandb comet"
    " neptune github".split()
)
_VALUE_SHAPES = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bsk-(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{20,}"
    r"|\bAKIA[A-Z0-9]{16}\b|\bxox[abpr]-[A-Za-z0-9-]{10,}|\bglpat-[\w-]{20,}|\bwandb_v\d_\w{20,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
)
_SHORTEST_SECRET = 8
_TOKEN_ALONE = re.compile(r"(?i)(?:^|[./])[^a-z./]*token$")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s]+)(?=@)")
_OPTION = re.compile(r"--?([A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """True when a value under this name is likely a credential."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1].removesuffix("s"), set(words[:-1])
    if last == "token":
        # `token` alone is a credential in hub configs; `pad_token`, `cls_token`, `mask_token` are words.
        return bool(_TOKEN_ALONE.search(name) or before & _TOKEN_QUALIFIERS)
    if last == "key":
        return bool(before & _KEY_QUALIFIERS)
    return words[-1] in _SECRET_WORDS


def is_secret_variable(name: str) -> bool:
    """True when an environment variable of this name likely holds a credential."""
    return is_secret_name(name) or name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD"))


def mask_text(text: str, *, secrets: Sequence[str] = ()) -> str:
    """The text with these secrets, and anything in the shape of a known credential, replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return _URL_PASSWORD.sub(rf"\1:{MASK}", _VALUE_SHAPES.sub(MASK, text))


def mask_value(value: Any, *, secrets: Sequence[str] = ()) -> Any:
    """JSON-safe data with these secrets, and what looks like one, replaced at any depth. The input is not changed."""
    if isinstance(value, str):
        return mask_text(value, secrets=secrets)
    if isinstance(value, list):
        return [mask_value(item, secrets=secrets) for item in value]
    if isinstance(value, dict):
        return {key: _mask_entry(key, item, secrets) for key, item in value.items()}
    return value


def mask_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line with the values of secret-looking options replaced (`--api-key X`, `token=X`)."""
    masked: list[str] = []
    hide_next = False
    for argument in arguments:
        if hide_next and not argument.startswith("-"):
            masked.append(MASK)
            hide_next = False
            continue
        option = _OPTION.fullmatch(argument)
        name, _, value = argument.partition("=")
        hide_next = bool(option) and not value and is_secret_name(name)
        masked.append(f"{name}={MASK}" if value and is_secret_name(name) else mask_text(argument))
    return masked


def _mask_entry(key: str, value: Any, secrets: Sequence[str]) -> Any:
    # Numbers, booleans and None under such a name are settings (`use_auth_token: true`), not credentials.
    if is_secret_name(key) and value and not isinstance(value, (bool, int, float)):
        return MASK
    return mask_value(value, secrets=secrets)
