"""How busy other processes keep the cores that this one computes on."""

import os
import time

import psutil

LOOK_S = 5.0  # of less nothing is said
MUCH = 0.5  # of a core


class OtherLoad:
    """Of the time since it was made: how many of this process's cores others took."""

    def __init__(self) -> None:
        self._before = self._read()

    def cores(self) -> float:
        wall_s, busy_s, own_s = (
            now - before for now, before in zip(self._read(), self._before, strict=True)
        )
        return max(0.0, (busy_s - own_s) / wall_s)

    def advice(self, threads: int) -> str | None:
        """To use fewer threads, where others take what some of them would need.

        Threads part each layer among them and wait for the last: one that has to take turns with
        another process makes all of them as slow as that.
        """
        if time.perf_counter() - self._before[0] < LOOK_S:
            return None
        return fewer_threads(self.cores(), threads, len(usable()))

    @staticmethod
    def _read() -> tuple[float, float, float]:
        """(now, seconds that the cores were busy, seconds that they were so for this process)."""
        every = psutil.cpu_times(percpu=True)
        idle_s = sum(every[core].idle + getattr(every[core], "iowait", 0.0) for core in usable())
        own = psutil.Process().cpu_times()
        now = time.perf_counter()
        return now, now * len(usable()) - idle_s, own.user + own.system


def usable() -> list[int]:
    """The cores that this process may run on."""
    every = list(range(len(psutil.cpu_times(percpu=True))))
    if not hasattr(os, "sched_getaffinity"):
        return every
    return sorted(os.sched_getaffinity(0) & set(every))


def fewer_threads(others: float, threads: int, cores: int) -> str | None:
    wanted = max(1, round(cores - others))
    if others < MUCH or wanted >= threads:
        return None
    return (
        f"other processes take {others:.1f} of {cores} cores, and all {threads} threads wait for "
        f"the one that shares its core; beside them OMP_NUM_THREADS={wanted} is faster"
    )
