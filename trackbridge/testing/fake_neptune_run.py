"""What `FakeNeptune` keeps of one run: its fields, changed by the operations of Neptune's API and read back as it shows
them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeAlias

from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun


class FakeEntry(NamedTuple):
    """One point of a series; an image's value is a mapping with `data` in base64."""

    value: Any
    step: float
    at_ms: int


@dataclass(slots=True)
class FakeField:
    """One field. `type` is Neptune's word for it; `value` a list of `FakeEntry` for a series, bytes for a file."""

    type: str
    value: Any
    extension: str = ""


class Refused(Exception):
    """An operation that the server does not carry out."""


Body: TypeAlias = Mapping[str, Any]


@dataclass(slots=True)
class FakeNeptuneRun:
    """One run. `fields` are by path; `pings` counts the signs of life."""

    id: str
    sys_id: str
    custom_id: str | None
    keeps_repeats: bool = False
    fields: dict[str, FakeField] = field(default_factory=dict)
    pings: int = 0

    def apply(self, operation: Body) -> list[str]:
        """Carry out one operation; what was wrong with it."""
        path = operation["path"]
        name = next(key for key in operation if key != "path")
        try:
            return list(_OPERATIONS[name](self, path, operation[name]) or ())
        except Refused as refused:
            return [f"{name} {path}: {refused}"]

    def put(self, path: str, kind: str, value: Any, extension: str = "") -> None:
        """Set a field; one of another type, or a folder of fields, is not replaced."""
        self.expect(path, kind)
        self.fields[path] = FakeField(kind, value, extension)

    def expect(self, path: str, kind: str) -> FakeField | None:
        """The field of this type, or None where there is room for one."""
        found = self.fields.get(path)
        if found is not None and found.type != kind:
            raise Refused(f"the field is a {found.type}, not a {kind}")
        parts = path.split("/")
        parents = {"/".join(parts[:length]) for length in range(1, len(parts))}
        if parents & set(self.fields) or any(other.startswith(f"{path}/") for other in self.fields):
            raise Refused("a field cannot be a folder of fields as well")
        return found

    def extend(self, path: str, kind: str, entries: Iterable[FakeEntry]) -> list[str]:
        """Add points to a series; those that are not after the last one are refused, unless repeats are kept."""
        found = self.expect(path, kind)
        if found is None:
            self.fields[path] = found = FakeField(kind, [])
        refused = []
        for entry in entries:
            last = found.value[-1] if found.value else None
            if last is not None and not self.keeps_repeats and (entry.step <= last.step or entry.at_ms < last.at_ms):
                refused.append(f"{path}: step {entry.step} at {entry.at_ms} is not after {last.step} at {last.at_ms}")
            else:
                found.value.append(entry)
        return refused

    def value(self, path: str) -> Any:
        """The value of a field, or None."""
        found = self.fields.get(path)
        return None if found is None else found.value

    def below(self, folder: str) -> dict[str, FakeField]:
        """The fields below a folder, by the rest of their paths."""
        return {path[len(folder) + 1 :]: one for path, one in self.fields.items() if path.startswith(f"{folder}/")}

    def seen(self) -> SeenRun:
        """The run in the words of the contract suite."""
        groups = self.value("sys/group_tags")
        files = [*self.below("checkpoints"), *self.below("artifacts")]
        return SeenRun(
            name=self.value("sys/name") or "",
            group=next(iter(groups), None) if groups else None,
            tags=frozenset(self.value("sys/tags") or ()),
            notes=self.value("sys/description"),
            config=self._config(),
            summary={path: one.value for path, one in self.below("summary").items() if one.type != "file"},
            points=self._points(),
            media=tuple(self._media()),
            artifacts=frozenset(path.split("/")[0] for path in files if path.split("/")[1] == "files"),
            status=self.value("run/status") or "running",
            error=self.value("run/error") or "",
            console=(self.value("run/console") or b"").decode(),
        )

    def _config(self) -> dict[str, str]:
        folders = {"config/": "", "seeds/": "seeds/", "environment/": "environment/"}
        return {
            prefix + path: str(one.value)
            for folder, prefix in folders.items()
            for path, one in self.below(folder[:-1]).items()
            if one.type != "file"
        }

    def _points(self) -> tuple[SeenPoint, ...]:
        # Beside the machine's metrics the SDK streams the console, as text.
        kinds = {"metrics": "floatSeries", "monitoring": "floatSeries", "not_finite": "stringSeries"}
        points = [
            SeenPoint(_own_name(path), float(entry.value), int(entry.step), entry.at_ms * 1_000_000)
            for folder, kind in kinds.items()
            for path, one in self.below(folder).items()
            if one.type == kind
            for entry in one.value
            # What the SDK itself measures of the machine has no step.
            if entry.step is not None
        ]
        return tuple(sorted(points, key=lambda point: point.time_ns or 0))

    def _media(self) -> Iterable[SeenMedia]:
        for path, one in self.below("media").items():
            media, _, name = path.partition("/")
            if one.type == "imageSeries":
                yield from (SeenMedia(_own_name(name), "image", int(entry.step)) for entry in one.value)
            elif one.type == "file":
                name, _, step = name.rpartition("/step-")
                yield SeenMedia(name, media, int(step.partition("-")[0]))


