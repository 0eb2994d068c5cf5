"""Phases: which blocks train, for how long, at which rates. Frozen means weights and buffers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import nn

from cnnexp.errors import InputError, nearest
from cnnexp.training.optimization import Optimization

LIBRARIES = {"torch", "torchvision", "timm", "cnnexp"}  # what their modules do is in `forward`


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    trainable: names of blocks; the others are frozen. rates: trainable block -> its share of the
    optimizer's learning rate. early_stopping: epochs to wait for a better epoch, or None.
    """

    name: str
    trainable: tuple[str, ...]
    epochs: int
    rates: Mapping[str, float]
    optimization: Optimization
    early_stopping: int | None = None


def weighted_blocks(network: nn.Sequential) -> list[str]:
    """The blocks that have weights, in order: those that can train."""
    return [
        name for name, block in network.named_children() if any(True for _ in block.parameters())
    ]


def trainable_blocks(
    network: nn.Sequential, wanted: Literal["all"] | int | Sequence[str], key: str
) -> tuple[str, ...]:
    """The blocks that `wanted` means: all, the last n, or those that names and globs match.

    Raises InputError, naming the config's `key`, where a name matches none.
    """
    blocks = weighted_blocks(network)
    if wanted == "all":
        return tuple(blocks)
    if isinstance(wanted, int):
        if wanted > len(blocks):
            raise InputError(
                f"{key}={wanted}: the network has {len(blocks)} blocks with weights: "
                f"{', '.join(blocks)}"
            )
        return tuple(blocks[-wanted:])
    for pattern in wanted:
        check_pattern(pattern, blocks, key, "block with weights")
    return tuple(b for b in blocks if any(fnmatchcase(b, pattern) for pattern in wanted))


def block_rates(
    trainable: Sequence[str], scale: float | Mapping[str, float], key: str
) -> dict[str, float]:
    """Each block's share of the rate: a mapping's first pattern that matches, 1 without one."""
    if not isinstance(scale, Mapping):
        return dict.fromkeys(trainable, float(scale))
    for pattern in scale:
        check_pattern(pattern, trainable, key, "block that trains in this phase")
    return {
        block: next((float(s) for p, s in scale.items() if fnmatchcase(block, p)), 1.0)
        for block in trainable
    }


def check_pattern(pattern: str, blocks: Sequence[str], key: str, what: str = "block") -> None:
    if not any(fnmatchcase(block, pattern) for block in blocks):
        raise InputError(
            f"{key}: no {what} is named {pattern}{nearest(pattern, blocks) or ';'} "
            f"allowed: {', '.join(blocks)}"
        )


def freeze(network: nn.Sequential, trainable: Sequence[str]) -> None:
    """Gradients for the trainable blocks alone, but for what the model itself has fixed."""
    fixed = getattr(network, "fixed", ())
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.partition(".")[0] in trainable and name not in fixed)


def training_blocks(network: nn.Sequential, trainable: Sequence[str]) -> set[str]:
    """The trainable blocks, and those without weights that act in training, as dropout does: they
    go with the next block that has weights, behind the last one with that.
    """
    weighted, names = weighted_blocks(network), [name for name, _ in network.named_children()]
    found = set(trainable)
    for place, (name, block) in enumerate(network.named_children()):
        if name not in weighted and acts_in_training(block):
            goes_with = next((n for n in names[place:] if n in weighted), weighted[-1])
            found |= {name} if goes_with in trainable else set()
    return found


def acts_in_training(block: nn.Module) -> bool:
    """Whether any of its modules asks for the mode; of people's own modules nobody knows."""
    return any(
        type(module).__module__.partition(".")[0] not in LIBRARIES
        or "training" in type(module).forward.__code__.co_names
        for module in block.modules()
    )


def set_mode(network: nn.Sequential, training: bool, trainable: Sequence[str]) -> None:
    """As nn.Module.train, but frozen blocks stay in eval mode: their batch norm normalises by what
    it knows and learns nothing, their dropout drops nothing.
    """
    network.train(training)
    own = training_blocks(network, trainable)
    for name, block in network.named_children():
        if name not in own:
            block.eval()


def frozen_prefix(network: nn.Sequential, trainable: Sequence[str]) -> int:
    """The number of leading blocks that are a pure function of the image; 0 where they compute
    nothing that is worth storing: not one of them has weights.
    """
    names = [name for name, _ in network.named_children()]
    own = training_blocks(network, trainable)
    count = next(i for i, name in enumerate(names) if name in own)
    return count if any(name in weighted_blocks(network) for name in names[:count]) else 0


def fingerprints(network: nn.Sequential, blocks: Sequence[str] | None = None) -> dict[str, str]:
    """Block -> SHA-256 of its weights and buffers, names, types and shapes. blocks: None: all."""
    found = {}
    for name, block in network.named_children():
        if blocks is None or name in blocks:
            digest = hashlib.sha256()
            for key, tensor in block.state_dict().items():
                value = tensor.detach().cpu().contiguous()
                digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.reshape(-1).view(torch.uint8).numpy())
            found[name] = digest.hexdigest()
    return found


def check_frozen(network: nn.Sequential, before: Mapping[str, str], phase: str) -> None:
    """Raises InputError where a block of `before` is no longer what it was."""
    after = fingerprints(network, list(before))
    moved = [name for name in before if after[name] != before[name]]
    if moved:
        raise InputError(
            f"phase {phase}: {', '.join(moved)} was frozen, and its weights or buffers have "
            "changed: what changes them besides the optimizer? (a hook, or code in the model)"
        )


def parameter_counts(network: nn.Sequential, trainable: Sequence[str]) -> tuple[int, int]:
    """(trainable, all)."""
    fixed = getattr(network, "fixed", ())
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    own = (
        size
        for name, size in sizes.items()
        if name.partition(".")[0] in trainable and name not in fixed
    )
    return sum(own), sum(sizes.values())
