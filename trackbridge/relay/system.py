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
from typing import TYPE_CHECKING, Any

from trackbridge.events.models import FORMAT_VERSION, MetricsLogged
from trackbridge.journal.writer import JournalWriter
from trackbridge.relay.header import ending_of
from trackbridge.relay.watch import RunWatch
from trackbridge.settings import visible_gpus
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
        self, watch: RunWatch, *, sleep: Callable[[float], None] = time.sleep, every_s: float = SAMPLE_EVERY_S
    ) -> None:
        self._watch = watch
        self._sleep = sleep
        self._every_s = every_s

    def sample_until_end(self) -> None:
        """Write one `metrics_logged` per sample; its step is whole seconds since the run began."""
        try:
            import psutil
        except ImportError:
            _log.warning("no system metrics: pip install 'trackbridge[system]' brings psutil, which reads them")
            return
        record = self._watch.record()
        try:
            family = _Family(psutil.Process(record.sessions[-1].pid))
        except psutil.Error as error:
            _log.warning("no system metrics: %s", error)
            return
        self._sample(record, family, _Gpus())

    def _sample(self, record: RunRecord, family: _Family, gpus: _Gpus) -> None:
        journal = JournalWriter(self._watch.run_folder, _identity(record))
        # CPU use is measured between two questions: the first answer says nothing.
        family.sample()
        _machine(self._watch)
        due_s = time.monotonic() + LOOK_EVERY_S
        while ending_of(self._watch.record()) is None:
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + self._every_s
                step = max(0, (time.time_ns() - record.started_ns) // 1_000_000_000)
                metrics = {**_machine(self._watch), **family.sample(), **gpus.sample()}
                # Reading sensors takes its time, and nothing belongs to the run after its end.
                if ending_of(self._watch.record()) is None:
                    journal.append(MetricsLogged, step=step, metrics=metrics)
            self._sleep(min(LOOK_EVERY_S, self._every_s))
        journal.close()


def _identity(record: RunRecord) -> dict[str, Any]:
    # It tells who is sampled, not who samples: without the main journal, this one says which process to look for.
    session = record.sessions[-1]
    return {
        "v": FORMAT_VERSION, "run_id": record.run_id, "session_id": session.session_id, "role": "system",
        "host": session.host, "boot_id": session.boot_id, "pid": session.pid, "pid_started": session.pid_started,
    }  # fmt: skip


def _machine(watch: RunWatch) -> dict[str, float]:
    import psutil

    return {
        "system/cpu_percent": psutil.cpu_percent(),
        "system/memory_percent": psutil.virtual_memory().percent,
        "system/disk_percent": psutil.disk_usage(str(watch.run_folder)).percent,
    }


class _Family:
    """A process and its children; each is kept, because CPU use is measured from one question to the next."""

    def __init__(self, head: psutil.Process) -> None:
        self._head = head
        self._members = {head.pid: head}

    def sample(self) -> dict[str, float]:
        import psutil

        totals = {"cpu_percent": 0.0, "memory_mib": 0.0, "threads": 0.0, "count": 0.0}
        for process in self._look():
            # A process may end between two questions.
            with suppress(psutil.Error), process.oneshot():
                totals["cpu_percent"] += process.cpu_percent()
                totals["memory_mib"] += process.memory_info().rss / _MIB
                totals["threads"] += process.num_threads()
                totals["count"] += 1
        return {f"system/process_{name}": total for name, total in totals.items()}

    def _look(self) -> list[psutil.Process]:
        import psutil

        with suppress(psutil.Error):
            for child in self._head.children(recursive=True):
                self._members.setdefault(child.pid, child)
        self._members = {pid: process for pid, process in self._members.items() if process.is_running()}
        return list(self._members.values())


class _Gpus:
    """The GPUs the training may use, through NVML; none where there is no driver or no binding for it."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        # No library, no driver, no permission: in every case there is nothing to sample.
        with suppress(Exception):
            import pynvml

            self._nvml = pynvml
            pynvml.nvmlInit()
            # CUDA counts like NVML on boards of one kind; on mixed ones only with CUDA_DEVICE_ORDER=PCI_BUS_ID.
            every_one = [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
            visible = visible_gpus()
            self._handles = [self._handle(name) for name in (every_one if visible is None else visible)]

    def sample(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for index, handle in enumerate(self._handles):
            for name, read in _GPU_READINGS.items():
                # Many boards lack a sensor or two; the others are still read.
                with suppress(Exception):
                    values[f"system/gpu_{index}_{name}"] = float(read(self._nvml, handle))
        return values

    def _handle(self, name: str) -> Any:
        by_index, by_uuid = self._nvml.nvmlDeviceGetHandleByIndex, self._nvml.nvmlDeviceGetHandleByUUID
        return by_index(int(name)) if name.isdigit() else by_uuid(name)


_GPU_READINGS: dict[str, Callable[[Any, Any], float]] = {
    "use_percent": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory_mib": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used / _MIB,
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
}
