"""A progress bar for what may take long: with an estimate on a terminal, two lines in a log."""

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

log = logging.getLogger("cnnexp")


class Bar:
    """Silent for the first second, so that quick work leaves no trace.

    unit: "bytes" for downloads, else what is counted ("images"). total: None where it is unknown.
    """

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self._title, self._unit, self.total, self.done = title, unit, total, 0
        self._begin_s, self._shown = time.monotonic(), False
        amount: ProgressColumn = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        text = TextColumn("{task.description}")
        console = Console(file=sys.stderr)
        columns = (text, BarColumn(), amount, TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> "Bar":
        return self

    def at(self, done: int, total: int | None = None) -> None:
        """Say that `done` units are there (and what the total is, once it is known)."""
        self.done, self.total = done, total if total is not None else self.total
        self._progress.update(self._task, completed=done, total=self.total)
        if not self._shown and time.monotonic() - self._begin_s > 1:
            self._shown = True
            if self._progress.console.is_terminal:
                self._progress.start()
            else:
                log.info("%s: %s", self._title, self._amount(self.total))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress.live.is_started:
            self._progress.stop()
        if self._shown and error is None:
            elapsed_s = time.monotonic() - self._begin_s
            log.info("%s: %s in %.0f s", self._title, self._amount(self.done), elapsed_s)

    def _amount(self, count: int | None) -> str:
        if count is None:
            return "size unknown"
        return f"{count / 1e6:.0f} MB" if self._unit == "bytes" else f"{count:,} {self._unit}"
