"""A signal that would end the training waits until the step is done and all is saved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl

# Ctrl-C; what `kill`, SLURM's scancel and container engines send; a cluster's warning before the
# time limit, where somebody answers it: submitit's and Lightning's handlers ask for a requeue.
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]


class Interruption:
    """While a phase trains, the owner of the signals that end it.

    The first one is noted. At the end of the step the phase is saved where it is, to `checkpoint`,
    and the signal is given to whoever would have had it. A second one does not wait.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._received: int | None = None
        self._former: dict[int, Any] = {}

    @contextmanager
    def released(self) -> Iterator[None]:
        """However the context ends, the signals have their former owners again."""
        try:
            yield
        finally:
            self._release()

    def take(self) -> None:
        """To be called when Lightning has taken its signals; not in a thread, which has none."""
        for number in SIGNALS:
            former = signal.getsignal(number)
            if callable(former):
                try:
                    signal.signal(number, self._note)
                except ValueError:
                    return
                self._former[number] = former

    def at_step_end(self, trainer: pl.Trainer, batch: int) -> None:
        """batch: from 0. Between two steps of the optimizer, and not before validation: from there
        Lightning would go on with the next epoch.
        """
        last = batch + 1 == trainer.num_training_batches
        if self._received is None or last or (batch + 1) % trainer.accumulate_grad_batches:
            return
        trainer.save_checkpoint(self.checkpoint)
        self.leave()

    def leave(self) -> None:
        """Where all is saved: the signal, if there was one, goes to its former owner."""
        number, self._received = self._received, None
        if number is not None:
            self._release()
            os.kill(os.getpid(), number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            self._former[number](number, frame)
        self._received = number

    def _release(self) -> None:
        for number, former in self._former.items():
            if signal.getsignal(number) == self._note:  # else Lightning has given it back already
                signal.signal(number, former)
        self._former.clear()
