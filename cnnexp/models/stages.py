"""The chain that the baseline, the inception and the residual network share: stages and a head."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import nn

from cnnexp.errors import InputError
from cnnexp.models.layers import Activation, Norm, convolution, dense_head

# (channels in, the stage's widths) -> layers that give the last of these widths, maps as they were.
Blocks = Callable[[int, Sequence[int]], list[nn.Module]]


def staged_network(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[Sequence[int]],
    replaced: Mapping[int, Blocks],
    kernel_size: int,
    padding: Literal["same", "valid"],
    norm: Norm,
    activation: Activation,
    pool: Literal["max", "average"],
    dropout: float,
    reduce: Literal["flatten", "average"],
    dense: Sequence[int],
    head_dropout: float,
) -> nn.Sequential:
    """(B, 3, S, S) -> block1 .. blockN -> head -> (B, outputs); each stage ends in 2x2 pooling.

    widths: filters of each convolution, a list per stage. replaced: stages, counted from 1, whose
    convolutions give way to other layers; kernel_size and padding are those of the other stages.
    dropout: of whole channels after each stage; head_dropout: before each dense layer.
    Raises InputError where a map would vanish.
    """
    check_replaced(list(replaced), widths)
    size, channels = image_size, 3
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for number, stage in enumerate(widths, start=1):
        layers: list[nn.Module] = []
        if number in replaced:
            layers += replaced[number](channels, stage)
            channels = stage[-1]
        else:
            for filters in stage:
                layers += convolution(
                    channels,
                    filters,
                    kernel_size,
                    norm=norm,
                    activation=activation,
                    padding=padding,
                )
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
        blocks[f"block{number}"] = nn.Sequential(*layers)
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


def check_replaced(replaced: Sequence[int], widths: Sequence[Sequence[int]]) -> None:
    """Raises InputError for a stage that is not there, or has no width."""
    for number in replaced:
        if not 1 <= number <= len(widths):
            raise InputError(
                f"model.replace={list(replaced)}: there is no stage {number}; model.widths has "
                f"{len(widths)}, counted from 1"
            )
        if not widths[number - 1]:
            raise InputError(
                f"model.widths[{number - 1}]=[]: model.replace names stage {number}, "
                "which needs a width for its blocks"
            )
