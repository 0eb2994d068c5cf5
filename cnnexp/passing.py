"""Two images through a network, block by block: which block refuses them, or loses one."""

import torch
from torch import nn

from cnnexp.errors import InputError, first_line
from cnnexp.own_code import own_line


def black(image_size: int) -> torch.Tensor:
    """Two images."""
    return torch.zeros(2, 3, image_size, image_size)


class Refused(Exception):
    """By a block, which torch's words name."""


def passed(
    network: nn.Sequential, images: torch.Tensor, *, gradients: bool = False
) -> torch.Tensor:
    """The logits. Raises Refused where torch refuses a block's input."""
    features = images
    for name, block in network.named_children():
        features = through(name, block, features, gradients=gradients)
    return features


def through(
    name: str, block: nn.Module, given: torch.Tensor, *, gradients: bool = False
) -> torch.Tensor:
    """What the block gives. Raises Refused where torch refuses its input."""
    size = "x".join(map(str, given.shape[1:]))
    try:
        with torch.set_grad_enabled(gradients):
            gives = block(given)
    except RuntimeError as error:
        raise Refused(f"{name}, given {size}{own_line(error)}: {first_line(error)}") from None
    except Exception as error:
        error.add_note(f"raised by block {name} of the network, given {size}")
        raise
    if not isinstance(gives, torch.Tensor):
        raise InputError(
            f"model: {name} gives a {type(gives).__name__}; between blocks, and "
            "from the head, there is one tensor"
        )
    return gives


def parts_batch(network: nn.Sequential, image_size: int) -> str:
    """The first block that makes another number of images of two; "" where none does."""
    features = black(image_size)
    for name, block in network.named_children():
        features = through(name, block, features)
        if features.shape[:1] != (2,):
            return name
    return ""


def takes(network: nn.Sequential, image_size: int) -> bool:
    """Whether images of this size pass."""
    try:
        passed(network, black(image_size))
    except Exception:  # a person's own code may raise anything
        return False
    return True
