"""`python -m trackbridge.relay RUN_FOLDER --to wandb [--system]`: started by a run, not by a person."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from trackbridge.relay.service import log_to_file, serve, take_up_others
from trackbridge.targets import parse_target


def main() -> None:
    """Serve one run until it has ended, then take up what others left."""
    parser = argparse.ArgumentParser(prog="python -m trackbridge.relay", description=__doc__)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--to", action="append", default=[], help="a target, such as wandb or comet:offline")
    parser.add_argument("--system", action="store_true", help="sample the training process")
    arguments = parser.parse_args()
    # Ctrl-C in the terminal is meant for the training.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_to_file(arguments.run_folder)
    serve(arguments.run_folder, [parse_target(text) for text in arguments.to], samples_system=arguments.system)
    take_up_others(arguments.run_folder)


if __name__ == "__main__":
    main()
