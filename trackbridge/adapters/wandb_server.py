"""
A run at a W&B server, by way of the SDK.

The SDK's own signs of success say nothing: it returns from `finish` while the server refuses every row. So a batch is
confirmed by ending the SDK's run, which sends everything, and taking the run up again, which reads back the last step,
the config and the summary that the server has. The server does not see these ends: `x_update_finish_state` is off.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters.base import Ending, RemoteRef, Row, RunHeader
from trackbridge.adapters.wandb_rows import ROWS, Marks, RowWriter, named
from trackbridge.adapters.wandb_sdk import (
    OURS,
    check_key,
    refusal_or_outage,
    reset,
    start,
)
from trackbridge.adapters.wandb_service_log import fatal_message, refused_files
from trackbridge.errors import TransientDeliveryError

REFUSED = "refused.json"
CLOSE_TIMEOUT_S = 30.0
GIVE_UP_TIMEOUT_S = 2.0
_LOOK_EVERY_S = 0.5
_CONSOLE_OF = f"{OURS}/console_of"
_EXIT_CODES = {"finished": 0, "failed": 1, "killed": 137, "lost": 137}


class ServerRun:
    """The run at the server. Not thread-safe."""

    def __init__(self, header: RunHeader) -> None:
        self._header = header
        # Kept until the server is known to have the files in it, also when this process is killed.
        self._scratch = header.folder / "delivery" / "wandb"
        self._finishing: _Finishing | None = None
        self._refused: dict[str, str] = {}
        self.run: Any = None

    def open(self, writer: RowWriter) -> RemoteRef:
        """Create the run, or take it up where the server has it."""
        check_key()
        if (self._scratch / REFUSED).exists():
            self._refused = msgspec.json.decode((self._scratch / REFUSED).read_bytes(), type=dict[str, str])
        writer.refused = self._refused
        self._start(writer)
        return RemoteRef(remote_id=self._path, url=self.run.url)

    def confirm(self, writer: RowWriter, rows: Sequence[Row], timeout_s: float) -> bool:
        """Send all and read back; what did not arrive is sent again until it does or the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._finishing is None:
                writer.mark()
            if not self._send_all(deadline - time.monotonic()):
                return False
            self._start(writer)
            if self._has(writer.marks) and not self._send_missing_files():
                self._forget_files()
                return True
            writer.rewrite(rows)
            if time.monotonic() > deadline:
                return False

    def close(self, ending: Ending | None) -> None:
        """End the connection; with an ending, end the run at the server too."""
        is_sent = self._send_all(CLOSE_TIMEOUT_S if ending else GIVE_UP_TIMEOUT_S)
        if not is_sent:
            reset()
        if ending is not None:
            self._end(ending)
        if not self._media_files() and (ending is not None or not self._refused):
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _start(self, writer: RowWriter) -> None:
        self.run = start(self._header, self._scratch, "online", settings=_STAY)
        writer.attach(self.run, self.run.starting_step)

    @property
    def _path(self) -> str:
        return f"{self.run.entity}/{self.run.project}/{self.run.id}"

    def _send_all(self, timeout_s: float, exit_code: int = 0) -> bool:
        """End the SDK's run; False when it takes longer, and the next call goes on waiting."""
        if self._finishing is None:
            self._finishing = _Finishing(self.run, exit_code)
        if not self._finishing.is_done(timeout_s):
            return False
        self._finishing = None
        log = Path(self.run.settings.log_internal)
        if refusal := fatal_message(log):
            error = refusal_or_outage(refusal)
            if not isinstance(error, TransientDeliveryError):
                raise error
        self._note_refused(refused_files(log))
        return True

    def _note_refused(self, refused: Mapping[str, str]) -> None:
        """Keep what W&B will never take: when its rows are handed over again, they are rejected."""
        new = {name: answer for name, answer in refused.items() if name.startswith("media/")}
        if new.keys() - self._refused.keys():
            self._refused |= new
            (self._scratch / REFUSED).write_bytes(msgspec.json.encode(self._refused))
            raise TransientDeliveryError(f"W&B refuses {', '.join(new)}: {', '.join({*new.values()})}")

    def _has(self, marks: Marks) -> bool:
        config_rows = self.run.config.get(OURS, {}).get("rows", 0)
        summary_rows = self.run.summary.get(ROWS) or 0
        is_there = (self.run.starting_step > marks.history, config_rows > marks.config, summary_rows > marks.summary)
        return all(is_there)

    def _media_files(self) -> dict[str, Path]:
        """The media files of this connection, and of earlier ones that ended before they were confirmed."""
        return {
            path.relative_to(folder).as_posix(): path
            for folder in self._scratch.glob("wandb/run-*/files")
            for path in folder.glob("media/**/*")
            if path.is_file() and path.relative_to(folder).as_posix() not in self._refused
        }

    def _send_missing_files(self) -> bool:
        """Upload again the media files that the server lacks; True when there are any."""
        import wandb

        files = self._media_files()
        if not files:
            return False
        run = wandb.Api().run(self._path)
        missing = files.keys() - {file.name for file in run.files(names=sorted(files), per_page=1000)}
        for name in sorted(missing):
            target = Path(self.run.dir) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files[name], target)
            self.run.save(str(target), base_path=self.run.dir, policy="now", glob=False)
        return bool(missing)

    def _forget_files(self) -> None:
        current = Path(self.run.dir).parent
        for folder in self._scratch.glob("wandb/run-*"):
            if folder != current:
                shutil.rmtree(folder, ignore_errors=True)

    def _end(self, ending: Ending) -> None:
        import wandb

        self.run = start(self._header, self._scratch, "online", settings={"x_update_finish_state": True})
        write_ending(self.run, ending)
        if not self._send_all(CLOSE_TIMEOUT_S, exit_code_of(ending)):
            reset()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while wandb.Api().run(self._path).state == "running":
            if time.monotonic() > deadline:
                raise TransientDeliveryError(f"W&B still shows the run as running after its end as {ending.status}")
            time.sleep(_LOOK_EVERY_S)


def write_ending(run: Any, ending: Ending) -> None:
    """Tell the SDK's run how it ended: W&B itself knows `finished` and `failed` only, so the summary tells the rest."""
    # Lines are added to those that are there, and an end that was not confirmed is written again.
    if ending.console and run.summary.get(_CONSOLE_OF) != ending.ended_ns:
        run.write_logs(ending.console)
        run.summary.update({_CONSOLE_OF: ending.ended_ns})
    told: dict[str, Any] = {"status": ending.status, "exit_code": ending.exit_code}
    if ending.error:
        told["error"] = ending.error
    if ending.ended_ns:
        # As a text: the SDK takes integers of so many digits through a float.
        told["ended_at_ns"] = str(ending.ended_ns)
    run.summary.update(named(told))


def exit_code_of(ending: Ending) -> int:
    """The run's own exit code where it is known, and never 0 for a run that did not finish."""
    if ending.status == "finished":
        return 0
    return ending.exit_code or _EXIT_CODES[ending.status]


_STAY = {"x_skip_transaction_log": True, "x_update_finish_state": False}


class _Finishing:
    """`run.finish()` in a thread of its own: it may take as long as the server is away."""

    def __init__(self, run: Any, exit_code: int) -> None:
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._finish, args=(run, exit_code), daemon=True)
        self._thread.start()

    def _finish(self, run: Any, exit_code: int) -> None:
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:  # noqa: BLE001 - raised again by `is_done`, in the thread that asks
            self._error = error

    def is_done(self, timeout_s: float) -> bool:
        """True when it has returned; its error is raised."""
        self._thread.join(max(timeout_s, 0.0))
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()
