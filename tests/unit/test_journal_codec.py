"""The line of each kind, byte by byte, and what a reader makes of lines from elsewhere."""

from __future__ import annotations

import math

import pytest

from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    EventsDropped,
    Heartbeat,
    Integrity,
    KnownEvent,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    RunResumed,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
    UnknownEvent,
    WriterOpened,
)
from trackbridge.journal.codec import LineError, decode, decode_lines, encode, encode_json

AT = {"seq": 7, "t": 1785000000123456789}
HEAD = b'"seq":7,"t":1785000000123456789'
RUN_ID = "0198c0ffee007000800000000000cafe"

LINES: list[tuple[KnownEvent, bytes]] = [
    (
        WriterOpened(**AT, v=1, run_id=RUN_ID, writer_id="b" * 32, session_id="c" * 32, pid_started=1.5),
        b'{"kind":"writer_opened",HEAD,"v":1,"run_id":"0198c0ffee007000800000000000cafe",'
        b'"writer_id":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","session_id":"cccccccccccccccccccccccccccccccc",'
        b'"role":"main","host":"","boot_id":null,"pid":0,"pid_started":1.5,"rank":0,"world_size":1,"producer":""}',
    ),
    (
        RunStarted(**AT, project="cola", name="a/b \u00e9", tags=["x"]),
        b'{"kind":"run_started",HEAD,"project":"cola","name":"a/b \xc3\xa9","group":null,"tags":["x"],'
        b'"notes":null,"resumed_from":null}',
    ),
    (RunResumed(**AT, from_step=50), b'{"kind":"run_resumed",HEAD,"from_step":50,"checkpoint":null}'),
    (
        ConfigLogged(**AT, scope="model", config={"layers": 2, "rate": math.inf, "$x": 1}),
        b'{"kind":"config_logged",HEAD,"scope":"model","config":{"layers":2,"rate":{"$float":"Infinity"},"$x":1}}',
    ),
    (
        SeedsLogged(**AT, init=1, data=2, dropout=3),
        b'{"kind":"seeds_logged",HEAD,"init":1,"data":2,"dropout":3,"all":null}',
    ),
    (
        EnvironmentCaptured(**AT, environment={"python": "3.11.7"}),
        b'{"kind":"environment_captured",HEAD,"environment":{"python":"3.11.7"}}',
    ),
    (
        MetricsLogged(**AT, step=3, metrics={"train/loss": 0.1, "a": math.nan, "b": math.inf, "c": -math.inf}),
        b'{"kind":"metrics_logged",HEAD,"step":3,'
        b'"metrics":{"train/loss":0.1,"a":"NaN","b":"Infinity","c":"-Infinity"}}',
    ),
    (
        MetricsLogged(**AT, step=3, metrics={"train/loss": -0.0}, epoch=0.5),
        b'{"kind":"metrics_logged",HEAD,"step":3,"metrics":{"train/loss":-0.0},"epoch":0.5}',
    ),
    (
        SummaryLogged(**AT, values={"best": 0.5, "odd": {"$float": "NaN"}}),
        b'{"kind":"summary_logged",HEAD,"values":{"best":0.5,"odd":{"$$float":"NaN"}}}',
    ),
    (
        MediaLogged(**AT, name="eval/confusion", step=3, media="table", path="files/x.json", size_bytes=9, sha256="ab"),
        b'{"kind":"media_logged",HEAD,"name":"eval/confusion","step":3,"media":"table","path":"files/x.json",'
        b'"size_bytes":9,"sha256":"ab","caption":null}',
    ),
    (
        CheckpointSaved(**AT, step=3, path="/out/checkpoint-3", metrics={"eval/mcc": math.nan}),
        b'{"kind":"checkpoint_saved",HEAD,"step":3,"path":"/out/checkpoint-3","metrics":{"eval/mcc":"NaN"},'
        b'"size_bytes":null,"kept":null}',
    ),
    (
        CheckpointDeleted(**AT, step=3, path="/out/checkpoint-3"),
        b'{"kind":"checkpoint_deleted",HEAD,"step":3,"path":"/out/checkpoint-3"}',
    ),
    (
        ArtifactLogged(**AT, name="vocab", type="file", path="/out/vocab.txt", size_bytes=9, sha256="ab"),
        b'{"kind":"artifact_logged",HEAD,"name":"vocab","type":"file","path":"/out/vocab.txt","size_bytes":9,'
        b'"sha256":"ab"}',
    ),
    (TagsSet(**AT, tags=["a", "b"]), b'{"kind":"tags_set",HEAD,"tags":["a","b"]}'),
    (Heartbeat(**AT), b'{"kind":"heartbeat",HEAD}'),
    (Integrity(**AT, size_bytes=10, crc32=4294967295), b'{"kind":"integrity",HEAD,"size_bytes":10,"crc32":4294967295}'),
    (
        EventsDropped(**AT, counts={"metrics_logged": 3}, reason="ENOSPC", since_t=5),
        b'{"kind":"events_dropped",HEAD,"counts":{"metrics_logged":3},"reason":"ENOSPC","since_t":5}',
    ),
    (
        RunFinished(**AT, status="failed", exit_code=1, error="ValueError: x", traceback="a\nb"),
        b'{"kind":"run_finished",HEAD,"status":"failed","exit_code":1,"error":"ValueError: x","traceback":"a\\nb"}',
    ),
]


