"""Jobs beside each other on one machine: each process a GPU of its own, while there are some."""

import os
from pathlib import Path

import filelock

VISIBLE = "CUDA_VISIBLE_DEVICES"
_held: list[filelock.BaseFileLock] = []  # for as long as the process lives


def take_gpu(folder: Path) -> str | None:
    """Let this process see one GPU that no other process of the sweep in `folder` has taken.

    Only before torch has looked for GPUs. The GPU's name in CUDA_VISIBLE_DEVICES; None where there
    are fewer than two, or all are taken: then they are shared.
    """
    if _held:
        return os.environ[VISIBLE]
    names = visible_gpus()
    for name in names if len(names) > 1 else []:
        lock = filelock.FileLock(folder / f"gpu_{name.replace('/', '_')}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        _held.append(lock)
        os.environ[VISIBLE] = name
        return name
    return None


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them, or else all of the machine's."""
    listed = os.environ.get(VISIBLE)
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver
        return []
    return [str(number) for number in range(count)]
