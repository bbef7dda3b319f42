"""The page that specifies the journal: complete, right in its example, and enough to write a reader from."""

from __future__ import annotations

import json
import math
import re
import types
import typing
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

import trackbridge as tb
from trackbridge.events.models import AnyEvent, Event, Int64, JsonObject, KnownEvent, UnknownEvent
from trackbridge.journal.codec import decode, encode
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import read_file

PAGE = (Path(__file__).parent.parent.parent / "docs" / "journal-format.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GOLDEN = Path(__file__).parent.parent / "golden" / "v1"


def section(kind: str) -> str:
    """What the page says under a kind's heading."""
    found = re.search(rf"^### `{kind}`$(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no section on {kind}"
    return found[1]


def described_fields(kind: str) -> dict[str, tuple[str, str]]:
    """The type and the default of each field, as the page tells them."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| .+ \|$", section(kind), re.MULTILINE)
    return {name: (type_name, default.strip("`")) for name, type_name, default in rows}


def type_name(hint: Any) -> str:
    """The page's word for a type."""
    words = {
        int: "integer",
        float: "number",
        str: "text",
        list[str]: "list of text",
        dict[str, float]: "text to number",
    }
    words |= {dict[str, int]: "text to integer", types.NoneType: "null"}
    if hint == Int64:
        return "int64"
    if hint == JsonObject:
        return "object"
    if typing.get_origin(hint) is typing.Literal:
        *first, last = (f"`{word}`" for word in typing.get_args(hint))
        return f"{', '.join(first)} or {last}"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(type_name, typing.get_args(hint)))
    return words[hint]


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    made = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return json.dumps(made)


@pytest.mark.parametrize("kind", KnownEvent.__args__, ids=lambda kind: kind.__struct_config__.tag)
def test_the_page_tells_each_field_with_its_type_and_default(kind: type[Event]) -> None:
    hints = typing.get_type_hints(kind, include_extras=True)
    own = [field for field in msgspec.structs.fields(kind) if field.name not in ("seq", "t")]
    expected = {field.name: (type_name(hints[field.name]), default_of(field)) for field in own}
    assert described_fields(str(kind.__struct_config__.tag)) == expected


def test_the_page_tells_no_kind_that_there_is_not() -> None:
    told = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(str(kind.__struct_config__.tag) for kind in KnownEvent.__args__)


def test_the_example_of_the_page_is_a_journal_byte_by_byte(tmp_path: Path) -> None:
    assert EXAMPLE is not None
    content = EXAMPLE[1].encode()
    path = tmp_path / "journal-019f9a4a7a017000a000000000000002.jsonl"
    path.write_bytes(content)
    read = read_file(path)
    assert read.problems == []
    assert read.position.crc_bytes == 0
    assert b"".join(map(encode, read.events)) == content


def test_the_checksum_of_the_example_is_the_one_worked_out_in_the_text() -> None:
    assert EXAMPLE is not None
    content = EXAMPLE[1].encode()
    start = content.rindex(b"\n", 0, -1) + 1
    head, _, digits = content[start:-1].rpartition(b',"crc32":')
    before = zlib.crc32(content[:start])
    crc = zlib.crc32(head, before)
    assert int(digits[:-1]) == crc
    assert f"have {start} bytes with their line feeds" in PAGE
    assert f"over them is 0x{before:08X}; taken on over the {len(head)} bytes `{head.decode()}`" in PAGE
    assert f"it is 0x{crc:08X}, which is {crc}." in PAGE


# --- A reader written from the page, with a JSON parser and nothing else. ---


def plain(value: Any) -> Any:
    """A value of a field of type object, without its escapes."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (key := next(iter(value))).startswith("$"):
        return float(value[key]) if key == "$float" else {key[1:]: plain(value[key])}
    return {key: plain(item) for key, item in value.items()}


def event_of(line: bytes) -> dict[str, Any]:
    """The fields of a line; a ValueError, KeyError or TypeError where it is none."""
    fields: dict[str, Any] = json.loads(line)
    needed = ["kind", "seq", "t"] + ["size_bytes", "crc32"] * (fields["kind"] == "integrity")
    if [name for name in needed if name not in fields] or ("crc32" in fields) != (fields["kind"] == "integrity"):
        raise ValueError("a field is missing, or there is one that cannot be")
    for name in {"config", "values", "environment"} & fields.keys():
        fields[name] = plain(fields[name])
    if "metrics" in fields:
        fields["metrics"] = {name: float(value) for name, value in fields["metrics"].items()}
    if fields.get("epoch") is not None:
        fields["epoch"] = float(fields["epoch"])
    return fields


def event_in(line: bytes) -> tuple[dict[str, Any] | None, bool]:
    """The event of a line or at its end, and whether the line is sound."""
    for start in [0, *(found.start() for found in re.finditer(rb'(?<!^)\{"kind":"', line))]:
        try:
            return event_of(line[start:]), start == 0
        except (ValueError, KeyError, TypeError):
            continue
    return None, False


def read_from_the_page(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """The events of a file, and how many places were damaged."""
    events: list[dict[str, Any]] = []
    n_problems, expected_seq, start, at = 0, 0, 0, 0
    for line in content.split(b"\n")[:-1]:
        event, is_sound = event_in(line)
        events += [event] if event else []
        is_expected = is_sound and event is not None and expected_seq in (-1, event["seq"])
        n_problems += not is_expected
        expected_seq = event["seq"] + 1 if event is not None and is_expected else -1
        if is_sound and event is not None and event["kind"] == "integrity":
            head, _, digits = line[:-1].rpartition(b',"crc32":')
            crc = zlib.crc32(head, zlib.crc32(content[start:at]))
            n_problems += (at - start, crc, b"%d" % crc) != (event["size_bytes"], event["crc32"], digits)
            start = at + len(line) + 1
        at += len(line) + 1
    return events, n_problems


# --- And what it is held to. ---


def log_everything(run: tb.Run, checkpoint: Path) -> None:
    run.log_seeds(tb.Seeds(init=1, data=2, dropout=3))
    for step in range(5000):
        run.log({"train/loss": 1 / (step + 1), "odd": (math.nan, -math.inf, 1e308)[step % 3]}, step=step)
    run.log({"eval/mcc": 0.5, "table": tb.Table(["x"], [[math.nan]])}, step=2, epoch=0.5)
    run.log_checkpoint(checkpoint, step=2, metrics={"eval/mcc": math.nan}, keep=True)
    run.log_summary({"best": -math.inf, "deep": [[[{"$float": 1}]]]})
    run.log_artifact(checkpoint / "trackbridge.json")


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Journals of a run that uses every verb and goes on from a checkpoint, and the golden ones."""
    folder = tmp_path_factory.mktemp("runs")
    config = {"rate": math.inf, "looks": {"$float": "NaN"}, "also": {"$x": [{"$$y": 1}]}, "big": 10**300, "é": "\u2028"}
    checkpoint = folder / "checkpoint-2"
    checkpoint.mkdir()
    with tb.start_run("cola", root=folder, config=config, tags=["a"]) as run:
        log_everything(run, checkpoint)
    with tb.start_run("cola", root=folder, resume_from=checkpoint) as run:
        run.set_tags("b")
        run.log({"train/loss": 0.5}, step=3)
        run.finish("failed", error="ZeroDivisionError: division by zero")
    return [*journal_files(run.path), *sorted(GOLDEN.rglob("journal-*.jsonl"))]


def as_fields(event: AnyEvent) -> dict[str, Any]:
    """An event of the package as the reader above tells it."""
    if isinstance(event, UnknownEvent):
        return {"kind": event.kind, "seq": event.seq, "t": event.t, **event.fields}
    told = {name: getattr(event, name) for name in event.__struct_fields__}
    return {"kind": str(event.__struct_config__.tag), **told}


def told(events: list[dict[str, Any]]) -> list[str]:
    return [repr(sorted(event.items())) for event in events]


def test_a_reader_written_from_the_page_reads_what_the_package_reads(journals: list[Path]) -> None:
    assert len(journals) >= 5
    for path in journals:
        events, n_problems = read_from_the_page(path.read_bytes())
        read = read_file(path)
        expected = [as_fields(event) for event in read.events]
        # Fields that a line leaves out have their default.
        filled = [{**default, **event} for default, event in zip(expected, events, strict=True)]
        assert told(filled) == told(expected)
        assert n_problems == len(read.problems)


def test_that_reader_and_the_package_agree_wherever_a_file_is_cut(tmp_path: Path) -> None:
    assert EXAMPLE is not None
    content = EXAMPLE[1].encode()
    path = tmp_path / "journal.jsonl"
    for size_bytes in range(len(content)):
        path.write_bytes(content[:size_bytes])
        events, n_problems = read_from_the_page(content[:size_bytes])
        read = read_file(path)
        assert told(events) == told([as_fields(event) for event in read.events])
        assert n_problems == len(read.problems) == 0


def test_that_reader_and_the_package_lose_no_line_but_the_one_with_a_flipped_bit(tmp_path: Path) -> None:
    assert EXAMPLE is not None
    content = EXAMPLE[1].encode()
    path = tmp_path / "journal.jsonl"
    for at in range(len(content) - 1):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        path.write_bytes(changed)
        untouched = {0, 1, 2, 3, 4} - {content.count(b"\n", 0, at)}
        events, n_problems = read_from_the_page(changed)
        read = read_file(path)
        assert untouched <= {event["seq"] for event in events}
        assert untouched <= {event.seq for event in read.events}
        assert min(n_problems, len(read.problems)) > 0


def test_the_reader_of_the_page_takes_kinds_it_does_not_know() -> None:
    line = b'{"kind":"from_the_future","seq":0,"t":1,"x":2}\n'
    events, n_problems = read_from_the_page(line)
    assert (events, n_problems) == ([{"kind": "from_the_future", "seq": 0, "t": 1, "x": 2}], 0)
    assert as_fields(decode(line[:-1])) == events[0]
