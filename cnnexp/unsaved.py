"""What a network keeps where neither its training nor its checkpoints look."""

from collections.abc import Mapping

import torch
from torch import nn

from cnnexp.errors import InputError

State = Mapping[tuple[str, str], torch.Tensor | float]


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
    """(Module, attribute) -> tensors and numbers that are neither parameters nor buffers."""
    return {
        (name, attribute): value.clone() if isinstance(value, torch.Tensor) else value
        for name, module in network.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, torch.Tensor | int | float) and attribute != "training"
    }


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


def same(one: torch.Tensor | float, other: torch.Tensor | float) -> bool:
    a, b = torch.as_tensor(one), torch.as_tensor(other)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.layout != torch.strided or torch.allclose(a, b, equal_nan=True)


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
