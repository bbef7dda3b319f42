"""
`python -m trackbridge.relay`: started by a run (`live`, `sample`) or by a sync (`asked`), not by a person.

    live --to wandb RUN_FOLDER             delivers one run until it has ended
    sample RUN_FOLDER                      samples CPU, memory and GPU of its training
    asked --to wandb --checkpoints none    delivers the runs named on standard input
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import get_args

from trackbridge.relay.asked import answer_requests
from trackbridge.relay.log import RelayLog
from trackbridge.relay.service import serve
from trackbridge.relay.system import SystemSampler
from trackbridge.relay.watch import watch_run
from trackbridge.settings import CheckpointUpload
from trackbridge.targets import parse_target


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m trackbridge.relay", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    live = modes.add_parser("live")
    live.add_argument("--to", required=True, type=parse_target)
    live.add_argument("run_folder", type=Path)
    sample = modes.add_parser("sample")
    sample.add_argument("run_folder", type=Path)
    asked = modes.add_parser("asked")
    asked.add_argument("--to", required=True, type=parse_target)
    asked.add_argument("--checkpoints", required=True, choices=get_args(CheckpointUpload))
    arguments = parser.parse_args()
    # Ctrl-C in the terminal is meant for the training, or for whoever asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments.mode == "asked":
        answer_requests(arguments.to, arguments.checkpoints)
        return
    RelayLog(arguments.run_folder).take_over()
    if arguments.mode == "sample":
        SystemSampler(watch_run(arguments.run_folder)).sample_until_end()
    else:
        serve(arguments.run_folder, arguments.to)


if __name__ == "__main__":
    main()
