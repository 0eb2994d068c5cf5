"""What a network keeps where neither its training nor its checkpoints look."""

import copy
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cnnexp.errors import InputError

State = Mapping[tuple[str, str], Any]
KINDS = torch.Tensor | int | float | list | tuple | dict | set | deque
TORCHS_OWN = frozenset(vars(nn.Module()))


def check_layers_known(network: nn.Module) -> None:
    """Raises InputError for layers in a plain list or dictionary: none would train or be saved."""
    known = {id(module) for module in network.modules()}
    for name, module in network.named_modules():
        for attribute, value in vars(module).items():
            inside = value.values() if isinstance(value, dict) else value
            if attribute.startswith("_") or not isinstance(value, dict | list | tuple):
                continue
            if any(isinstance(one, nn.Module) and id(one) not in known for one in inside):
                kind = type(value).__name__
                instead = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
                raise InputError(
                    f"model: {name}.{attribute} is a {kind} of layers, which would be neither "
                    f"trained nor saved; put them into an {instead}"
                )


def plain_state(network: nn.Module) -> State:
    """(Module, attribute) -> tensors and numbers that are neither parameters nor buffers, and
    lists, dictionaries and so on, which may hold some.
    """
    return {
        (name, attribute): snapshot(value)
        for name, module in network.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, KINDS) and attribute not in TORCHS_OWN
    }


def snapshot(value: Any, depth: int = 3) -> Any:
    """What it holds now, whatever is done to it later: down to containers in containers."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if not depth or not isinstance(value, list | dict | set | deque):
        return value
    taken = copy.copy(value)
    if isinstance(taken, dict):
        for key, inner in taken.items():
            taken[key] = snapshot(inner, depth - 1)
    elif isinstance(taken, list | deque):
        for place, inner in enumerate(taken):
            taken[place] = snapshot(inner, depth - 1)
    return taken


def check_saved(network: nn.Module, before: State, images: torch.Tensor) -> None:
    """Raises InputError for what a step of training has changed, and the test's answers depend on,
    and no checkpoint holds: they would be of one epoch's weights and another's state. What is kept
    to be looked at, such as a map of attention, is fine.

    before: `plain_state` before the step, as which the network is left.
    """
    now = plain_state(network)
    changed = [key for key in before if key in now and not same(before[key], now[key])]
    if not changed:
        return
    network.eval()
    with torch.no_grad():
        after = network(images)
        for name, attribute in changed:
            setattr(network.get_submodule(name), attribute, before[name, attribute])
        as_before = network(images)
    if not same(after, as_before):
        name, attribute = changed[0]
        raise InputError(
            f"model: {name}.{attribute} changes with each step of training, the answers depend on "
            "it, and no checkpoint has it; make it a buffer: "
            f"self.register_buffer('{attribute}', torch.…), changed in place"
        )


def same(one: Any, other: Any, depth: int = 3) -> bool:
    """But for rounding. Of what is neither a number nor holds some, only whether it is the same."""
    numbers = torch.Tensor | int | float
    if isinstance(one, numbers) and isinstance(other, numbers):
        a, b = torch.as_tensor(one), torch.as_tensor(other)
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        return a.layout != torch.strided or torch.allclose(a, b, equal_nan=True)
    if type(one) is not type(other) or not depth:
        return one is other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k], depth - 1) for k in one)
    if isinstance(one, list | tuple | deque):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(a, b, depth - 1) for a, b in pairs)
    return one == other if isinstance(one, set) else one is other


def leaves(value: torch.Tensor) -> list[torch.Tensor]:
    """What autograd would give gradients to."""
    found, seen, left = [], set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, torch.Tensor):  # of torch's AccumulateGrad
            found.append(variable)
        left += [function for function, _ in node.next_functions]
    return found
