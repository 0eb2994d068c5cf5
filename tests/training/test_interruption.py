"""Signals while a phase trains: noted, answered between two steps, given back."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cnnexp.training.interruption import Interruption

heard: list[int] = []


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Somebody who waits for SIGUSR1; nobody waits for SIGUSR2."""
    heard.clear()
    before = {n: signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2)}
    signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Training:
    """What an interruption asks of Lightning's trainer."""

    num_training_batches, accumulate_grad_batches, world_size = 6, 2, 1

    def __init__(self) -> None:
        self.saved: list[Path] = []

    def save_checkpoint(self, path: Path) -> None:
        assert not heard, "saved first"
        self.saved.append(path)


def test_it_waits_for_a_step_of_the_optimizer_that_is_not_the_epochs_last() -> None:
    trainer: Any = Training()
    interruption = Interruption(Path("last.ckpt"))
    with interruption.released():
        interruption.take()
        interruption.at_step_end(trainer, 1)
        os.kill(os.getpid(), signal.SIGUSR1)
        for batch in (4, 5, 0):  # gradients accumulate; validation follows; they accumulate again
            interruption.at_step_end(trainer, batch)
        assert (heard, trainer.saved) == ([], [])
        interruption.at_step_end(trainer, 1)
    assert (heard, trainer.saved) == ([signal.SIGUSR1], [Path("last.ckpt")])


def test_where_all_is_saved_it_leaves_at_once_and_once() -> None:
    trainer: Any = Training()
    interruption = Interruption(Path("x"))
    with interruption.released():
        interruption.take()
        interruption.leave(trainer)
        assert heard == []
        os.kill(os.getpid(), signal.SIGUSR1)
        interruption.leave(trainer)
        interruption.leave(trainer)
    assert heard == [signal.SIGUSR1]


def test_a_signal_while_the_processes_agree_that_there_was_none_is_not_lost() -> None:
    """Nearly all of a process's time may go into waiting for the others."""

    class Strategy:
        root_device, asked = "cpu", 0

        def reduce(self, own: torch.Tensor, reduce_op: str) -> torch.Tensor:
            self.asked += 1
            if self.asked == 1:
                os.kill(os.getpid(), signal.SIGUSR1)
            return own

    trainer: Any = Training()
    trainer.world_size, trainer.strategy = 2, Strategy()
    interruption = Interruption(Path("last.ckpt"))
    with interruption.released():
        interruption.take()
        interruption.at_step_end(trainer, 1)
        assert (heard, trainer.saved) == ([], [])
        interruption.at_step_end(trainer, 3)
    assert (heard, trainer.saved) == ([signal.SIGUSR1], [Path("last.ckpt")])


@pytest.mark.parametrize("processes", [1, 2])
def test_the_signal_that_a_fellow_told_of_may_come_later(processes: int) -> None:
    """Of two processes one hears of the other's signal at once, and has its own while it ends."""

    class Strategy:
        root_device = "cpu"

        def reduce(self, own: torch.Tensor, reduce_op: str) -> torch.Tensor:
            return torch.tensor(signal.SIGUSR1)

    trainer: Any = Training()
    trainer.world_size, trainer.strategy = processes, Strategy()
    interruption = Interruption(Path("x"))
    with interruption.released():
        interruption.take()
        if processes == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        interruption.leave(trainer)
    assert heard == [signal.SIGUSR1]
    os.kill(os.getpid(), signal.SIGUSR1)
    assert len(heard) == (2 if processes == 1 else 1)


def test_a_second_signal_does_not_wait() -> None:
    interruption = Interruption(Path("x"))
    with interruption.released():
        interruption.take()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]


def test_signals_that_nobody_waits_for_are_not_taken_and_all_are_given_back() -> None:
    before = SimpleNamespace(**{n.name: signal.getsignal(n) for n in signal.valid_signals()
                                if isinstance(n, signal.Signals)})  # fmt: skip
    interruption = Interruption(Path("x"))
    with interruption.released():
        interruption.take()
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGUSR1) != before.SIGUSR1
    for name, handler in vars(before).items():
        assert signal.getsignal(signal.Signals[name]) == handler
