"""Weights averaged over the steps of a training."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage(WeightAveraging):
    """Lightning validates and keeps an exponential moving average of weights and buffers, see
    `average`. Torch's own way looks at its count, which lies on the GPU, several times a step, and
    each time the program would wait there for all that the GPU has yet to do.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        # The average's values beside the network's: those to be averaged, and counters.
        self._floating: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._counters: list[tuple[torch.Tensor, torch.Tensor]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # To look for them takes as long as to average them. Before, they are not on the GPU yet.
        assert self._average_model is not None
        both = (self._average_model.module, pl_module)
        own, theirs = (itertools.chain(of.parameters(), of.buffers()) for of in both)
        pairs = [(a.detach(), b.detach()) for a, b in zip(own, theirs, strict=True)]
        self._floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        averaged = self._average_model
        assert averaged is not None
        if trainer.global_step == self._latest_update_step:  # gradients are being accumulated
            return
        self._latest_update_step = trainer.global_step
        average(self._floating, int(averaged.n_averaged), self.decay)
        for counter, new in self._counters:
            counter.copy_(new)
        averaged.n_averaged += 1


@torch.no_grad()
def average(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], count: int, decay: float) -> None:
    """The first of each pair is moved to the second, in place. count: of the steps that were
    averaged before, 0 at the first, which is taken as it is. Its first steps forget faster:
    min(decay, (1 + n)/(10 + n)); with a constant decay a short run would end with its initial
    weights. The schedule is that of TensorFlow's ExponentialMovingAverage with num_updates.
    """
    share = min(decay, (1 + count) / (10 + count)) if count else 0.0
    own, new = zip(*pairs, strict=True)
    # An average of equal values is that value to the bit: frozen weights do not move.
    get_ema_multi_avg_fn(share)(list(own), list(new), None)
