"""What a network keeps where neither its training nor its checkpoints look."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cnnexp.errors import InputError

State = Mapping[tuple[str, str], Any]
CONTAINERS = (list, dict, set, deque)  # no classes derived from them, which may refuse to change
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
    """(Module, attribute) -> what is neither parameter nor buffer, and what it holds now: tensors,
    numbers, and lists, dictionaries and so on, which may hold some.
    """
    return {
        (name, attribute): (value, held(value))
        for name, module in network.named_modules()
        for attribute, value in vars(module).items()
        if (isinstance(value, torch.Tensor | int | float) or type(value) in CONTAINERS)
        and attribute not in TORCHS_OWN
    }


def held(value: Any) -> Any:
    """A copy that stays as it is: of a container what lies in it directly."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if type(value) is dict:
        return {key: held(inner) if isinstance(inner, torch.Tensor) else inner
                for key, inner in value.items()}  # fmt: skip
    if type(value) in CONTAINERS:
        return [held(inner) if isinstance(inner, torch.Tensor) else inner for inner in value]
    return value


def put_back(value: Any, content: Any) -> Any:
    """The container itself, for others may hold it, too, with what it held; else the content."""
    if type(value) not in CONTAINERS:
        return content
    value.clear()
    if isinstance(value, dict | set):
        value.update(content)
    else:
        value.extend(content)
    return value


def check_saved(network: nn.Module, before: State, images: torch.Tensor) -> None:
    """Raises InputError for what a step of training has changed, and the test's answers depend on,
    and no checkpoint holds: they would be of one epoch's weights and another's state. What is kept
    to be looked at, such as a map of attention, is fine.

    before: `plain_state` before the step, as which the network is left.
    """
    now = plain_state(network)
    changed = [key for key in before if key in now and not same(before[key][1], now[key][1])]
    if not changed:
        return
    network.eval()
    with torch.no_grad():
        after = network(images)
        for name, attribute in changed:
            setattr(network.get_submodule(name), attribute, put_back(*before[name, attribute]))
        as_before = network(images)
    if not same(after, as_before):
        name, attribute = changed[0]
        raise InputError(
            f"model: {name}.{attribute} changes with each step of training, the answers depend on "
            "it, and no checkpoint has it; make it a buffer: "
            f"self.register_buffer('{attribute}', torch.…), changed in place"
        )


def same(one: Any, other: Any) -> bool:
    """Numbers and tensors but for rounding; of what is none, whether it is the same thing."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return one.layout != torch.strided or torch.allclose(one, other, equal_nan=True)
    if type(one) is not type(other):
        return False
    if isinstance(one, int | float):
        both_nan = math.isnan(one) and math.isnan(other)
        return one == other or both_nan or math.isclose(one, other, rel_tol=1e-5)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other or (isinstance(one, str) and one == other)


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