@pytest.mark.parametrize(("event", "line"), LINES, ids=lambda value: type(value).__name__)
def test_each_kind_has_its_line(event: KnownEvent, line: bytes) -> None:
    line = line.replace(b"HEAD", HEAD)
    assert encode(event) == line + b"\n"
    assert repr(decode(line)) == repr(event)


def test_every_kind_is_among_those_lines() -> None:
    assert {type(event) for event, _ in LINES} == set(KnownEvent.__args__)


def test_metrics_whose_sum_overflows_are_written_as_the_numbers_they_are() -> None:
    event = MetricsLogged(seq=0, t=0, step=0, metrics={"a": 1.7e308, "b": 1.7e308})
    assert encode(event) == b'{"kind":"metrics_logged","seq":0,"t":0,"step":0,"metrics":{"a":1.7e308,"b":1.7e308}}\n'


def test_a_line_of_another_kind_is_kept_whole() -> None:
    assert decode(b'{"kind":"gradient_logged","seq":3,"t":4,"norm":0.5,"of":["a"]}') == UnknownEvent(
        kind="gradient_logged", seq=3, t=4, fields={"norm": 0.5, "of": ["a"]}
    )


def test_fields_of_a_newer_writer_are_passed_over() -> None:
    line = b'{"kind":"heartbeat","seq":3,"t":4,"load":0.5}'
    assert decode(line) == Heartbeat(seq=3, t=4)


def test_fields_left_out_have_their_defaults() -> None:
    line = b'{"kind":"writer_opened","seq":0,"t":1,"v":1,"run_id":"a","writer_id":"b","session_id":"b"}'
    assert decode(line) == WriterOpened(seq=0, t=1, v=1, run_id="a", writer_id="b", session_id="b")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\0\0\0", "invalid character"),
        (b'{"kind":"heartbeat","seq":1,"t":2}x', "trailing characters"),
        (b'{"kind":"heartbeat","seq":1}', "missing required field `t`"),
        (b'{"kind":"heartbeat","seq":1,"t":9223372036854775808}', "9223372036854775807"),
        (b'{"kind":"run_resumed","seq":1,"t":2,"from_step":9223372036854775808}', "9223372036854775807"),
        (b'{"kind":"run_finished","seq":1,"t":2,"status":"exploded"}', "status"),
        (b'{"kind":"metrics_logged","seq":1,"t":2,"step":3,"metrics":{"a":"0.5x"}}', "Expected `float`"),
        (b'{"kind":"summary_logged","seq":1,"t":2,"values":{"a":{"$float":"much"}}}', "could not convert"),
        (b'{"kind":"config_logged","seq":1,"t":2,"scope":"x","config":{"$float":"NaN"}}', "config: no object"),
        (b'{"kind":"new","seq":"1","t":2}', "`seq`"),
        (b'{"kind":"new","t":2}', "`seq`"),
        (b'{"seq":1,"t":2}', "`kind`"),
        (b'{"kind":"integrigy","seq":1,"t":2,"size_bytes":3,"crc32":4}', "Invalid value"),
        (b'[{"kind":"heartbeat","seq":1,"t":2}]', "Expected `object`"),
        (b"3", "Expected `object`"),
        (b'{"kind":"tags_set","seq":1,"t":2,"tags":["\xff"]}', "utf-8"),
        (b'{"kind":"new","seq":1,"t":2,"x":"\xff"}', "utf-8"),
        (
            b'{"kind":"summary_logged","seq":1,"t":2,"values":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
            "recursion",
        ),
    ],
    ids=lambda value: str(value[:40]),
)
def test_a_line_that_is_no_event_says_why(line: bytes, reason: str) -> None:
    with pytest.raises(LineError, match=reason):
        decode(line)
    with pytest.raises(LineError):
        decode_lines(b'{"kind":"heartbeat","seq":1,"t":2}\n' + line + b'\n{"kind":"heartbeat","seq":1,"t":2}\n')


def test_files_of_json_spell_non_finite_numbers_as_the_journal_does() -> None:
    assert encode_json([1.5, math.nan, {"$float": 1}]) == b'[1.5,{"$float":"NaN"},{"$$float":1}]'
