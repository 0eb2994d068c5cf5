"""The first block of every network: raw images in, normalised images out."""

from collections.abc import Sequence

import torch
from torch import nn


class Normalize(nn.Module):
    """(B, 3, H, W), uint8 or floating in [0, 1] -> floating, (x - mean) / std per channel.

    Part of the network that is saved: nobody has to remember it. mean, std: of [0, 1] images; of a
    network with trained weights those that belong to them. Without them the block waits for `fit`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))
        self.fitted = False
        if mean is not None and std is not None:
            self.fit(mean, std)

    def fit(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean.copy_(torch.tensor(mean).view(3, 1, 1))
        self.std.copy_(torch.tensor(std).view(3, 1, 1))
        self.fitted = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype) / 255
        return (images - self.mean) / self.std
