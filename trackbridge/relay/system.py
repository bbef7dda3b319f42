"""
System metrics of a training process, sampled from outside it every 15 seconds into a journal of their own.

CPU, memory, disk and the process's children through psutil; GPU use, memory, power and temperature through NVML
where there is one. Nothing of this runs in the training process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackbridge.errors import MissingDependencyError
from trackbridge.events.models import FORMAT_VERSION
from trackbridge.journal.writer import JournalWriter
from trackbridge.relay.header import ending_of
from trackbridge.store.records import RunRecord

if TYPE_CHECKING:
    import psutil

SAMPLE_EVERY_S = 15.0
LOOK_EVERY_S = 1.0
_MIB = 1 << 20
_log = logging.getLogger(__name__)


class SystemSampler:
    """Samples the process of a run's last session until the run has ended."""

    def __init__(
        self,
        run_folder: Path,
        read_record: Callable[[], RunRecord],
        *,
        sleep: Callable[[float], None] = time.sleep,
        every_s: float = SAMPLE_EVERY_S,
    ) -> None:
        self._folder = run_folder
        self._read_record = read_record
        self._sleep = sleep
        self._every_s = every_s

    def sample_until_end(self) -> int:
        """Write one `metrics_logged` per sample, with whole seconds since the session's start as step; how many."""
        record = self._read_record()
        session = record.sessions[-1]
        try:
            process, gpus = _process(session.pid), _Gpus()
        except MissingDependencyError as error:
            _log.warning("%s", error)
            return 0
        identity = {
            "v": FORMAT_VERSION, "run_id": record.run_id, "session_id": session.session_id, "role": "system",
            "host": session.host, "pid": session.pid,
        }  # fmt: skip
        journal = JournalWriter(self._folder, identity)
        count, due = 0, 0.0
        while ending_of(self._read_record()) is None:
            if time.monotonic() >= due:
                due = time.monotonic() + self._every_s
                step = max(0, (time.time_ns() - session.started_ns) // 1_000_000_000)
                count += journal.append_metrics(step, {**_sample(process), **gpus.sample()}, None)
            self._sleep(min(LOOK_EVERY_S, self._every_s))
        journal.close()
        return count


def _process(pid: int) -> psutil.Process:
    try:
        import psutil
    except ImportError as error:
        raise MissingDependencyError.for_extra("sampling system metrics", "psutil", "system") from error
    return psutil.Process(pid)


def _sample(process: psutil.Process) -> dict[str, float]:
    import psutil

    values: dict[str, float] = {
        "system/cpu_percent": psutil.cpu_percent(),
        "system/memory_percent": psutil.virtual_memory().percent,
        "system/disk_percent": psutil.disk_usage("/").percent,
    }
    # The process, or a child of it, may end between two questions.
    with suppress(psutil.Error):
        family = [process, *process.children(recursive=True)]
        values["system/process_memory_mib"] = sum(_or_zero(one.memory_info).rss for one in family) / _MIB
        values["system/process_cpu_percent"] = sum(_or_zero(one.cpu_percent) for one in family)
        values["system/process_threads"] = float(sum(_or_zero(one.num_threads) for one in family))
        values["system/processes"] = float(len(family))
    return values