def _own_name(path: str) -> str:
    """The name without the number of a further series, as in `train/loss~2`."""
    return re.sub(r"~\d+$", "", path)


def _assigned(kind: str) -> Callable[[FakeNeptuneRun, str, Body], None]:
    return lambda run, path, body: run.put(path, kind, body["value"])


def _logged(kind: str) -> Callable[[FakeNeptuneRun, str, Body], list[str]]:
    return lambda run, path, body: run.extend(
        path, kind, [FakeEntry(one["value"], one["step"], one["timestampMilliseconds"]) for one in body["entries"]]
    )


def _assign_datetime(run: FakeNeptuneRun, path: str, body: Body) -> None:
    run.put(path, "datetime", datetime.fromtimestamp(body["valueMilliseconds"] / 1000, tz=timezone.utc))


def _insert_strings(run: FakeNeptuneRun, path: str, body: Body) -> None:
    found = run.expect(path, "stringSet")
    run.put(path, "stringSet", (found.value if found else frozenset()) | set(body["values"]))


def _remove_strings(run: FakeNeptuneRun, path: str, body: Body) -> None:
    found = run.expect(path, "stringSet")
    run.put(path, "stringSet", (found.value if found else frozenset()) - set(body["values"]))


def _clear_series(kind: str) -> Callable[[FakeNeptuneRun, str, Body], None]:
    return lambda run, path, body: run.put(path, kind, [])


def _delete(run: FakeNeptuneRun, path: str, body: Body) -> None:
    if run.fields.pop(path, None) is None:
        raise Refused("there is no such field")


_OPERATIONS: dict[str, Callable[[FakeNeptuneRun, str, Body], Iterable[str] | None]] = {
    "assignFloat": _assigned("float"),
    "assignInt": _assigned("int"),
    "assignBool": _assigned("bool"),
    "assignString": _assigned("string"),
    "assignDatetime": _assign_datetime,
    "logFloats": _logged("floatSeries"),
    "logStrings": _logged("stringSeries"),
    "logImages": _logged("imageSeries"),
    "clearFloatSeries": _clear_series("floatSeries"),
    "clearStringSeries": _clear_series("stringSeries"),
    "clearImageSeries": _clear_series("imageSeries"),
    "insertStrings": _insert_strings,
    "removeStrings": _remove_strings,
    "clearStringSet": lambda run, path, body: run.put(path, "stringSet", frozenset()),
    "configFloatSeries": lambda run, path, body: None,
    "deleteAttribute": _delete,
}
