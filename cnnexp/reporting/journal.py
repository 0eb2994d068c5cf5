"""What a run tells a person: on the terminal, and in the run's log.txt."""

import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from rich.console import Console

from cnnexp.errors import InputError


class Journal:
    """Prints lines; from `open` on it also appends them, and those before, to <folder>/log.txt.

    As a context manager it does the same with what cnnexp's own modules log.
    """

    def __init__(self) -> None:
        self.console = _Console(soft_wrap=True, highlight=False, emoji=False, markup=False)
        self._early: list[str] = []
        self._file: TextIO | None = None
        self._handler = _Lines(self)

    def say(self, text: str = "", style: str | None = None) -> None:
        try:
            self.console.print(text, style=style, markup=False)
        except OSError as problem:  # a full disk, say
            raise InputError(f"standard output: {problem.strerror}; send it elsewhere") from None
        if self.console.quiet:  # nobody reads it; what follows are the last words
            print(text, file=sys.stderr)
        if self._file is None:
            self._early.append(text)
        else:
            self._file.write(text + "\n")
            self._file.flush()

    def topic(self, name: str, text: str) -> None:
        """`data      digits: 1,797 images`: the first word in a column of its own."""
        self.say(f"{name:<9} {text}")

    def topics(self, name: str, lines: Iterable[str]) -> None:
        """Several of one topic, which is named once."""
        for number, line in enumerate(lines):
            self.topic("" if number else name, line)

    def open(self, folder: Path) -> None:
        self._file = (folder / "log.txt").open("a", encoding="utf-8")
        self._file.writelines(line + "\n" for line in self._early)
        self._early.clear()

    def __enter__(self) -> "Journal":
        logger = logging.getLogger("cnnexp")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self._handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logger = logging.getLogger("cnnexp")
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)
        if self._file is not None:
            if problem is not None:
                self._file.write(
                    f"ended by {type(problem).__name__}: {problem}".rstrip(": ") + "\n"
                )
            self._file.close()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader has gone, as `head` does: end as any Unix program does then."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141)  # 128 + SIGPIPE


class _Lines(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self.journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self.journal.topic("note", record.getMessage())
