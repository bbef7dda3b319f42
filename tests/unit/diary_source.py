"""A source for the contract's own tests: a tracker that writes one line per fact, each with a checksum before it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.errors import NotFoundError, SourceRefused
from trackbridge.events.models import ConfigLogged, RunFinished, RunStarted, SummaryLogged
from trackbridge.sources.base import (
    Asked,
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceMedia,
    SourceProblem,
    SourceRun,
    Unmapped,
)
from trackbridge.sources.files import file_inside


def line_of(**told: Any) -> bytes:
    """A line of a diary."""
    content = json.dumps(told).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


class DiarySource:
    """Reads files that end in `.diary`."""

    name: ClassVar[str] = "diary"

    def recognises(self, place: str) -> bool:
        return bool(_diaries(Path(place)))

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        paths = _diaries(asked.path)
        if not paths:
            raise NotFoundError(f"there is no diary at {asked.place}")
        return [SourceRun(path.stem, "diaries", "kept", partial(_facts, path)) for path in paths]


def _diaries(place: Path) -> list[Path]:
    found = sorted(place.glob("*.diary")) if place.is_dir() else [place]
    return [path for path in found if path.suffix == ".diary" and path.is_file()]


def _facts(path: Path) -> Iterator[Fact]:
    content = path.read_bytes()
    whole, _, rest = content.rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n"), 1):
        checksum, _, told = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(told):
            yield SourceProblem(path.name, f"line {number}", "the checksum does not fit")
        else:
            yield from _fact(path, json.loads(told))
    if rest:
        yield SourceProblem(path.name, f"byte {len(whole) + 1}", "the last line is torn")


def _fact(path: Path, told: dict[str, Any]) -> Iterator[Fact]:
    kind, t = told.pop("kind"), told.pop("t", 0)
    if kind == "points":
        yield Points(t, told["step"], {name: float(value) for name, value in told["metrics"].items()})
    elif kind in _TOLD:
        yield _TOLD[kind](seq=0, t=t, **told)
    elif kind == "printed":
        yield Printed(told["text"])
    elif kind == "nested" and told["depth"] > 100:
        raise SourceRefused(f"{path.name} is nested {told['depth']} deep")
    elif kind in ("media", "file"):
        file = file_inside(path.parent, told["file"], named_by=path.name)
        if file is None:
            yield SourceProblem(path.name, told["file"], "the file is gone")
        elif kind == "file":
            yield SourceArtifact(t, told["name"], "file", file)
        else:
            yield SourceMedia(t, told["name"], told["step"], "image", "png", file)
    else:
        yield Unmapped(t, kind, told)


_TOLD = {"start": RunStarted, "config": ConfigLogged, "summary": SummaryLogged, "end": RunFinished}
