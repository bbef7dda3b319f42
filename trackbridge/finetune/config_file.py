"""Config files: YAML (and so JSON) read into nested dicts, with mistakes located by line and column."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from trackbridge.errors import MissingDependencyError, PipelineConfigError

try:
    import yaml
except ImportError as error:
    raise MissingDependencyError.for_extra("a fine-tuning config", "pyyaml", "transformers") from error


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, of which YAML would silently keep the second."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"the key {key!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_config_file(file: Path) -> dict[str, Any]:
    """The file's content.

    Raises:
        PipelineConfigError: there is no such file, it is not YAML, or it is no block of keys.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineConfigError(f"cannot read the config {file}: {error}") from error
    content = _parsed(text, str(file))
    if not isinstance(content, dict):
        raise PipelineConfigError(f"{file}: expected a block of keys such as 'model:', found {content!r}")
    return content


def read_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """The dotted keys and values of `key=value` texts; a value is read as YAML, so `3` is a number.

    `key=@file` takes the block in a YAML file.

    Raises:
        PipelineConfigError: a text has no `=`, its value is not YAML, or its file cannot be read.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals):
            raise PipelineConfigError(f"--set {assignment!r} must be KEY=VALUE, such as training.epochs=2")
        overrides[key.strip()] = (
            read_config_file(Path(value[1:])) if value.startswith("@") else _parsed(value, f"--set {key}")
        )
    return overrides


def _parsed(text: str, source: str) -> Any:
    try:
        # the loader derives from SafeLoader: it builds plain values only
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise PipelineConfigError(f"{source}{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise PipelineConfigError(f"{source}: not YAML: {error}") from None
