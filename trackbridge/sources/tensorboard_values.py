"""TensorBoard's values in the journal's words: scalars as points, the rest as media, what has no word as files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from trackbridge.events.models import ConfigLogged, RunFinished, RunResumed, RunStarted
from trackbridge.journal.codec import encode_json
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceFile,
    SourceMedia,
    Unmapped,
)
from trackbridge.sources.pictures import picture_suffix
from trackbridge.sources.protobuf import as_bytes, as_text, fields
from trackbridge.sources.tensorboard_events import (
    Event,
    Tensor,
    Value,
    read_hyperparameters,
    read_numbers,
)

Begin: TypeAlias = Callable[[int], RunStarted | RunResumed]

HPARAMS = "hparams"
# Where TensorFlow's buckets end that are open to both sides.
_OPEN = 1e300


def nanoseconds(time_s: float) -> int:
    """The time of an event. A float of seconds holds microseconds and no more."""
    return round(time_s * 1e6) * 1000 if time_s > 0 else UNKNOWN_NS


class TheirValues:
    """What any writer of event files says of a run, event by event."""

    def __init__(self, begin: Begin) -> None:
        """`begin` makes the first fact of the run, given its time."""
        self._begin = begin
        self._has_begun = False
        self._finished: RunFinished | None = None

    def facts(self, event: Event) -> Iterator[Fact]:
        """The facts of an event."""
        t = nanoseconds(event.time_s)
        if not self._has_begun:
            self._has_begun = True
            yield self._begin(t)
        points: dict[str, float] = {}
        for value in event.values:
            if (scalar := scalar_of(value)) is not None:
                points[value.tag] = scalar
            elif value.plugin == HPARAMS:
                yield from self._hyperparameters(t, value)
            else:
                yield from facts_of(t, event.step, value)
        if points:
            yield Points(t, event.step, points)
        yield from _others(t, event)

    def closing(self) -> Iterator[Fact]:
        """What is known when everything is read."""
        if self._finished is not None:
            yield self._finished

    def _hyperparameters(self, t: int, value: Value) -> Iterator[Fact]:
        told = read_hyperparameters(value.plugin_content)
        if told.config is not None:
            yield ConfigLogged(seq=0, t=t, scope="script", config=told.config)
        if told.group:
            yield Unmapped(t, "hparams/group_name", told.group)
        if told.succeeded is not None:
            ended = nanoseconds(told.ended_s) if told.ended_s is not None else t
            self._finished = RunFinished(seq=0, t=ended, status="finished" if told.succeeded else "failed")
        if told.config is None and told.succeeded is None:
            yield _file(t, value.tag, HPARAMS, "pb", value.plugin_content)


def scalar_of(value: Value) -> float | None:
    """The number of a scalar; None for any other value."""
    if value.scalar is not None:
        return value.scalar
    if value.tensor is None or value.plugin not in ("", "scalars") or math.prod(value.tensor.shape) != 1:
        return None
    return value.tensor.scalar


def facts_of(t: int, step: int, value: Value) -> Iterator[Fact]:
    """The facts of a value that is no scalar."""
    if value.description:
        yield Unmapped(t, f"{value.tag}/description", value.description)
    for kind, message in value.raw.items():
        yield from _MESSAGES[kind](t, step, value.tag, message)
    if value.tensor is not None:
        read = _TENSORS.get(value.plugin, _any_tensor)
        yield from read(t, step, value, value.tensor)


def text_media(t: int, name: str, step: int, content: bytes, caption: str | None = None) -> SourceMedia:
    """A text at a step."""
    return SourceMedia(t, name, step, "text", "txt", SourceFile.of(f"{name}.txt", content), caption)


def table_media(t: int, name: str, step: int, content: bytes, caption: str | None = None) -> SourceMedia:
    """A table at a step, its bytes those of the journal's format."""
    return SourceMedia(t, name, step, "table", "json", SourceFile.of(f"{name}.json", content), caption)


def histogram_media(t: int, name: str, step: int, content: bytes, caption: str | None = None) -> SourceMedia:
    """A histogram at a step, its bytes those of the journal's format."""
    return SourceMedia(t, name, step, "histogram", "json", SourceFile.of(f"{name}.json", content), caption)


