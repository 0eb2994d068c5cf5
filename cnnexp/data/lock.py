"""One process does the work, the others wait for it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

log = logging.getLogger("cnnexp")


@contextmanager
def held(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock file `path`; a process that dies lets go of it. Waiting is said after a second.

    OSError where the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        log.info("another process is %s; waiting for it (%s)", doing, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
