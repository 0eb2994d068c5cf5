"""Optimizer and schedule: libraries' classes with what only the run knows filled in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnnexp.errors import InputError


@dataclass(frozen=True)
class Optimization:
    """lr: the optimizer's rate. make_optimizer: parameter groups -> optimizer. make_scheduler: it,
    the phase's length in what the schedule counts, and in epochs -> schedule. by_epoch: it counts
    epochs, and not steps.
    """

    lr: float
    make_optimizer: Callable[[list[dict[str, Any]]], Optimizer]
    make_scheduler: Callable[[Optimizer, int, int], LRScheduler | ReduceLROnPlateau]
    by_epoch: bool


def parameter_groups(
    network: nn.Sequential, lr: float, rates: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Per rate two groups: weights, decayed as the optimizer says, and biases and norms, never
    decayed (He et al. 2019, "Bag of tricks", section 3.1).

    rates: block -> its share of `lr`; blocks that it leaves out do not train. None: all at `lr`.
    """
    if rates is None:
        rates = {name: 1.0 for name, _ in network.named_children()}
    groups: list[dict[str, Any]] = []
    for share in dict.fromkeys(rates.values()):
        blocks = [block for name, block in network.named_children() if rates.get(name) == share]
        parameters = [p for block in blocks for p in block.parameters()]
        weights = [p for p in parameters if p.ndim > 1]
        rest = [p for p in parameters if p.ndim <= 1]
        if weights:
            groups.append({"params": weights, "lr": lr * share})
        if rest:
            groups.append({"params": rest, "lr": lr * share, "weight_decay": 0.0})
    return groups


def highest_rate(optimizer: Optimizer) -> float:
    """Of its groups: blocks may have a share of it. Raises InputError for what is no rate, of a
    person's own schedule.
    """
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not all(0 <= rate < math.inf for rate in rates):
        raise InputError(
            f"scheduler: it gives the rate {min(rates):g}; a rate is a number of at least 0"
        )
    return max(rates)


def clip(optimizer: Optimizer, most: float, *, by_value: bool) -> None:
    """The norm of all gradients, or each value, to `most`. As Lightning does, which in mixed
    precision refuses fused optimizers, for the sake of float16: there none is fused here.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    (nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_)(weights, most)
