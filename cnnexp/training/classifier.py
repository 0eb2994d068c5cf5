"""The LightningModule: a network that it is given, a loss, and what to log."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torchvision.transforms import v2

from cnnexp.data.batches import Batch, Batches
from cnnexp.logits import predicted
from cnnexp.training.interruption import Interruption
from cnnexp.training.loss import Diverged, Loss, OwnLoss
from cnnexp.training.optimization import clip, highest_rate, parameter_groups
from cnnexp.training.phases import Phase, freeze, set_mode
from cnnexp.training.randomness import set_generators
from cnnexp.training.validation import figures_of, sums_of

SHOWN = 8  # of a batch's images, in a line

Augmentation = Callable[[torch.Tensor], torch.Tensor]


class Classifier(pl.LightningModule):
    """Trains `network`, (B, 3, H, W) uint8 or [0, 1] -> logits, and validates on whole splits.

    Only the phase's blocks train; the others are frozen, weights and buffers. skip: so many leading
    blocks have been run before: the batches hold what comes out of them. processes: so many train
    it together, each with its part of every batch. compile_mode: of torch.compile, for the steps
    of training; all else runs the network as it is.

    All randomness of a step (augmentation, mixing, dropout) is drawn from the global generators of
    torch, Python and numpy, which are set from (seed, epoch of the run, batch) when it begins: a
    run that goes on from a checkpoint is the run that was never interrupted.
    """

    def __init__(
        self,
        network: nn.Sequential,
        *,
        classes: int,
        loss: Loss | OwnLoss,
        phase: Phase,
        augment: Augmentation,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        seed: int = 0,
        first_epoch: int = 0,
        skip: int = 0,
        processes: int = 1,
        compile_mode: str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.phase, self.augment = network, loss, phase, augment
        self.seed, self.first_epoch, self.skip = seed, first_epoch, skip
        self.processes, self.classes = processes, classes
        freeze(network, phase.trainable)
        self.compile_mode = compile_mode
        self.compiled: Callable[[torch.Tensor], torch.Tensor] | None = None
        kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
        mixes = [kind(alpha=float(a), num_classes=classes) for kind, a in kinds if a]
        self.mix = v2.RandomChoice(mixes) if mixes else None
        self.interruption: Interruption | None = None
        self._train: list[torch.Tensor] = []  # per step: (loss, share right, images), on the device
        self.rate = 0.0  # of the last step
        self._rates: list[float] = []  # of those that may yet be no numbers
        self._norm: torch.Tensor | None = None  # of the gradient, at a step that is logged
        self._validation: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.unreached: set[str] | None = None  # names of weights that have had no gradient yet

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images, or what the skipped blocks made of them -> logits."""
        for block in list(self.network)[self.skip :]:
            images = block(images)
        return images

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        set_mode(self.network, mode, self.phase.trainable)
        return self

    def on_fit_start(self) -> None:
        if self.compile_mode is not None:
            # What other networks of this process have left counts towards a limit.
            torch._dynamo.reset()
            # Batches have two sizes at most: each gets kernels of its own.
            chain = self.network[self.skip :].forward
            self.compiled = torch.compile(chain, mode=self.compile_mode, dynamic=False)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        images, labels, _ = batch
        here = (self.seed, self.first_epoch + self.current_epoch, batch_idx, self.global_rank)
        drawn = int(np.random.SeedSequence(here).generate_state(1)[0])
        set_generators(drawn, images.device.type)
        images = self.augment(images)
        targets = labels
        if self.mix is not None:
            shares = images / 255 if images.dtype == torch.uint8 else images
            images, targets = self.mix(shares, labels)
        logits = (self.compiled or self)(images)
        loss = self.loss(logits, targets)
        right = (predicted(logits.detach()) == labels).float().mean()
        if self.processes > 1:
            loss, right = self._parted(loss, right, targets)
        self._train.append(torch.stack([loss.detach(), right, torch.full_like(right, len(labels))]))
        return loss

    def _parted(
        self, loss: torch.Tensor, right: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of this process's part of a batch -> what gives the whole batch's when the processes'
        gradients are averaged, as DistributedDataParallel does: the parts may differ in size.
        """
        own = torch.stack([self.loss.divisor(targets), targets.new_tensor(len(targets)).float()])
        whole = self.trainer.strategy.reduce(own.clone(), reduce_op="sum")
        share = own * self.processes / whole
        return loss * share[0], right * share[1]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.rate = highest_rate(self.trainer.optimizers[0])
        self._rates.append(self.rate)
        # Where a schedule begins: a short phase would else show its end alone.
        if self.logger and batch_idx == self.global_step == 0 and self.every > 1:
            self.logger.log_metrics({"epoch": 0, "lr": self.rate}, step=1)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.unreached is None:
            self.unreached = {n for n, p in self.network.named_parameters() if p.requires_grad}
        if self.unreached:
            has = {n for n, p in self.network.named_parameters() if p.grad is not None}
            self.unreached -= has
        if (self.global_step + 1) % self.every == 0:
            gradients = [p.grad for p in self.parameters() if p.grad is not None]
            self._norm = torch.nn.utils.get_total_norm(gradients)  # before it is clipped

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val is not None:
            clip(optimizer, gradient_clip_val, by_value=gradient_clip_algorithm == "value")

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        norm, self._norm = self._norm, None
        logs = norm is not None
        if logs or batch_idx + 1 == self.trainer.num_training_batches:
            self._check_finite()
        if norm is not None:
            loss, right, _ = self._mean(self._train[-1]).tolist()
            values = {"train/loss_step": loss, "train/accuracy_step": right}
            # With float16 a step whose gradients overflow is left out, and the next scaled less.
            if self.trainer.precision != "16-mixed" or bool(torch.isfinite(norm)):
                values["train/gradient_norm"] = float(norm)
            values["lr"] = self.rate
            if self.logger:
                values = {"epoch": self.current_epoch, **values}
                self.logger.log_metrics(values, step=self.global_step)
        # After all that belongs to the step. Several processes must leave at the same one, and ask
        # each other only now and then.
        if self.interruption is not None and (logs or self.processes == 1):
            self.interruption.at_step_end(self.trainer, batch_idx)

    def _check_finite(self) -> None:
        """Of the steps since the last look: a GPU is waited for now and then, not at each of them.

        Raises Diverged where a loss is no number.
        """
        if not self._rates:
            return
        looked_at = len(self._train) - len(self._rates)
        losses = self._mean(torch.stack(self._train[looked_at:])[:, 0]).cpu()
        bad = (~torch.isfinite(losses)).nonzero().flatten()
        if len(bad):
            first = int(bad[0])
            number = looked_at + first  # the batch, from 0
            each = self.trainer.accumulate_grad_batches  # the last group may be smaller
            step = self.global_step - (len(self._train) - 1) // each + number // each
            images = self.batches.indices_of(number).tolist()
            more = ", …" if len(images) > SHOWN else ""
            raise Diverged(
                f"the training loss is {losses[first].item()} at step {step} (epoch "
                f"{self.first_epoch + self.current_epoch + 1}, batch {number + 1} of "
                f"{self.trainer.num_training_batches}: images {str(images[:SHOWN])[1:-1]}{more} of "
                f"the data set; rate {self._rates[first]:.3g})",
                first=step == 1,
            )
        self._rates.clear()

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        """Over the processes."""
        return self.trainer.strategy.reduce(values.clone(), reduce_op="mean")

    def on_train_start(self) -> None:
        if self.interruption is not None:
            self.interruption.take()
        # An epoch that is gone on with has no start of its own; checkpoints are read on the CPU.
        self._train = [step.to(self.device) for step in self._train]
        self.batches.set_epoch(self.current_epoch)
        self.batches.skip = len(self._train)

    def on_train_epoch_start(self) -> None:
        if self.interruption is not None:  # the last epoch is saved and logged
            self.interruption.leave(self.trainer)
        # Lightning would tell a DataLoader's sampler, and no other loader.
        self.batches.set_epoch(self.current_epoch)

    @property
    def every(self) -> int:
        return int(self.trainer.log_every_n_steps)  # type: ignore[attr-defined]

    @property
    def batches(self) -> Batches:
        """What it is trained on."""
        loader = self.trainer.train_dataloader
        assert isinstance(loader, Batches)
        return loader

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._train:  # within an epoch
            self._check_finite()  # what is saved is good
            checkpoint["train_steps"] = self._mean(torch.stack(self._train))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._train = list(checkpoint.get("train_steps", torch.empty(0)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels, _ = batch
        self._validation.append((self(images).float(), labels))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([logits for logits, _ in self._validation])
        labels = torch.cat([labels for _, labels in self._validation])
        self._validation.clear()
        # The plain loss: without class weights and smoothing, so that runs can be compared.
        sums = sums_of(Loss(self.loss.name), logits, labels, self.classes)
        if self.processes > 1:
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        reached = figures_of(sums)
        if not torch.isfinite(reached["val/loss"]):
            raise Diverged(
                f"the validation loss is {reached['val/loss'].item()} after epoch "
                f"{self.first_epoch + self.current_epoch + 1}"
            )
        self._log_epoch(reached)

    def on_train_epoch_end(self) -> None:
        if self._train:
            steps = self._mean(torch.stack(self._train))
            loss, right = (steps[:, 2] @ steps[:, :2] / steps[:, 2].sum()).tolist()
            self._train.clear()
            self._log_epoch({"train/loss": loss, "train/accuracy": right})
            if self.global_step % self.every and self.global_step > 1:  # else it is there already
                self._log_epoch({"lr": self.rate})

    def _log_epoch(self, values: dict[str, Any]) -> None:
        """At its last step, and at once: Lightning would do it a step early, and the training's
        when the checkpoint is written: a run that goes on would lack them."""
        self.log_dict(values, logger=False, sync_dist=True)  # for callbacks
        if self.logger:
            self.logger.log_metrics({"epoch": self.current_epoch, **values}, step=self.global_step)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if metric is None:  # else `SavesEpochs` does it, before it saves
            super().lr_scheduler_step(scheduler, metric)

    def configure_optimizers(self) -> Any:
        own = self.phase.optimization
        optimizer = own.make_optimizer(parameter_groups(self.network, own.lr, self.phase.rates))
        epochs, steps = self.phase.epochs, int(self.trainer.estimated_stepping_batches)
        scheduler = own.make_scheduler(optimizer, epochs if own.by_epoch else steps, epochs)
        interval = "epoch" if own.by_epoch else "step"
        schedule = {"scheduler": scheduler, "interval": interval, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}
