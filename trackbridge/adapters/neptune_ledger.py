"""
What a run at Neptune consists of so far: its fields with their types, its series with their last points.

Neptune is strict: a series takes only points after its last one, a field keeps its type, and nothing is a field and a
namespace at once. The ledger finds the place for each new thing. It is kept with the run, so that after a crash the
same rows find the same places again, and what is there already is known by its place in the series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from trackbridge.adapters.base import Rejection

MAX_SERIES = 100
_SERIES = "Series"


class Series(msgspec.Struct, array_like=True):
    """A series: where it is, how many points it has, and its last one."""

    path: str
    count: int
    step: int
    at_ms: int


class _Written(msgspec.Struct):
    rows: int = 0
    rejections: list[Rejection] = []
    types: dict[str, str] = {}
    series: dict[str, list[Series]] = {}


class Ledger:
    """
    What a run at Neptune consists of after its first `rows` rows.

    A metric has one series, and a further one when a point comes whose step is not after the last. The series used
    last comes first in the list, so a resumed session goes on in its own.

    Attributes:
        rows: how many rows it counts.
        rejections: of the rows that were added last, which may be handed over once more.
    """

    def __init__(self, content: bytes = b"") -> None:
        written = msgspec.json.decode(content, type=_Written) if content else _Written()
        self.rows, self.rejections = written.rows, written.rejections
        self.types = dict(written.types)
        self._series = dict(written.series)
        self._folders = Counter(folder for path in self.types for folder in _folders(path))

    def content(self) -> bytes:
        """The ledger as JSON, for the next time."""
        return msgspec.json.encode(_Written(self.rows, self.rejections, self.types, self._series))

    def start_again(self) -> None:
        """Keep the types of fields, which are at Neptune, but count rows and points from the first on again."""
        for path in [path for path, kind in self.types.items() if kind == _SERIES]:
            self.drop(path)
        self.rows, self.rejections, self._series = 0, [], {}

    def put(self, path: str, kind: str) -> str | None:
        """Note that there is a field of this type; the type it had before."""
        before = self.types.get(path)
        self.types[path] = kind
        if before is None:
            self._folders.update(_folders(path))
        return before

    def drop(self, path: str) -> None:
        """Note that a field is gone."""
        del self.types[path]
        self._folders.subtract(_folders(path))

    def free(self, path: str) -> str:
        """The path, with `~` where it would make a field a namespace, or a namespace a field."""
        if path in self.types:
            return path
        *parents, last = path.split("/")
        reached = ""
        for part in parents:
            reached += part or "~"
            while reached in self.types:
                reached += "~"
            reached += "/"
        reached += last or "~"
        while self._folders[reached] > 0:
            reached += "~"
        return reached

    def append(self, path: str, step: int, at_ms: int) -> Series | None:
        """The series in which this point of a metric is the last one now; None when the metric has too many."""
        known = self._series.setdefault(path, [])
        for place, series in enumerate(known):
            if step > series.step and at_ms >= series.at_ms:
                if place:
                    known.insert(0, known.pop(place))
                series.count, series.step, series.at_ms = series.count + 1, step, at_ms
                return series
        if len(known) >= MAX_SERIES:
            return None
        name = self.free(path if not known else f"{path}~{len(known) + 1}")
        while name in self.types:
            name += "~"
        self.put(name, _SERIES)
        known.insert(0, Series(name, 1, step, at_ms))
        return known[0]

    def last_step(self, path: str) -> int | None:
        """The step of the point that was appended last."""
        known = self._series.get(path)
        return known[0].step if known else None


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))
