"""A first layer that is computed from the training images, and not learned."""

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 5e-4  # added to the variances: directions that hardly vary are noise


class Whiten(nn.Module):
    """(B, 3, H, W) -> (B, 6k², H - k + 1, W - k + 1): kxk patches without correlations.

    The filters are the principal directions of the training images' patches, each divided by its
    standard deviation, and their negatives; only the bias is learned. Jordan 2024, "94% on CIFAR-10
    in 3.29 seconds on a single GPU", section 3.1, after Page 2019, "How to train your ResNet 8".
    Until `fit` the filters are drawn.
    """

    weight: torch.Tensor

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size, self.filters = size, 6 * size * size
        drawn = nn.Conv2d(3, self.filters, size).weight.detach()
        self.register_buffer("weight", drawn)
        self.bias = nn.Parameter(torch.zeros(self.filters))
        self.fitted = False

    @torch.no_grad()
    def fit(self, images: torch.Tensor) -> None:
        """images: (N, 3, H, W), as they will come in: normalised."""
        patches = F.unfold(images.float(), self.size).transpose(1, 2).reshape(-1, 3 * self.size**2)
        covariance = patches.T @ patches / len(patches)
        variances, directions = torch.linalg.eigh(covariance.double())
        filters = (directions / (variances + EPSILON).sqrt()).T.flip(0)  # the widest first
        both = torch.cat([filters, -filters]).reshape_as(self.weight)
        self.weight.copy_(both)
        self.fitted = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(images, self.weight, self.bias)
