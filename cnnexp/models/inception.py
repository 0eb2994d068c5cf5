"""The baseline with inception blocks in place of some stages' convolutions."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

import torch
from torch import nn

from cnnexp.config.types import Fraction01, PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.layers import Activation, Norm, convolution
from cnnexp.models.stages import staged_network

Kind = Literal["naive", "reduced", "three_branch"]
Shares = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
Reductions = tuple[PositiveInt, PositiveInt]

# GoogLeNet's first inception block, "3a": 256 channels (Szegedy et al. 2015, table 1).
SHARES = (64, 128, 32, 32)
REDUCTIONS = (96, 16)


def inception(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[Sequence[PositiveInt]] = ((32, 32), (64, 64), (128, 128)),
    replace: Sequence[PositiveInt] = (2, 3),
    blocks: PositiveInt = 2,
    kind: Kind = "reduced",
    shares: Shares = SHARES,
    reductions: Reductions = (192, 160),
    kernel_size: PositiveInt = 3,
    padding: Literal["same", "valid"] = "same",
    norm: Norm = "batch",
    activation: Activation = "relu",
    pool: Literal["max", "average"] = "max",
    dropout: Fraction01 = 0.0,
    reduce: Literal["flatten", "average"] = "flatten",
    dense: Sequence[PositiveInt] = (512,),
    head_dropout: Fraction01 = 0.0,
) -> nn.Sequential:
    """(B, 3, S, S) -> block1 .. blockN -> head -> (B, outputs): `baseline` but for some stages.

    replace: stages, counted from 1, whose convolutions give way to `blocks` inception blocks, each
    as wide as the stage's last convolution was; all else is the baseline with the same settings.
    kind, shares, reductions: see `inception_block`.
    """

    def stage(channels: int, filters: Sequence[int]) -> list[nn.Module]:
        width = filters[-1]
        return [
            inception_block(
                into,
                width,
                kind=kind,
                shares=shares,
                reductions=reductions,
                norm=norm,
                activation=activation,
            )
            for into in [channels, *[width] * (blocks - 1)]
        ]

    return staged_network(
        image_size,
        outputs,
        widths=widths,
        replaced=dict.fromkeys(replace, stage),
        kernel_size=kernel_size,
        padding=padding,
        norm=norm,
        activation=activation,
        pool=pool,
        dropout=dropout,
        reduce=reduce,
        dense=dense,
        head_dropout=head_dropout,
    )


class Branches(nn.ModuleDict):
    """(B, C, H, W) -> what each branch gives, one after the other: (B, sum of widths, H, W)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(maps) for branch in self.values()], dim=1)


def inception_block(
    channels: int,
    width: int,
    *,
    kind: Kind,
    shares: Sequence[int],
    reductions: Sequence[int],
    norm: Norm,
    activation: Activation,
) -> Branches:
    """(B, channels, H, W) -> (B, width, H, W): 1x1, 3x3, 5x5 and pooling side by side, in order.

    Szegedy et al. 2015, "Going deeper with convolutions", figure 2. kind: naive (2a: 3x3 max
    pooling passes all its channels on, so that the convolutions share the other width - channels),
    reduced (2b: 1x1 convolutions before 3x3 and 5x5 and after pooling), three_branch (2a without
    pooling). shares: of the width, for 1x1, 3x3, 5x5 and pooling; their ratios count, and pooling's
    only in `reduced`. reductions: filters of the 1x1 before 3x3 and 5x5, in the unit of shares.
    Raises InputError where a branch would have no channel.
    """
    left = width - channels if kind == "naive" else width
    parts = split_width(left, shares if kind == "reduced" else shares[:3])
    if kind == "naive" and min(parts) < 1:
        raise InputError(
            f"model.kind=naive: pooling passes its {channels} channels on and leaves {left} of "
            f"{width} to the convolutions: each block must be wider than what it is given; use "
            "kind=reduced, or widths that grow from block to block (model=inception: "
            "model.blocks=1)"
        )
    if min(parts) < 1:
        raise InputError(
            f"model.shares={list(shares)}: of an inception block's {width} channels a branch gets "
            "none; use wider blocks or other shares"
        )

    def convolve(*steps: tuple[int, int]) -> nn.Sequential:
        """Convolutions of (kernel size, filters)."""
        layers: list[nn.Module] = []
        into = channels
        for kernel_size, filters in steps:
            layers += convolution(into, filters, kernel_size, norm=norm, activation=activation)
            into = filters
        return nn.Sequential(*layers)

    few = [(1, max(1, round(width * part / sum(shares)))) for part in reductions]
    reduced = kind == "reduced"
    branches = OrderedDict()
    branches["1x1"] = convolve((1, parts[0]))
    branches["3x3"] = convolve(*few[:1] if reduced else (), (3, parts[1]))
    branches["5x5"] = convolve(*few[1:] if reduced else (), (5, parts[2]))
    if kind != "three_branch":
        projection = convolve((1, parts[3])) if reduced else ()
        branches["pool"] = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *projection)
    return Branches(branches)


def split_width(width: int, shares: Sequence[int]) -> list[int]:
    """Whole numbers in the ratio of the shares, as near as they add up to width."""
    marks = [round(width * mark / sum(shares)) for mark in accumulate(shares, initial=0)]
    return [end - start for start, end in pairwise(marks)]
