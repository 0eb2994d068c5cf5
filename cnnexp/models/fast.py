"""A network that learns small photographs within few epochs."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from cnnexp.config.types import PositiveFloat, PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.whitening import Whiten


def fast(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[PositiveInt] = (64, 256, 256),
    whitening: PositiveInt = 2,
    bias_gain: PositiveFloat = 8.0,
    logit_scale: PositiveFloat = 1 / 9,
) -> nn.Sequential:
    """(B, 3, S, S) -> whiten -> block1 .. blockN -> head -> (B, outputs); blocks halve the map.

    Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3 and appendix A.
    widths: filters of each block's two 3x3 convolutions, which begin as the identity on as many
    channels as come in. whitening: side of the fixed filters of the first layer, see `Whiten`.
    bias_gain: see `ShiftedBatchNorm`. logit_scale: what the last layer's outputs are multiplied by.
    Raises InputError where a map would vanish.
    """
    size = image_size - whitening + 1
    if size >> len(widths) < 1:
        raise InputError(
            f"model.widths: {len(widths)} blocks leave no pixel of images of {image_size} pixels; "
            "use fewer blocks or a larger dataset.image_size"
        )
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    whiten = Whiten(whitening)
    blocks["whiten"] = nn.Sequential(whiten, nn.GELU())
    channels = whiten.filters
    for number, width in enumerate(widths, start=1):
        blocks[f"block{number}"] = nn.Sequential(
            identity_convolution(channels, width),
            nn.MaxPool2d(2),
            ShiftedBatchNorm(width, bias_gain),
            nn.GELU(),
            identity_convolution(width, width),
            ShiftedBatchNorm(width, bias_gain),
            nn.GELU(),
        )
        channels = width
    blocks["head"] = nn.Sequential(
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, outputs, bias=False),
        Scale(logit_scale),
    )
    return nn.Sequential(blocks)


def identity_convolution(channels: int, width: int) -> nn.Conv2d:
    """3x3; the first filters pass the channels on, the others are drawn."""
    layer = nn.Conv2d(channels, width, 3, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[: min(channels, width)])
    return layer


class ShiftedBatchNorm(nn.BatchNorm2d):
    """(B, C, H, W) -> normalised over B, H and W, plus `gain` times a bias; no scale is learned.

    With SGD a bias that counts `gain` times learns at gain² times the rate (section 3.2 there: 64).
    Batches are not counted, which only an average over all of them would need.
    """

    scale: torch.Tensor

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4, affine=False)
        self.gain = gain
        self.bias = nn.Parameter(torch.zeros(channels))
        # CUDA's kernels want a scale beside the bias.
        self.register_buffer("scale", torch.ones(channels), persistent=False)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias is not None:  # while the class above is made, it is
            nn.init.zeros_(self.bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(
            maps,
            self.running_mean,
            self.running_var,
            self.scale,
            self.gain * self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )


class Scale(nn.Module):
    """Times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.factor
