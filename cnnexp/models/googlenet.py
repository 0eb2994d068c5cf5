"""A small GoogLeNet for images of 32 pixels, from the inception block."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from cnnexp.config.types import Fraction01, PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.inception import (
    REDUCTIONS,
    SHARES,
    Kind,
    Reductions,
    Shares,
    inception_block,
)
from cnnexp.models.layers import Activation, Norm, convolution, dense_head


def googlenet(
    image_size: int,
    outputs: int,
    *,
    stem: Sequence[PositiveInt] = (32, 64),
    widths: Sequence[Sequence[PositiveInt]] = ((128, 192), (256, 320), (384,)),
    kind: Kind = "reduced",
    shares: Shares = SHARES,
    reductions: Reductions = REDUCTIONS,
    norm: Norm = "batch",
    activation: Activation = "relu",
    head_dropout: Fraction01 = 0.4,
) -> nn.Sequential:
    """(B, 3, S, S) -> stem (S/2) -> block1 (S/2) -> block2 (S/4) .. blockN -> head -> (B, outputs).

    After Szegedy et al. 2015, "Going deeper with convolutions", table 1, for S = 32: a stem of 3x3
    convolutions, stages of inception blocks (widths: a number per block, a list per stage), 2x2 max
    pooling behind the stem and between the stages, an averaging head, dropout before the one dense
    layer; no auxiliary classifiers. kind, shares, reductions: see `inception_block`.
    Raises InputError where a map would vanish.
    """
    if image_size >> len(widths) < 1:
        raise InputError(
            f"model.widths: stage {len(widths)} of {len(widths)} gets no pixel of images of "
            f"{image_size} pixels; use fewer stages or a larger dataset.image_size"
        )
    channels = 3
    layers: list[nn.Module] = []
    for filters in stem:
        layers += convolution(channels, filters, 3, norm=norm, activation=activation)
        channels = filters
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    blocks["stem"] = nn.Sequential(*layers, nn.MaxPool2d(2))
    for number, stage in enumerate(widths, start=1):
        layers = [] if number == 1 else [nn.MaxPool2d(2)]
        for width in stage:
            layers.append(
                inception_block(
                    channels,
                    width,
                    kind=kind,
                    shares=shares,
                    reductions=reductions,
                    norm=norm,
                    activation=activation,
                )
            )
            channels = width
        blocks[f"block{number}"] = nn.Sequential(*layers)
    blocks["head"] = dense_head(
        channels,
        1,
        outputs,
        reduce="average",
        dense=(),
        activation=activation,
        dropout=head_dropout,
    )
    return nn.Sequential(blocks)
