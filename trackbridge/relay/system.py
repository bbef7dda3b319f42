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
            family, gpus = _Family(session.pid), _Gpus()
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
                count += journal.append_metrics(step, {**_machine(), **family.sample(), **gpus.sample()}, None)
            self._sleep(min(LOOK_EVERY_S, self._every_s))
        journal.close()
        return count


def _machine() -> dict[str, float]:
    import psutil

    return {
        "system/cpu_percent": psutil.cpu_percent(),
        "system/memory_percent": psutil.virtual_memory().percent,
        "system/disk_percent": psutil.disk_usage(str(Path.cwd())).percent,
    }


class _Family:
    """A process and its children; each is kept, because CPU use is measured from one question to the next."""

    def __init__(self, pid: int) -> None:
        try:
            import psutil
        except ImportError as error:
            raise MissingDependencyError.for_extra("sampling system metrics", "psutil", "system") from error
        self._head = psutil.Process(pid)
        self._known: dict[int, psutil.Process] = {pid: self._head}

    def sample(self) -> dict[str, float]:
        import psutil

        totals = {"cpu_percent": 0.0, "memory_mib": 0.0, "threads": 0.0, "count": 0.0}
        for process in self._members():
            # A process may end between two questions.
            with suppress(psutil.Error), process.oneshot():
                totals["cpu_percent"] += process.cpu_percent()
                totals["memory_mib"] += process.memory_info().rss / _MIB
                totals["threads"] += process.num_threads()
                totals["count"] += 1
        return {f"system/process_{name}": total for name, total in totals.items()}

    def _members(self) -> list[psutil.Process]:
        import psutil

        with suppress(psutil.Error):
            for child in self._head.children(recursive=True):
                self._known.setdefault(child.pid, child)
        return [process for process in self._known.values() if process.is_running()]


class _Gpus:
    """The GPUs of this machine through NVML; none where there is no driver or no binding for it."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        with suppress(Exception):
            # No library, no driver, no permission: in every case there is nothing to sample.
            import pynvml

            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]

    def sample(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for index, handle in enumerate(self._handles):
            for name, read in _GPU_READINGS.items():
                # Many boards lack a sensor or two; the others are still read.
                with suppress(Exception):
                    values[f"system/gpu_{index}_{name}"] = float(read(_nvml(), handle))
        return values


def _nvml() -> Any:
    import pynvml

    return pynvml


_GPU_READINGS: dict[str, Callable[[Any, Any], float]] = {
    "use_percent": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory_mib": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used / _MIB,
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
}
