"""CPU, memory, disk, network and GPU figures of a training, by MLflow's own monitor."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

logger = logging.getLogger(__name__)

PREFIX = "system/"

Report = Callable[[int, Mapping[str, float]], None]


class _Monitor(Protocol):
    """What MLflow's collectors can do."""

    def collect_metrics(self) -> None: ...
    def aggregate_metrics(self) -> dict[str, float]: ...
    def clear_metrics(self) -> None: ...


class SystemMetrics:
    """Samples in a thread of its own from `start` to `stop`, and reports each sample.

    MLflow's SystemMetricsMonitor does the same but sends by itself, and falls silent for good at
    the first request that fails. This one uses its collectors and lets the outbox do the sending.
    """

    def __init__(self, report: Report, first_step: int, interval_seconds: float) -> None:
        """Prepare to call report(step, {"system/...": value}) from step `first_step` on."""
        self._monitors = _monitors()
        for monitor in self._monitors:  # psutil's first CPU figure means nothing
            monitor.collect_metrics()
            monitor.clear_metrics()
        self._report, self._step, self._interval = report, first_step, interval_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="system-metrics", daemon=True)

    def start(self) -> None:
        """Sample after each interval from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end the thread."""
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        ended = False
        while not ended:
            ended = self._stopped.wait(self._interval)
            values: dict[str, float] = {}
            try:
                for monitor in self._monitors:
                    monitor.collect_metrics()
                    values |= monitor.aggregate_metrics()
                    monitor.clear_metrics()
                self._report(self._step, {PREFIX + name: value for name, value in values.items()})
            except Exception as error:  # noqa: BLE001  a gauge must never stop the engine
                logger.warning("system metrics stop here: %r", error)
                return
            self._step += 1


def _monitors() -> list[_Monitor]:
    from mlflow.system_metrics.metrics import (
        cpu_monitor,
        disk_monitor,
        gpu_monitor,
        network_monitor,
    )

    kinds: list[Callable[[], _Monitor]] = [
        cpu_monitor.CPUMonitor,
        disk_monitor.DiskMonitor,
        network_monitor.NetworkMonitor,
    ]
    monitors = [kind() for kind in kinds]
    gpu: Callable[[], _Monitor] = gpu_monitor.GPUMonitor
    try:
        return [*monitors, gpu()]
    except Exception:  # noqa: BLE001  no NVML, no driver, no GPU: each has an error of its own
        return monitors
