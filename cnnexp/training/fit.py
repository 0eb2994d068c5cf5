"""One phase of training: fit, keep the best and the last, say what was reached."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping
from torch._dynamo.exc import TorchDynamoException
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cnnexp.data.batches import Batches
from cnnexp.errors import DIVERGED, InputError, Pruned, first_line
from cnnexp.files import shown_path, under_two_names
from cnnexp.monitor import goodness, sign_of
from cnnexp.reporting.journal import Journal
from cnnexp.training.checkpoints import LOGGED
from cnnexp.training.classifier import Classifier
from cnnexp.training.interruption import Interruption
from cnnexp.training.loss import Diverged
from cnnexp.training.moving_average import MovingAverage
from cnnexp.training.progress import EpochTable

# What Lightning says of loaders' workers and of a CPU or GPU unused: there are no workers here,
# and the run's own lines name the device.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Fitted:
    """A phase that has been trained. best_epoch: of the run, from 1.

    history: a row per epoch, see `EpochTable`. steps: of the optimizer. train_s: of the epochs,
    with validation.
    """

    best_epoch: int
    history: list[dict[str, float]]
    steps: int
    train_s: float


# (epoch, the monitored value) -> whether a search gives the run up.
Stop = Callable[[int, float], bool]


class SavesEpochs(Checkpoint):
    """Prints the epoch's row and saves the epoch, with all rows, as last.ckpt; the best so far as
    best.ckpt, of which last.ckpt is another name then.

    A checkpoint callback, for only these run after the module has logged its epoch's metrics.
    """

    def __init__(self, table: EpochTable, folder: Path, stop: Stop | None, after: int) -> None:
        self.table, self.folder = table, folder
        self.stop, self.after = stop, after

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        best = self.table.add_row(trainer, pl_module.rate)
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(float(trainer.callback_metrics["val/loss"]))
        if pl_module.unreached:
            self.table.journal.topic("note", without_gradient(pl_module.unreached))
            pl_module.unreached = set()  # said once
        # The best first: a run that is killed after it repeats the epoch, and saves it again.
        saved = self.folder / ("best.ckpt" if best else "last.ckpt")
        trainer.save_checkpoint(saved)
        if best and trainer.is_global_zero:
            under_two_names(saved, self.folder / "last.ckpt")
        rows = self.table.history
        if self.stop is not None and len(rows) >= self.after:
            sign = sign_of(self.table.monitor)
            values = [row[self.table.monitor] for row in rows]
            if self.stop(int(rows[-1]["epoch"]), values[-1]):
                raise Pruned(max(values, key=lambda value: sign * value))


def without_gradient(names: Collection[str]) -> str:
    verb, they = ("has", "it stays") if len(names) == 1 else ("have", "they stay")
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (
        f"{', '.join(sorted(names)[:6])}{more} {verb} no gradient: {they} as before "
        "(a layer that `forward` does not use, or what detach or no_grad cuts off)"
    )


class KeepsLogsPlace(pl.Callback):
    """A checkpoint knows what had been logged: a run that goes on from it logs the rest again."""

    def __init__(self, position: Callable[[], int]) -> None:
        self.position = position

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[LOGGED] = self.position()


class StopsEarly(EarlyStopping):
    """Also where a phase that was to stop is gone on with: Lightning does not save that."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without the warnings that are not about what a person has done."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
        # On a cluster's login node, say: there is one process, or they are started already.
        warnings.filterwarnings("ignore", ".*`srun` command is available.*")
        # Lightning 2.6 asks torch 2.15 in a way that later versions will not answer.
        warnings.filterwarnings("ignore", ".*LeafSpec.*")
        # Within an epoch the module tells the loader where to go on.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
        # Lightning calls the schedule once before the first step; torch warns of the order.
        warnings.filterwarnings("ignore", ".*lr_scheduler.step.*")
        # Frozen blocks are.
        warnings.filterwarnings("ignore", r".*module\(s\) in eval mode.*")
        yield


def fit(
    classifier: Classifier,
    train: Batches,
    validation: Batches,
    *,
    make_trainer: Callable[..., pl.Trainer],
    logger: Any,
    folder: Path,
    monitor: str,
    ema: float | None,
    journal: Journal,
    stop: Stop | None = None,
) -> Fitted:
    """Train the classifier's phase; best.ckpt and last.ckpt go to `folder`.

    Where `folder` has a last.ckpt, training goes on from there: the phase was interrupted, between
    two epochs or, by a signal, within one.
    make_trainer: called with callbacks and logger. monitor: val/accuracy, val/f1 (the highest) or
    val/loss (the lowest) chooses best.ckpt. ema: decay. stop: asked from a third of the epochs on;
    Pruned is raised where it says so.
    """
    phase = classifier.phase
    mode = "max" if sign_of(monitor) > 0 else "min"
    table = EpochTable(monitor, journal, classifier.first_epoch)
    there = folder / "last.ckpt"
    interruption = classifier.interruption = Interruption(there)
    saved = SavesEpochs(table, folder, stop, math.ceil(phase.epochs / 3))
    callbacks: list[pl.Callback] = [table, saved]
    if logger:
        callbacks.append(KeepsLogsPlace(logger.position))
    if phase.early_stopping is not None:
        callbacks.append(StopsEarly(monitor, mode=mode, patience=phase.early_stopping))
    if ema is not None:
        callbacks.append(MovingAverage(ema))
    if classifier.compile_mode is not None:
        journal.topic("note", "the network is compiled first, which can take a minute")
    with quiet_lightning(), interruption.released():
        classifier.train()
        trainer = make_trainer(callbacks=callbacks, logger=logger or False)
        try:
            # weights_only: nothing in the file is executed.
            trainer.fit(
                classifier,
                train,
                validation,
                ckpt_path=there if there.is_file() else None,
                weights_only=True,
            )
            interruption.leave(trainer)
        except Diverged as problem:
            if problem.first:
                raise InputError(f"{problem}: no step was before it: a block gives that") from None
            kept = f"; {shown_path(there)} is from before it" if there.is_file() else ""
            raise InputError(
                f"{problem}: {DIVERGED}; lower optimizer.lr or set "
                f"trainer.gradient_clip_val=1{kept}"
            ) from None
        except TorchDynamoException as problem:
            raise InputError(
                "training.compile: torch cannot compile this network here "
                f"({first_line(problem)[:200]}); use training.compile=null"
            ) from None
        except SystemExit as leaving:
            # Lightning answers Ctrl-C by ignoring further ones and leaving with code 1.
            if isinstance(leaving.__context__, KeyboardInterrupt):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise KeyboardInterrupt from None
            raise
    rows = table.history
    if len(rows) < phase.epochs:
        epochs = "an epoch" if phase.early_stopping == 1 else f"{phase.early_stopping} epochs"
        waited = any(isinstance(c, StopsEarly) and c.wait_count >= c.patience for c in callbacks)
        why = f"{monitor} has not improved for {epochs}" if waited else "trainer.max_time is over"
        journal.topic("stopped", why)
    chosen = max(rows, key=lambda row: goodness(row, monitor))
    return Fitted(
        best_epoch=int(chosen["epoch"]),
        history=rows,
        steps=trainer.global_step,
        train_s=rows[-1]["elapsed_s"],
    )
