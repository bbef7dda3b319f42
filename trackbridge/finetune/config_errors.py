"""What is wrong with a config, in words: pydantic's findings with the dotted key and the nearest known one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, Tag, ValidationError

from trackbridge.errors import nearest

Path = tuple[int | str, ...]

_YES = " (YAML reads yes, no, on and off without quotation marks as true and false)"


def explain(error: ValidationError, root: type[BaseModel], source: str, *, at: Path = ()) -> str:
    """One line per problem, each naming its dotted key; `at` is where below `root` the validation began."""
    blocks = dict(_blocks(root))
    problems = [_problem(dict(found), (*at, *found["loc"]), blocks) for found in error.errors()]
    if len(problems) == 1:
        return f"{source}: {problems[0]}"
    return "\n  ".join([f"{source}: {len(problems)} problems", *problems])


def _problem(found: dict[str, Any], location: Path, blocks: dict[Path, type[BaseModel]]) -> str:
    key = _dotted(location)
    if found["type"] == "extra_forbidden":
        return f"no key {key!r}{_nearest_key(str(location[-1]), _without_indices(location[:-1]), blocks)}"
    if found["type"] == "missing":
        return f"{key!r} is missing and has no default"
    if found["type"] == "value_error":
        reason = str(found["ctx"]["error"])
        return f"{key}: {reason}" if key else reason
    if found["type"] in {"model_type", "model_attributes_type", "dict_type", "list_type"}:
        expected = "list" if found["type"] == "list_type" else "block of keys"
        example = _example(blocks.get(_without_indices(location)))
        return f"{key}: {found['input']!r} is not allowed: a {expected} is expected here{example}"
    hint = _YES if isinstance(found["input"], bool) else ""
    return f"{key}: {found['input']!r} is not allowed: {found['msg'][0].lower()}{found['msg'][1:]}{hint}"


def _example(block: type[BaseModel] | None) -> str:
    return f", such as {{{next(iter(block.model_fields))}: ...}}" if block else ""


def _nearest_key(name: str, parent: Path, blocks: dict[Path, type[BaseModel]]) -> str:
    """The keys known beside `name`; or where it is at home: in another kind of block, or another block."""
    hint = nearest(name, blocks[parent].model_fields)
    if "did you mean" in hint:
        return hint
    homes = [at for at, block in blocks.items() if name in block.model_fields]
    for home in homes:
        if _without_tags(home) == _without_tags(parent):
            return f"{hint}; {name!r} is for {home[-1]} and the other keys make this {parent[-1]}"
    if homes:
        return f"{hint}; there is {_dotted((*homes[0], name))!r}"
    beside = [block for at, block in blocks.items() if _without_tags(at) == _without_tags(parent)]
    known = {key for block in beside for key in block.model_fields}
    return nearest(name, known) if len(beside) > 1 else hint


def _blocks(block: type[BaseModel], at: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Every block below `block`, by its location as pydantic writes it."""
    yield at, block
    for name, field in block.model_fields.items():
        for tags, inner in _alternatives(field.annotation):
            yield from _blocks(inner, (*at, name, *tags))


def _alternatives(annotation: Any, tags: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """The blocks among the types of a field, each behind the tag that tells it from the others."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield tags, annotation
    for alternative in get_args(annotation):
        marks = [mark.tag for mark in getattr(alternative, "__metadata__", ()) if isinstance(mark, Tag)]
        yield from _alternatives(alternative, (*tags, *marks))


def _without_tags(location: Path) -> Path:
    """The location as the person wrote it: a discriminator's tag is our word, not theirs."""
    return tuple(part for part in location if not str(part).startswith("("))


def _without_indices(location: Path) -> Path:
    return tuple(part for part in location if isinstance(part, str))


def _dotted(location: Path) -> str:
    return ".".join(str(part) for part in _without_tags(location) if part != "[key]")
