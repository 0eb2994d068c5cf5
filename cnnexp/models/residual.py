"""The baseline with residual blocks in place of some stages' convolutions."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import nn

from cnnexp.config.types import Fraction01, PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.layers import Activation, Norm, activation_layer, convolution, norm_layers
from cnnexp.models.stages import staged_network


def residual(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[Sequence[PositiveInt]] = ((32, 32), (60, 64), (124, 128)),
    replace: Sequence[PositiveInt] = (2, 3),
    pre_activation: bool = False,
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

    replace: stages, counted from 1, where each two convolutions, 3x3, become a residual block: the
    same filters, and a shortcut around them; all else is the baseline with the same settings.
    pre_activation: see `ResidualBlock`; what leaves the last block in a row is activated, too.
    """

    def stage(channels: int, filters: Sequence[int], number: int) -> list[nn.Module]:
        if len(filters) % 2:
            raise InputError(
                f"model.widths[{number - 1}]={list(filters)}: model.replace names stage {number}, "
                "and a residual block is two convolutions; give it an even number of widths"
            )
        layers: list[nn.Module] = []
        for inner, width in zip(filters[::2], filters[1::2], strict=True):
            layers.append(
                ResidualBlock(
                    channels,
                    inner,
                    width,
                    norm=norm,
                    activation=activation,
                    pre_activation=pre_activation,
                )
            )
            channels = width
        if pre_activation and number + 1 not in replace:
            layers += norm_activation(channels, norm, activation)
        return layers

    return staged_network(
        image_size,
        outputs,
        widths=widths,
        replaced={number: partial(stage, number=number) for number in replace},
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


class ResidualBlock(nn.Module):
    """(B, channels, H, W) -> (B, width, H / stride, W / stride): two 3x3 convolutions + shortcut.

    He et al. 2016, "Deep residual learning for image recognition", figure 2: each convolution is
    normalised, activation comes between the two and after the addition. The shortcut is the
    identity, or where the shape changes a 1x1 convolution (option B there).
    pre_activation: He et al. 2016, "Identity mappings in deep residual networks", figure 4e:
    normalisation and activation come before each convolution, nothing comes after the addition;
    a 1x1 convolution then sees the activated input, too (appendix there).
    """

    def __init__(
        self,
        channels: int,
        inner: int,
        width: int,
        *,
        norm: Norm,
        activation: Activation,
        pre_activation: bool,
        stride: int = 1,
    ) -> None:
        super().__init__()

        def last(into: int, kernel_size: int, stride: int) -> list[nn.Module]:
            layers = convolution(
                into,
                width,
                kernel_size,
                norm=norm,
                activation=None,
                stride=stride,
                padding=kernel_size // 2,
            )
            return layers[:1] if pre_activation else layers  # there the next block normalises

        self.before = nn.Sequential(
            *(norm_activation(channels, norm, activation) if pre_activation else [])
        )
        self.residual = nn.Sequential(
            *convolution(
                channels, inner, 3, norm=norm, activation=activation, stride=stride, padding=1
            ),
            *last(inner, 3, 1),
        )
        self.identity = channels == width and stride == 1
        self.shortcut = nn.Sequential(*([] if self.identity else last(channels, 1, stride)))
        self.after = nn.Identity() if pre_activation else activation_layer(activation)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        ready = self.before(maps)
        found = self.residual(ready)
        return self.after(found + (maps if self.identity else self.shortcut(ready)))


def norm_activation(channels: int, norm: Norm, activation: Activation) -> list[nn.Module]:
    """What stands before a convolution, and behind the last block, where blocks pre-activate."""
    return [*norm_layers(norm, channels), activation_layer(activation)]
