"""Optimizer and schedule: libraries' classes with what only the run knows filled in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class Optimization:
    """make_optimizer: parameter groups -> optimizer. make_scheduler: it, steps -> schedule."""

    make_optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer]
    make_scheduler: Callable[[Optimizer, int], LRScheduler | ReduceLROnPlateau]


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Two groups: weights, decayed as the optimizer says, and biases and norms, never decayed.

    He et al. 2019, "Bag of tricks", section 3.1.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    weights = [p for p in trainable if p.ndim > 1]
    rest = [p for p in trainable if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}]
    return groups + ([{"params": rest, "weight_decay": 0.0}] if rest else [])
