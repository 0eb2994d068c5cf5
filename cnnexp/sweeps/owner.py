"""Whose a job is when SLURM has started it twice: the newer process's.

Where a node no longer answers, SLURM starts its jobs elsewhere, while on that node they may still
run, write and hold the ledger's lock. <sweep>/jobs/<digest>.owner names who took the job last; a
process that finds another name there ends at once. Not on SLURM there is no such file: the lock
decides.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cnnexp.files import whole_file

LOOK_SECONDS = 3.0  # between two looks at the file
PATIENCE_SECONDS = 20.0  # for an older process to see it and to let go of the lock


class Start(NamedTuple):
    """A SLURM job's n-th start. job: its id, an array's tasks have one each. restart: from 0."""

    job: str
    restart: int


def this_start() -> Start | None:
    """None where this process is not in a job of SLURM's."""
    job = os.environ.get("SLURM_JOB_ID")
    return Start(job, int(os.environ.get("SLURM_RESTART_COUNT", 0))) if job else None


class Owner:
    """A job's owner, as `path` names it."""

    def __init__(self, path: Path) -> None:
        self.path, self.mine = path, this_start()

    def named(self) -> Start | None:
        try:
            return Start(*json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def restarted(self) -> bool:
        """Whether the owner is an earlier start of this very SLURM job."""
        named, mine = self.named(), self.mine
        return bool(named and mine and named.job == mine.job and named.restart < mine.restart)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """In the context the job is this process's, until another takes it: then this one ends."""
        if self.mine is None:
            yield
            return
        with whole_file(self.path) as file:
            json.dump(self.mine, file)
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="owner", daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            named = self.named()
            if named is not None and named != self.mine:
                # No handler, no buffer: nothing more is written, here or to MLflow.
                with contextlib.suppress(OSError):
                    os.write(2, f"{named} has taken over; this process ends\n".encode())
                os._exit(1)