def _texts(t: int, step: int, value: Value, tensor: Tensor) -> Iterator[Fact]:
    # The writer of torch and tensorboardX adds the suffix to the name that the user gave.
    name = value.tag.removesuffix("/text_summary")
    texts = tensor.texts
    if len(tensor.shape) == 2 and len(texts) == math.prod(tensor.shape):
        width = tensor.shape[1]
        rows = [
            [one.decode("utf-8", "replace") for one in texts[at : at + width]] for at in range(0, len(texts), width)
        ]
        yield table_media(t, name, step, encode_json({"columns": list(map(str, range(width))), "rows": rows}))
    elif texts:
        yield text_media(t, name, step, b"\n".join(texts).decode("utf-8", "replace").encode())


def _pictures(t: int, step: int, value: Value, tensor: Tensor) -> Iterator[Fact]:
    # Width and height come first.
    for number, content in enumerate(tensor.texts[2:]):
        yield _picture(t, step, f"{value.tag}/{number}" if number else value.tag, content)


def _histogram_tensor(t: int, step: int, value: Value, tensor: Tensor) -> Iterator[Fact]:
    numbers = [float(one) for one in tensor.elements if not isinstance(one, bytes)]
    edges = [*numbers[0::3], *numbers[-2:-1]]
    yield _histogram(t, step, value.tag, edges, numbers[2::3])


def _any_tensor(t: int, step: int, value: Value, tensor: Tensor) -> Iterator[Fact]:
    """Any tensor as a text: its numbers as JSON, its texts as they are; bytes that are no text become a file."""
    if not tensor.texts:
        yield text_media(t, value.tag, step, encode_json(_nested(tensor.elements, tensor.shape)))
        return
    content = b"\n".join(tensor.texts)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield _file(t, f"{value.tag}/step-{step}", value.plugin or "tensor", "bin", content)
    else:
        yield text_media(t, value.tag, step, content)


def _nested(flat: Sequence[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return flat[0] if flat else None
    if len(shape) == 1 or math.prod(shape) != len(flat):
        return list(flat)
    size = math.prod(shape[1:])
    return [_nested(flat[at : at + size], shape[1:]) for at in range(0, len(flat), size)] if size else []


def _image_message(t: int, step: int, name: str, message: bytes) -> Iterator[Fact]:
    yield _picture(t, step, name, as_bytes(dict(fields(message)).get(4, b"")))


def _histogram_message(t: int, step: int, name: str, message: bytes) -> Iterator[Fact]:
    numbers = read_numbers(message)
    limits, counts = numbers.get(6, []), numbers.get(7, [])
    low, high = (numbers.get(field, [0.0])[0] for field in (1, 2))
    if counts and not counts[0]:
        # An empty first bucket is there to say where the second begins.
        low, limits, counts = limits[0], limits[1:], counts[1:]
    edges = [low, *limits]
    if len(edges) > 1 and abs(edges[-1]) > _OPEN:
        edges[-1] = high
    yield _histogram(t, step, name, edges, counts)


def _audio_message(t: int, step: int, name: str, message: bytes) -> Iterator[Fact]:
    yield _file(t, f"{name}/step-{step}", "audio", "wav", as_bytes(dict(fields(message)).get(4, b"")))


def _others(t: int, event: Event) -> Iterator[Fact]:
    for kind, content in event.others.items():
        if kind == "log":
            yield Printed(as_text(dict(fields(content)).get(2, b"")) + "\n")
        else:
            yield _file(t, f"{kind}/step-{event.step}", kind, "pb", content)


def _histogram(t: int, step: int, name: str, edges: Sequence[float], counts: Sequence[float]) -> SourceMedia:
    whole = [int(count) if count.is_integer() else count for count in counts]
    return histogram_media(t, name, step, json.dumps({"edges": list(edges), "counts": whole}).encode())


def _picture(t: int, step: int, name: str, content: bytes) -> Fact:
    suffix = picture_suffix(content)
    if suffix is None:
        return _file(t, f"{name}/step-{step}", "image", "bin", content)
    return SourceMedia(t, name, step, "image", suffix, SourceFile.of(f"{name}.{suffix}", content))


def _file(t: int, name: str, kind: str, suffix: str, content: bytes) -> SourceArtifact:
    return SourceArtifact(t, name, kind, SourceFile.of(f"{name}.{suffix}", content))


_TENSORS = {"text": _texts, "images": _pictures, "histograms": _histogram_tensor}
_MESSAGES = {"image": _image_message, "histogram": _histogram_message, "audio": _audio_message}
