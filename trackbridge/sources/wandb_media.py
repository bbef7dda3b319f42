"""Pictures, tables, histograms and the rest of what a row of W&B names by `_type`, as media of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from trackbridge.errors import MisuseError, SourceRefused
from trackbridge.events.models import MediaType
from trackbridge.events.values import as_json
from trackbridge.journal.codec import encode_json
from trackbridge.sources.base import Fact, SourceArtifact, SourceFile, SourceMedia, SourceProblem
from trackbridge.sources.files import file_inside
from trackbridge.sources.json_values import parsed
from trackbridge.sources.wandb_history import as_json_text

MAX_TABLE_BYTES = 1 << 28
MAX_HISTOGRAM_BINS = 1 << 20
_PICTURES = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "gif": "gif", "webp": "webp", "svg": "svg", "bmp": "bmp"}


class Logged(NamedTuple):
    """A value that is no number, with its time and step, and the caption that a column beside it has."""

    t: int
    name: str
    step: int
    value: Any
    caption: str | None = None


class Files(Protocol):
    """The files of a run, on a disk or at W&B's server."""

    def get(self, name: Any, named_by: str) -> SourceFile | SourceProblem:
        """The file of this name.

        Raises:
            SourceRefused: the name leads out of the run.
        """


class RunFiles:
    """The folder `files/` of a run.

    Attributes:
        taken: the names of files that became media.
    """

    def __init__(self, run_folder: Path, also: Sequence[Path]) -> None:
        self._folder = run_folder / "files"
        self._also = also
        self.taken: set[str] = set()

    def get(self, name: Any, named_by: str) -> SourceFile | SourceProblem:
        """The file of this name.

        Raises:
            SourceRefused: the name leads out of the folder.
        """
        if not isinstance(name, str):
            return SourceProblem(named_by, "", f"names no file but {name!r:.60}")
        self.taken.add(name)
        found = file_inside(self._folder, name, named_by=named_by, also=self._also)
        if found is None:
            is_link = (self._folder / name).is_symlink()
            way_out = "a link to elsewhere: pass --files-from with the folder it lies in" if is_link else "it is gone"
            return SourceProblem(named_by, f"files/{name}", way_out)
        return found


def media_facts(logged: Logged, files: Files) -> Iterator[Fact]:
    """What becomes of a text, a list, or an object that says its `_type`.

    Raises:
        SourceRefused: it names a file outside of its folder, or is nested too deep.
    """
    value = logged.value
    if isinstance(value, str):
        yield _text(logged, value)
    elif not isinstance(value, dict):
        yield _text(logged, as_json_text(value))
    else:
        yield from _READERS.get(value["_type"], _other)(logged, files)


def _text(logged: Logged, text: str) -> SourceMedia:
    file = SourceFile.of(f"{logged.name}.txt", text.encode("utf-8", "backslashreplace"))
    return SourceMedia(logged.t, logged.name, logged.step, "text", "txt", file, logged.caption)


def _media(
    logged: Logged, name: str, kind: MediaType, suffix: str, file: SourceFile, caption: object = None
) -> SourceMedia:
    told = caption if isinstance(caption, str) else logged.caption
    return SourceMedia(logged.t, name, logged.step, kind, suffix, file, told)


def _image(logged: Logged, files: Files) -> Iterator[Fact]:
    yield _picture(logged, logged.name, logged.value.get("path"), logged.value.get("caption"), files)


def _images(logged: Logged, files: Files) -> Iterator[Fact]:
    """Several pictures of one name: each gets its number behind it."""
    names = logged.value.get("filenames")
    captions = logged.value.get("captions")
    if not isinstance(names, list):
        yield from _other(logged, files)
        return
    for number, name in enumerate(names):
        caption = captions[number] if isinstance(captions, list) and number < len(captions) else None
        yield _picture(logged, logged.name if len(names) == 1 else f"{logged.name}/{number}", name, caption, files)


def _picture(logged: Logged, name: str, path: Any, caption: object, files: Files) -> Fact:
    file = files.get(path, logged.name)
    if isinstance(file, SourceProblem):
        return file
    suffix = _PICTURES.get(file.name.rpartition(".")[2].lower())
    if suffix is None:
        return SourceArtifact(logged.t, f"{name}/{PurePosixPath(file.name).name}", "image", file)
    return _media(logged, name, "image", suffix, file, caption)


def _table(logged: Logged, files: Files) -> Iterator[Fact]:
    file = files.get(logged.value.get("path"), logged.name)
    if isinstance(file, SourceProblem):
        yield file
        return
    try:
        content = parsed(_read(file, MAX_TABLE_BYTES))
        table = {"columns": list(map(str, content["columns"])), "rows": list(map(list, content["data"]))}
        encoded = encode_json(as_json(table))
    except MisuseError as error:
        raise SourceRefused(f"{file.name} is nested so deep that it was made to do harm") from error
    except (ValueError, TypeError, LookupError, OSError) as error:
        yield SourceProblem(file.name, "", f"is no table: {type(error).__name__}: {error}")
        return
    yield _media(logged, logged.name, "table", "json", SourceFile.of(file.name, encoded))


def _histogram(logged: Logged, files: Files) -> Iterator[Fact]:
    value = logged.value
    try:
        counts, edges = [int(count) for count in value["values"]], _edges(value)
        if len(edges) != len(counts) + 1:
            raise ValueError(f"{len(counts)} counts and {len(edges)} edges")
    except (ValueError, TypeError, LookupError, OverflowError):
        yield from _other(logged, files)
        return
    content = {"edges": edges, "counts": counts, "n_nonfinite": value.get("n_nonfinite", 0)}
    file = SourceFile.of(f"{logged.name}.json", encode_json(content))
    yield _media(logged, logged.name, "histogram", "json", file)


def _edges(value: Mapping[str, Any]) -> list[float]:
    if "bins" in value:
        return [float(edge) for edge in value["bins"]]
    packed = value["packedBins"]
    begin, width, count = float(packed["min"]), float(packed["size"]), int(packed["count"])
    if not 0 < count <= MAX_HISTOGRAM_BINS:
        raise ValueError(f"a histogram of {count} bins")
    return [begin + width * number for number in range(count + 1)]


def _html(logged: Logged, files: Files) -> Iterator[Fact]:
    file = files.get(logged.value.get("path"), logged.name)
    yield file if isinstance(file, SourceProblem) else _media(logged, logged.name, "text", "txt", file)


def _plotly(logged: Logged, files: Files) -> Iterator[Fact]:
    file = files.get(logged.value.get("path"), logged.name)
    yield file if isinstance(file, SourceProblem) else _media(logged, logged.name, "plotly", "json", file)


def _other(logged: Logged, files: Files) -> Iterator[Fact]:
    """Sounds, films, molecules: a file of the run; without one, what the row says is kept as a text."""
    value = logged.value
    if "path" not in value:
        yield _text(logged, as_json_text(value))
        return
    file = files.get(value["path"], logged.name)
    if isinstance(file, SourceProblem):
        yield file
    else:
        yield SourceArtifact(logged.t, f"{logged.name}/{PurePosixPath(file.name).name}", value["_type"], file)


def _read(file: SourceFile, limit_bytes: int) -> bytes:
    with file.open() as source:
        content = source.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"more than {limit_bytes >> 20} MB")
    return content


_READERS: dict[str, Callable[[Logged, Files], Iterator[Fact]]] = {
    "image-file": _image,
    "images/separated": _images,
    "table-file": _table,
    "histogram": _histogram,
    "html-file": _html,
    "plotly-file": _plotly,
}
