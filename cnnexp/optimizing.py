"""A phase's optimizer and schedule, tried before the run: what torch refuses, and what a person's
own leave undone.
"""

import copy
import inspect
import warnings
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnnexp.config.own_folder import is_own
from cnnexp.errors import InputError, one_line
from cnnexp.own_code import own_line
from cnnexp.training.optimization import Optimization, highest_rate, parameter_groups
from cnnexp.training.phases import Phase


def check_optimization(phase: Phase, network: nn.Sequential) -> None:
    """Make both, as will be done later: what a library refuses is known before the run begins."""
    own, group = phase.optimization, "optimizer"
    try:
        optimizer = own.make_optimizer(parameter_groups(network, own.lr, phase.rates))
        check_optimizer(optimizer)
        if is_own(type(optimizer).__module__):
            try_step(own, network)
        group = "scheduler"
        length = phase.epochs * (1 if own.by_epoch else 100)
        scheduler = own.make_scheduler(optimizer, length, phase.epochs)
        check_scheduler(scheduler)
        if own.by_epoch and is_own(type(scheduler).__module__):
            try_rates(scheduler, length)
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


def try_step(own: Optimization, network: nn.Module) -> None:
    """Of small weights. Raises InputError where the closure is not called, and where what goes on
    from a checkpoint after one step makes another second one.
    """
    sizes = sorted({parameter.ndim for parameter in network.parameters()})
    weights = [nn.Parameter(torch.ones((2,) * size)) for size in sizes]
    optimizer = made(own, weights)
    if not stepped(optimizer, weights):
        raise InputError(
            f"optimizer: the step of {type(optimizer).__name__} does not call the closure that it "
            "is given; begin it with: loss = closure(), under torch.enable_grad()"
        )
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    again = made(own, copies)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stepped(optimizer, weights)
    stepped(again, copies)
    if not all(torch.allclose(one, other) for one, other in zip(weights, copies, strict=True)):
        raise InputError(
            f"optimizer: {type(optimizer).__name__} keeps what it has learned where no checkpoint "
            "has it: a run that goes on would be another; put it into self.state[p]"
        )


def made(own: Optimization, weights: list[nn.Parameter]) -> Optimizer:
    return own.make_optimizer([{"params": [weight], "lr": own.lr} for weight in weights])


def stepped(optimizer: Optimizer, weights: list[nn.Parameter]) -> bool:
    """A step down a small valley, with the same draws each time; whether it called the closure."""
    called = []

    def closure() -> torch.Tensor:
        called.append(True)
        optimizer.zero_grad()
        loss = torch.stack([weight.square().sum() for weight in weights]).sum()
        loss.backward()
        return loss

    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        optimizer.step(closure)  # type: ignore[arg-type]
    return bool(called)


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


def try_rates(scheduler: Any, epochs: int) -> None:
    """Raises InputError where the rate of some epoch is not a number of at least 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer makes no step here
        for _ in range(epochs):
            highest_rate(scheduler.optimizer)
            scheduler.step(1.0) if isinstance(scheduler, ReduceLROnPlateau) else scheduler.step()
