"""
`python -m trackbridge.relay`: started by a run (`live`) or by a sync (`asked`), not by a person.

    live RUN_FOLDER [--to wandb]... [--system]     delivers one run until it has ended
    asked --to wandb --checkpoints none            delivers the runs named on standard input
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import get_args

from trackbridge.relay.asked import answer_requests
from trackbridge.relay.log import RelayLog
from trackbridge.relay.service import serve
from trackbridge.settings import CheckpointUpload
from trackbridge.targets import parse_target


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m trackbridge.relay", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    live = modes.add_parser("live")
    live.add_argument("run_folder", type=Path)
    live.add_argument("--to", action="append", default=[], type=parse_target)
    live.add_argument("--system", action="store_true")
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
    serve(arguments.run_folder, arguments.to, samples_system=arguments.system)


if __name__ == "__main__":
    main()
