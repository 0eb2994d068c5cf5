"""A phase's optimizer and schedule, tried before the run: what torch refuses, and what a person's
own leave undone.
"""

import inspect
import math
import warnings
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnnexp.config.instantiate import is_own
from cnnexp.errors import InputError, one_line
from cnnexp.own_code import own_line
from cnnexp.training.optimization import Optimization, parameter_groups
from cnnexp.training.phases import Phase

STEPS = 1000  # of a schedule, at most
OF_TORCH = ("state", "param_groups", "defaults")  # of an optimizer: a checkpoint has them


def check_optimization(phase: Phase, network: nn.Sequential) -> None:
    """Make both, as will be done later: what a library refuses is known before the run begins."""
    own, group = phase.optimization, "optimizer"
    try:
        optimizer = own.make_optimizer(parameter_groups(network, own.lr, phase.rates))
        check_optimizer(optimizer)
        if is_own(type(optimizer).__module__):
            try_step(own)
        group = "scheduler"
        length = phase.epochs if own.by_epoch else min(100 * phase.epochs, STEPS)
        scheduler = own.make_scheduler(optimizer, length, phase.epochs)
        check_scheduler(scheduler)
        if is_own(type(scheduler).__module__):
            try_rates(scheduler, optimizer, length, "epochs" if own.by_epoch else "steps")
    except (ValueError, TypeError) as error:
        reason = f"{own_line(error).removeprefix(', ') or 'torch refuses it'}: {one_line(error)}"
        raise InputError(f"phase {phase.name}, {group}: {reason}") from None
    except InputError:
        raise
    except Exception as error:  # a person's own code may raise anything
        error.add_note(f"raised by the {group} of phase {phase.name}")
        raise


def check_optimizer(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise InputError(
            f"optimizer._target_ gives a {type(optimizer).__name__}; it must give a "
            "torch.optim.Optimizer"
        )
    kind = type(optimizer).__name__
    if not hasattr(optimizer, "param_groups"):
        raise InputError(
            f"optimizer: {kind} has no param_groups; its __init__ begins with "
            "super().__init__(params, defaults)"
        )
    takes = inspect.signature(optimizer.step).parameters.values()
    if not any(p.name == "closure" or p.kind is p.VAR_KEYWORD for p in takes):
        raise InputError(
            f"optimizer: the step of {kind} takes no closure; write def step(self, closure=None), "
            "and call closure() where there is one"
        )


def try_step(own: Optimization) -> None:
    """Of one small weight. Raises InputError where the closure is not called, and where a run that
    goes on from a checkpoint would be another.
    """
    weight, called = nn.Parameter(torch.ones(2, 2)), []
    optimizer = own.make_optimizer([{"params": [weight], "lr": own.lr}])

    def closure() -> torch.Tensor:
        called.append(True)
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    before = kept(optimizer)
    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[arg-type]
    kind = type(optimizer).__name__
    if not called:
        raise InputError(
            f"optimizer: the step of {kind} does not call the closure that it is given; begin it "
            "with: loss = closure(), under torch.enable_grad()"
        )
    after = kept(optimizer)
    if changed := [name for name in after if before.get(name) != after[name]]:
        raise InputError(
            f"optimizer: {kind} keeps what it has learned in self.{changed[0]}, which no "
            "checkpoint has: a run that goes on would be another; put it into self.state[p]"
        )


def kept(optimizer: Optimizer) -> dict[str, str]:
    """Attribute -> its numbers and tensors, written out; those that a checkpoint has left out."""
    return {
        name: repr(value)
        for name, value in vars(optimizer).items()
        if name not in OF_TORCH and not name.startswith("_")
        if isinstance(value, int | float | torch.Tensor | dict | list | tuple)
    }


def check_scheduler(scheduler: Any) -> None:
    if not isinstance(scheduler, LRScheduler | ReduceLROnPlateau):
        raise InputError(
            f"scheduler._target_ gives a {type(scheduler).__name__}; it must give a "
            "torch.optim.lr_scheduler.LRScheduler"
        )
    if not hasattr(scheduler, "optimizer"):
        raise InputError(
            f"scheduler: {type(scheduler).__name__} has no optimizer; its __init__ ends with "
            "super().__init__(optimizer)"
        )


def try_rates(scheduler: Any, optimizer: Optimizer, length: int, what: str) -> None:
    """Raises InputError where the rate of a whole phase is not a number of at least 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer makes no step here
        for step in range(length):
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            if wrong := [rate for rate in rates if not (math.isfinite(rate) and rate >= 0)]:
                raise InputError(
                    f"scheduler: {type(scheduler).__name__} gives the rate {wrong[0]:g} after "
                    f"{step} of {length} {what}; a rate is a number of at least 0"
                )
            scheduler.step(1.0) if isinstance(scheduler, ReduceLROnPlateau) else scheduler.step()
