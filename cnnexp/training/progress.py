"""What a person wants to know while a network trains: one line per epoch, a bar within it."""

import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cnnexp.monitor import goodness
from cnnexp.reporting.journal import Journal
from cnnexp.training.load import OtherLoad

HEADER = "  epoch   train loss   accuracy     val loss   {:>8}   images/s       left"


class EpochTable(pl.Callback):
    """Prints a row after each epoch and keeps it in `history`; on a terminal a bar shows the epoch.

    history: per epoch: epoch (of the run, from 1), train/loss, train/accuracy, val/loss,
    val/accuracy, val/f1, lr (the highest of the blocks), images_per_s (training alone), elapsed_s
    (training and validation, of the phase). It is in Lightning's checkpoints: a phase that goes on
    has all its rows.
    """

    def __init__(self, monitor: str, journal: Journal, first_epoch: int = 0) -> None:
        self.monitor, self.journal, self.first_epoch = monitor, journal, first_epoch
        self.shown = monitor if monitor == "val/f1" else "val/accuracy"
        self.history: list[dict[str, float]] = []
        self.bar: Progress | None = None
        self._began_s = self._before_s = self._train_s = 0.0
        self._images = 0
        self._load: OtherLoad | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began_s = time.perf_counter() - self._before_s
        if self.history:
            done = f"{self.history[-1]['epoch']:.0f} of {self._last_epoch(trainer)}"
            self.journal.topic("goes on", f"after epoch {done}")
        self.journal.say(HEADER.format(self.shown.removeprefix("val/")), style="dim")
        # A GPU's steps do not wait for cores, and of several processes each is busy by design.
        alone = trainer.world_size == 1 and trainer.strategy.root_device.type == "cpu"
        self._load = OtherLoad() if alone else None
        self._begin_epoch(trainer)  # one that is gone on with has no start of its own

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "elapsed_s": time.perf_counter() - self._began_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        self._before_s = state_dict["elapsed_s"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin_epoch(trainer)

    def _begin_epoch(self, trainer: pl.Trainer) -> None:
        self._stop_bar()
        self._epoch_s, self._images = time.perf_counter(), 0
        if self.journal.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            note = TextColumn("{task.fields[note]}")
            self.bar = Progress(*columns, note, console=self.journal.console, transient=True)
            name = f"epoch {self._epoch(trainer)}/{self._last_epoch(trainer)}"
            self.task = self.bar.add_task(name, total=trainer.num_training_batches, note="")
            self.bar.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._images += len(batch[1]) * trainer.world_size
        if self.bar is not None:
            elapsed_s = time.perf_counter() - self._epoch_s
            self.bar.update(self.task, advance=1, note=f"{self._images / elapsed_s:,.0f} images/s")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._train_s = time.perf_counter() - self._epoch_s
        if self.bar is not None:
            self.bar.update(self.task, note="validating")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Callbacks' epoch ends come before the module's own: its train metrics are not there yet.
        self._stop_bar()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop_bar()

    def _epoch(self, trainer: pl.Trainer) -> int:
        """Of the run, from 1."""
        return self.first_epoch + trainer.current_epoch + 1

    def _last_epoch(self, trainer: pl.Trainer) -> int:
        return self.first_epoch + (trainer.max_epochs or 0)

    def _stop_bar(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def add_row(self, trainer: pl.Trainer, rate: float) -> bool:
        """Called by `SavesEpochs` when all of the epoch's metrics are known. Whether it is the
        best epoch so far. rate: of its last step.
        """
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        elapsed_s = time.perf_counter() - self._began_s
        done = self._epoch(trainer)
        row = {
            "epoch": done,
            **values,
            "lr": rate,
            "images_per_s": self._images / self._train_s,
            "elapsed_s": elapsed_s,
        }
        reached = goodness(row, self.monitor)
        best = all(reached > goodness(past, self.monitor) for past in self.history)
        self.history.append(row)
        last = self._last_epoch(trainer)
        # The first epoch has what is done once: memory, CUDA's kernels, compiling.
        first = self.history[0]["elapsed_s"] if len(self.history) > 1 else 0.0
        each_s = (elapsed_s - first) / max(1, len(self.history) - 1)
        left = timedelta(seconds=round(each_s * (last - done)))
        self.journal.say(
            f"{done:>3}/{last:<3} "
            f"{row['train/loss']:>12.4f} {row['train/accuracy']:>10.4f} "
            f"{row['val/loss']:>12.4f} {row[self.shown]:>10.4f} {row['images_per_s']:>10,.0f} "
            f"{left!s:>10} {'best' if best else ''}".rstrip()
        )
        advice = self._load and self._load.advice(torch.get_num_threads())
        if advice:
            self.journal.topic("note", advice)
            self._load = None  # once
        return best
