"""What a visualiser looks at: a trained network and a few images."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Probe:
    """A network and the B images that it is shown.

    network: the spine, an nn.Sequential of named blocks, the first `normalize`, the last `head`;
        uint8 or [0, 1] images (B, 3, H, W) -> logits (B, K), or (B, 1) for a binary problem with
        one logit (class 1 where it is positive). In eval mode, on the images' device.
    images: (B, 3, H, W) uint8. labels: (B,) int64. paths: B names.
    classes: K names.
    """

    network: nn.Sequential
    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...]
