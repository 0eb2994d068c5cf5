"""One phase of training: fit, keep the best and the last, say what was reached."""

import logging
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging

from cnnexp.data.batches import Batches
from cnnexp.reporting.journal import Journal
from cnnexp.training.classifier import Classifier
from cnnexp.training.progress import EpochTable

# What Lightning says of loaders' workers and of a CPU or GPU unused: there are no workers here,
# and the run's own lines name the device.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Fitted:
    """best, last: checkpoints. history: a row per epoch, see `EpochTable`."""

    best: Path
    last: Path
    best_epoch: int
    history: list[dict[str, float]]
    steps_per_epoch: int
    train_s: float
    images_per_s: float


class RowAtEpochEnd(ModelCheckpoint):
    """Saves last.ckpt each epoch and then prints the epoch's row.

    A checkpoint callback, for only these run after the module has logged its epoch's metrics.
    """

    def __init__(self, table: EpochTable, folder: Path) -> None:
        super().__init__(
            dirpath=folder,
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.table = table

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self.table.add_row(trainer)


def fit(
    classifier: Classifier,
    train: Batches,
    validation: Batches,
    *,
    make_trainer: Callable[..., pl.Trainer],
    logger: object,
    folder: Path,
    monitor: str,
    early_stopping: int | None,
    ema: float | None,
    journal: Journal,
) -> Fitted:
    """Train `classifier`; the checkpoints go to `folder`.

    make_trainer: called with callbacks and logger. monitor: val/accuracy (highest) or val/loss
    (lowest) chooses best.ckpt. early_stopping: epochs to wait for a better one. ema: decay.
    """
    mode = "min" if monitor.endswith("loss") else "max"
    best = ModelCheckpoint(
        dirpath=folder, filename="best", monitor=monitor, mode=mode, enable_version_counter=False
    )
    table = EpochTable(monitor, journal)
    last = RowAtEpochEnd(table, folder)
    callbacks: list[pl.Callback] = [table, best, last]
    if early_stopping is not None:
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=early_stopping))
    if ema is not None:
        callbacks.append(WeightAveraging(avg_fn=moving_average(ema)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
        # Lightning 2.6 asks torch 2.15 in a way that later versions will not answer.
        warnings.filterwarnings("ignore", ".*LeafSpec.*")
        # Lightning calls the schedule once before the first step; torch warns of the order.
        warnings.filterwarnings("ignore", ".*lr_scheduler.step.*")
        trainer = make_trainer(callbacks=callbacks, logger=logger)
        try:
            trainer.fit(classifier, train, validation)
        except SystemExit as leaving:
            # Lightning answers Ctrl-C by ignoring further ones and leaving with code 1.
            if isinstance(leaving.__context__, KeyboardInterrupt):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise KeyboardInterrupt from None
            raise
    sign = 1 if mode == "max" else -1
    rows = table.history
    if early_stopping is not None and len(rows) < (trainer.max_epochs or 0):
        journal.topic("stopped", f"{monitor} has not improved for {early_stopping} epochs")
    chosen = max(rows, key=lambda row: sign * row[monitor])
    return Fitted(
        best=folder / "best.ckpt",
        last=folder / "last.ckpt",
        best_epoch=int(chosen["epoch"]),
        history=rows,
        steps_per_epoch=trainer.global_step // len(rows),
        train_s=rows[-1]["elapsed_s"],
        images_per_s=sum(row["images_per_s"] for row in rows) / len(rows),
    )


def moving_average(decay: float) -> Callable[..., torch.Tensor]:
    """An exponential moving average whose first steps forget faster: min(decay, (1 + n)/(10 + n)).

    With a constant decay a short run would end with its initial weights. The schedule is that of
    TensorFlow's ExponentialMovingAverage with num_updates. For torch's AveragedModel.
    """

    def average(averaged: torch.Tensor, current: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        n = float(count)
        share = min(decay, (1 + n) / (10 + n))
        return share * averaged + (1 - share) * current

    return average


def load_network(network: torch.nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into `network`; nothing in the file is executed (weights_only)."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    network.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
