"""The other side of `RelayProcess`: delivers runs to one target as it is asked, until its input ends."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from trackbridge.errors import TrackbridgeError
from trackbridge.journal.cursor import load_cursor
from trackbridge.relay.follower import Follower, Outcome, connected
from trackbridge.relay.header import ending_of
from trackbridge.relay.log import RelayLog, masked
from trackbridge.relay.process import Answer, Message, Progress, Request
from trackbridge.relay.retry import Patience
from trackbridge.relay.watch import watch_run
from trackbridge.settings import CheckpointUpload
from trackbridge.targets import Target


def answer_requests(target: Target, checkpoints: CheckpointUpload) -> None:
    """Answer every request on standard input, on standard output."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log: RelayLog | None = None
    for line in requests:
        request = msgspec.json.decode(line, type=Request)
        if log is None:
            log = RelayLog(Path(request.run_folder))
            log.take_over()
        log.run_folder = Path(request.run_folder)
        try:
            answer = _deliver(request, target, checkpoints, answers)
        except (TrackbridgeError, OSError) as error:
            answer = Answer("refused", masked(f"cannot deliver {request.run_folder}: {error}"))
        _tell(answers, answer)


def _deliver(request: Request, target: Target, checkpoints: CheckpointUpload, answers: BinaryIO) -> Answer:
    watch = watch_run(Path(request.run_folder))
    follower = Follower(
        watch=watch,
        target=target,
        connect=partial(connected, target),
        ending=lambda: ending_of(watch.record()),
        wait=Patience(request.patience_s).wait,
        checkpoints=checkpoints,
        delivered=lambda count: _tell(answers, Progress(count)),
    )
    outcome: Outcome = follower.catch_up()
    return Answer(outcome, load_cursor(watch.run_folder, str(target)).error if outcome != "gone" else None)


def _tell(answers: BinaryIO, message: Message) -> None:
    answers.write(msgspec.json.encode(message) + b"\n")
    answers.flush()
