"""The pages of a real TensorBoard, in both of its ways to load files, over what the adapter wrote."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from trackbridge.adapters.base import Ending
from trackbridge.adapters.tensorboard import TensorboardAdapter
from trackbridge.events.models import ConfigLogged, RunResumed, SeedsLogged, SummaryLogged
from trackbridge.run.media import Histogram, Image, Text
from trackbridge.testing.rows import STARTED_NS, RowBuilder


@contextmanager
def tensorboard(logs: Path, *options: str) -> Iterator[str]:
    """The URL of a TensorBoard over a log folder, which runs while the context lasts."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
        else:
            pytest.fail("".join(said))
    finally:
        process.kill()
        process.communicate()


def ask(url: str, **query: Any) -> Any:
    """The answer."""
    return json.loads(fetch(f"{url}?{urlencode(query)}"))


def fetch(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_the_pages_show_what_was_delivered(tmp_path: Path, load_fast: str) -> None:
    logs = deliver_everything(tmp_path)

    with tensorboard(logs, "--load_fast", load_fast) as url:
        (run,) = wait_for_runs(url)
        points = ask(f"{url}/data/plugin/scalars/scalars", run=run, tag="train/loss")
        texts = ask(f"{url}/data/plugin/text/text", run=run, tag="eval/sample")
        bins = ask(f"{url}/data/plugin/histograms/histograms", run=run, tag="weights")
        (picture,) = ask(f"{url}/data/plugin/images/images", run=run, tag="eval/picture", sample=0)
        shown = fetch(f"{url}/data/plugin/images/individualImage?{picture['query']}")
        (group,) = sessions(url)

    assert run == "a_baseline-0c1d2e3f4a5b"
    seconds = [(STARTED_NS + number * 1_000_000_000) / 1e9 for number in (1, 5)]
    assert [point[1:] for point in points] == [[1, 1.0], [2, 0.75]]
    assert [point[0] for point in points] == pytest.approx(seconds, abs=1e-6)
    assert "<strong>cat</strong>" in texts[0]["text"]
    assert bins[0][2] == [[1.0, 2.0, 1.0], [2.0, 3.0, 0.0], [3.0, 4.0, 0.0], [4.0, 5.0, 2.0]]
    assert shown.startswith(b"\x89PNG")
    assert group["hparams"] == {"script/lr": 2e-05, "script/name": "adam", "script/flag": True, "seeds/data": 2}
    assert group["sessions"][0]["status"] == "STATUS_SUCCESS"
    assert {(metric["name"]["tag"], metric["value"]) for metric in group["metricValues"]} >= {("summary/test/mcc", 0.5)}


def deliver_everything(tmp_path: Path) -> Path:
    rows = RowBuilder(tmp_path / "run", name="a baseline")
    rows.header.folder.mkdir()
    rows.add_metrics(1, {"train/loss": 1.0})
    rows.add_metrics(2, {"train/loss": 0.5})
    rows.add_metrics(3, {"train/loss": 0.25})
    rows.add(RunResumed, from_step=1)
    rows.add_metrics(2, {"train/loss": 0.75})
    rows.add_media(3, "eval/sample", Text("The **cat** sat."))
    rows.add_media(3, "eval/picture", Image(np.zeros((2, 2, 3), dtype=np.uint8)))
    rows.add_media(3, "weights", Histogram([1.0, 5.0, 4.0], bins=4))
    rows.add(ConfigLogged, scope="script", config={"lr": 2e-5, "name": "adam", "flag": True})
    rows.add(SeedsLogged, data=2)
    rows.add(SummaryLogged, values={"test/mcc": 0.5})
    adapter = TensorboardAdapter(folder=tmp_path / "logs")
    adapter.open(rows.header, None)
    adapter.deliver(rows.rows)
    adapter.close(Ending("finished", 0, None, STARTED_NS + 60_000_000_000))
    return tmp_path / "logs"


def wait_for_runs(url: str) -> list[str]:
    """The runs, once each is loaded to its last file; meanwhile TensorBoard can only be asked again."""
    while not (runs := ask(f"{url}/data/plugin/text/tags")) or "trackbridge/ending" not in str(runs):
        time.sleep(0.05)
    return list(runs)


def sessions(url: str) -> list[dict[str, Any]]:
    """The session groups of the HPARAMS page."""
    statuses = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]
    experiment = json.loads(fetch(f"{url}/data/plugin/hparams/experiment", b"{}"))
    columns = [{"metric": info["name"]} for info in experiment["metricInfos"]]
    question = {"allowedStatuses": statuses, "colParams": columns, "startIndex": 0, "sliceSize": 10}
    return list(
        json.loads(fetch(f"{url}/data/plugin/hparams/session_groups", json.dumps(question).encode()))["sessionGroups"]
    )
