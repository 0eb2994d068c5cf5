"""ResNet for images of 32 pixels, from the residual block."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from cnnexp.config.types import PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.layers import Activation, Norm, convolution, dense_head
from cnnexp.models.residual import ResidualBlock, norm_activation


def resnet(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[PositiveInt] = (64, 128, 256, 512),
    depths: Sequence[PositiveInt] = (2, 2, 2, 2),
    pre_activation: bool = False,
    norm: Norm = "batch",
    activation: Activation = "relu",
) -> nn.Sequential:
    """(B, 3, S, S) -> stem -> block1 (S) -> block2 (S/2) .. blockN -> head -> (B, outputs).

    ResNet-18 of He et al. 2016, "Deep residual learning for image recognition", table 1, with the
    stem that is usual for S = 32: a 3x3 convolution, no pooling. widths, depths: filters and
    residual blocks of each stage; all but the first halve the map. The head averages.
    pre_activation: see `ResidualBlock`; the stem is its convolution alone, and normalisation and
    activation follow the last block.
    """
    if not widths or len(widths) != len(depths):
        raise InputError(
            f"model.depths={list(depths)}: has {len(depths)} stages and model.widths "
            f"{len(widths)}; give both the same number, at least one"
        )
    channels = widths[0]
    stem = convolution(3, channels, 3, norm=norm, activation=activation)
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    blocks["stem"] = nn.Sequential(*(stem[:1] if pre_activation else stem))
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        layers: list[nn.Module] = []
        for position in range(depth):
            layers.append(
                ResidualBlock(
                    channels,
                    width,
                    width,
                    stride=2 if number > 1 and position == 0 else 1,
                    norm=norm,
                    activation=activation,
                    pre_activation=pre_activation,
                )
            )
            channels = width
        if pre_activation and number == len(widths):
            layers += norm_activation(channels, norm, activation)
        blocks[f"block{number}"] = nn.Sequential(*layers)
    blocks["head"] = dense_head(
        channels, 1, outputs, reduce="average", dense=(), activation=activation, dropout=0.0
    )
    network = nn.Sequential(blocks)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # He et al. 2015, "Delving deep into rectifiers", 2.2
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
