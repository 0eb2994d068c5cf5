"""What a network keeps where neither its training nor its checkpoints look."""

from collections.abc import Mapping

import torch
from torch import nn

from cnnexp.errors import InputError

State = Mapping[str, torch.Tensor | float]


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
    """`block1.mean` -> tensors and numbers that are neither parameters nor buffers."""
    return {
        f"{name}.{attribute}": value.clone() if isinstance(value, torch.Tensor) else value
        for name, module in network.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, torch.Tensor | int | float) and attribute != "training"
    }


def check_saved(before: State, after: State) -> None:
    """Raises InputError for what a step of training has changed and no checkpoint holds: the test
    would be of one epoch's weights and another's state.
    """
    for name in before.keys() & after.keys():
        one, other = (torch.as_tensor(state[name]) for state in (before, after))
        if one.shape != other.shape or not torch.equal(one, other):
            raise InputError(
                f"model: {name} changes with each step of training, and is not saved with the "
                "network; make it a buffer: "
                f"self.register_buffer('{name.rpartition('.')[2]}', torch.…), changed in place"
            )


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
