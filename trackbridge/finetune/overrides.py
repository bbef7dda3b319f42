"""Overrides: one dotted key and its new value, laid over nested config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackbridge.errors import PipelineConfigError


def with_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the config in which each dotted key (`training.epochs`) has its new value.

    Blocks on the way that do not exist yet are made; the config is not changed. A number leads into a list of blocks
    and counts from 0: `intermediate.0.carry_layers`.

    Raises:
        PipelineConfigError: a key leads through something that is no block, or past the end of a list.
    """
    result: dict[str, Any] = dict(config)
    for key, value in overrides.items():
        result = _replaced(result, key.split("."), value, key)
    return result


def _replaced(block: Mapping[str, Any], path: list[str], value: Any, key: str) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {**block, name: value}
    inner = block.get(name, {})
    if isinstance(inner, list):
        numbered = {str(number): item for number, item in enumerate(inner)}
        if rest[0] not in numbered:
            raise PipelineConfigError(
                f"cannot set {key!r}: {name!r} is a list of {len(inner)}: expected a number from 0 after it"
            )
        return {**block, name: list(_replaced(numbered, rest, value, key).values())}
    if not isinstance(inner, Mapping):
        raise PipelineConfigError(f"cannot set {key!r}: {name!r} is {inner!r} and not a block of keys")
    return {**block, name: _replaced(inner, rest, value, key)}
