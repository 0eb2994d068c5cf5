"""The CNN of the course: stages of convolutions and pooling, then dense layers."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import nn

from cnnexp.config.types import Fraction01, PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.layers import Activation, Norm, activation_layer, dense_head, norm_layer


def baseline(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[Sequence[PositiveInt]] = ((32, 32), (64, 64), (128, 128)),
    kernel_size: PositiveInt = 3,
    padding: Literal["same", "valid"] = "same",
    norm: Norm = "batch",
    activation: Activation = "relu",
    pool: Literal["max", "average"] = "max",
    dropout: Fraction01 = 0.0,
    reduce: Literal["flatten", "average"] = "flatten",
    dense: Sequence[PositiveInt] = (512,),
    head_dropout: Fraction01 = 0.25,
) -> nn.Sequential:
    """(B, 3, S, S) -> block1 .. blockN -> head -> (B, outputs); each stage ends in 2x2 pooling.

    widths: filters of each convolution, a list per stage. dropout: of whole channels after each
    stage; head_dropout: before each dense layer. Raises InputError where a map would vanish.
    """
    size, channels = image_size, 3
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for number, stage in enumerate(widths, start=1):
        layers: list[nn.Module] = []
        for filters in stage:
            # A bias before a normalisation is subtracted again by it.
            layers += [
                nn.Conv2d(channels, filters, kernel_size, padding=padding, bias=norm == "none"),
                norm_layer(norm, filters),
                activation_layer(activation),
            ]
            channels = filters
            size -= 0 if padding == "same" else kernel_size - 1
        layers.append(nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2))
        size = size // 2
        if size < 1:
            raise InputError(
                f"model.widths: stage {number} of {len(widths)} leaves no pixel of images of "
                f"{image_size} pixels; use fewer stages or a larger dataset.image_size"
            )
        if dropout:
            layers.append(nn.Dropout2d(dropout))
        blocks[f"block{number}"] = nn.Sequential(
            *(layer for layer in layers if not isinstance(layer, nn.Identity))
        )
    blocks["head"] = dense_head(
        channels,
        size,
        outputs,
        reduce=reduce,
        dense=dense,
        activation=activation,
        dropout=head_dropout,
    )
    return nn.Sequential(blocks)
