"""A signal that would end the training waits until the step is done and all is saved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

# Ctrl-C; what `kill`, SLURM's scancel and container engines send; a cluster's warnings before the
# time limit, SIGUSR1 in our sbatch scripts, SIGUSR2 with submitit.
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
        self._received = 0
        self._left_by = 0
        self._former: dict[int, Any] = {}

    @contextmanager
    def released(self) -> Iterator[None]:
        """However the context ends, the signals have their former owners again.

        But the one by which several processes have left: that may come later to this one than to
        the one that told it, when the run's end is being written.
        """
        try:
            yield
        finally:
            self._release()
            if self._left_by:
                signal.signal(self._left_by, signal.SIG_IGN)

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
        if last or (batch + 1) % trainer.accumulate_grad_batches or not self._agreed(trainer):
            return
        trainer.save_checkpoint(self.checkpoint)
        self.leave(trainer)

    def leave(self, trainer: pl.Trainer) -> None:
        """Where all is saved: the signal, if there was one, goes to its former owner."""
        number = self._agreed(trainer)
        if number:
            self._received = 0
            self._release()
            self._left_by = number if trainer.world_size > 1 else 0
            os.kill(os.getpid(), number)

    def _agreed(self, trainer: pl.Trainer) -> int:
        """The signal, or 0. Of several processes all hear of one that any of them got: none may
        leave alone. All ask at the same step. What is noted meanwhile is left for the next time.
        """
        if trainer.world_size == 1:
            return self._received
        own = torch.tensor(self._received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(own, reduce_op="max"))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            self._former[number](number, frame)
        self._received = number

    def _release(self) -> None:
        for number, former in self._former.items():
            if signal.getsignal(number) == self._note:  # else Lightning has given it back already
                signal.signal(number, former)
        self._former.clear()
