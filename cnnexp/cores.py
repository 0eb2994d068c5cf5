"""The processor's cores."""

import os


def usable_cores() -> int:
    """Those that this process may run on: a SLURM job or a container may use fewer than there are.

    By its affinity; all of the machine where the system has none (macOS, Windows).
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
