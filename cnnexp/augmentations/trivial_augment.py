"""torchvision's TrivialAugment, image by image."""

import torch
from torchvision.transforms import v2

from cnnexp.config.types import Probability


class TrivialAugment:
    """(B, 3, H, W) uint8 -> the same: mirrored at random, then one operation of random strength.

    Mueller and Hutter 2021, "TrivialAugment", its wide space. torchvision draws once per call: the
    batch is taken apart: a few hundred microseconds per image.
    """

    def __init__(self, flip: Probability = 0.5) -> None:
        self.transform = v2.Compose([v2.RandomHorizontalFlip(flip), v2.TrivialAugmentWide()])

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.transform(image) for image in images])
