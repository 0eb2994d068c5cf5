"""What a network is: a chain of named blocks."""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize


def as_spine(chain: Any, target: str) -> nn.Sequential:
    """What a model's function gave, `normalize` in front. target: the function, for errors.

    Raises InputError for what is no chain of blocks that ends in `head`.
    """
    key = f"model._target_={target}"
    if not isinstance(chain, nn.Sequential):  # what another module does in `forward` would be lost
        raise InputError(
            f"{key}: gives a {type(chain).__name__}; it must give a torch.nn.Sequential of named "
            "blocks, the last of them 'head'"
        )
    if type(chain).forward is not nn.Sequential.forward:
        raise InputError(
            f"{key}: gives a {type(chain).__name__}, which has a forward of its own; it would be "
            "lost: a network is what its blocks do one after the other, so put it into a block"
        )
    blocks = OrderedDict(chain._modules)  # named_children() would leave out a second mention
    if list(blocks)[-1:] != ["head"]:
        raise InputError(
            f"{key}: the last block of a network is named 'head', this one's are "
            f"{', '.join(blocks)}"
        )
    if "all" in blocks:
        raise InputError(f"{key}: a block named 'all' would stand for all blocks; rename it")
    first: dict[int, str] = {}
    for name, block in blocks.items():
        if first.setdefault(id(block), name) != name:
            raise InputError(
                f"{key}: its blocks {first[id(block)]} and {name} are one object; make one for "
                "each, or put both uses into one block"
            )
    owner: dict[int, str] = {}
    for name, block in blocks.items():
        for inner, weights in block.named_parameters():
            if owner.setdefault(id(weights), name) != name:
                raise InputError(
                    f"{key}: its blocks {owner[id(weights)]} and {name} share weights "
                    f"({name}.{inner}); a phase trains whole blocks: put both uses into one block"
                )
    if "normalize" not in blocks:
        blocks = OrderedDict([("normalize", Normalize()), *blocks.items()])
    if not isinstance(next(iter(blocks.values())), Normalize):
        raise InputError(
            f"{key}: a block named 'normalize' must be the first, and a "
            "cnnexp.models.normalize.Normalize; without one cnnexp puts it there"
        )
    network = nn.Sequential(blocks)
    # What the model itself has fixed: no phase trains it.
    fixed = frozenset(n for n, p in network.named_parameters() if not p.requires_grad)
    vars(network)["fixed"] = fixed  # no parameter, module or buffer
    if not any(True for _ in network.parameters()):
        raise InputError(f"{key}: no block has weights: there is nothing to train")
    return network


def channels_last(network: nn.Sequential) -> nn.Sequential:
    """Its maps' weights in the order in which convolutions are fastest. Not `Module.to`, which
    refuses weights of five dimensions.
    """
    for weights in (*network.parameters(), *network.buffers()):
        if weights.dim() == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    return network


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
