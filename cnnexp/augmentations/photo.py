"""Random resized crops with colour changes, for photographs; the whole batch in one sampling."""

import math

import torch
from torch.nn import functional as F

from cnnexp.config.types import NonNegativeFloat, PositiveRange, Probability, ShareRange


class Photo:
    """One affine sampling per image (crop, aspect, mirror, rotation), then its colours.

    (B, 3, H, W) uint8 -> floating in [0, 1], same shape; drawn per image, from torch's generator.

    scale: share of the area that a crop keeps; ratio: its width to height, log-uniform (Szegedy et
    al. 2015, as torchvision's RandomResizedCrop). rotation: degrees either way. brightness,
    contrast, saturation: factors from [1 - x, 1 + x], as torchvision's ColorJitter.
    """

    def __init__(
        self,
        scale: ShareRange = (0.5, 1.0),
        ratio: PositiveRange = (0.75, 4 / 3),
        flip: Probability = 0.5,
        rotation: NonNegativeFloat = 0.0,
        brightness: NonNegativeFloat = 0.3,
        contrast: NonNegativeFloat = 0.3,
        saturation: NonNegativeFloat = 0.3,
    ) -> None:
        self.scale, self.ratio = scale, ratio
        self.flip, self.rotation = flip, rotation
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        grid = F.affine_grid(self._affine(len(images), images.device), list(images.shape), False)
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return self._colours(images)

    def _affine(self, count: int, device: torch.device) -> torch.Tensor:
        """(B, 2, 3): where each output pixel comes from, in coordinates -1..1."""

        def draw(low: float, high: float) -> torch.Tensor:
            return low + (high - low) * torch.rand(count, device=device)

        area = draw(*self.scale)
        ratio = draw(math.log(self.ratio[0]), math.log(self.ratio[1])).exp()
        width = (area * ratio).sqrt().clamp(max=1)
        height = (area / ratio).sqrt().clamp(max=1)
        x, y = (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)  # the crop's centre
        mirror = torch.where(torch.rand(count, device=device) < self.flip, -1.0, 1.0)
        angle = draw(-1, 1) * math.radians(self.rotation)
        cos, sin = angle.cos(), angle.sin()
        top = torch.stack([mirror * width * cos, -height * sin, x], 1)
        bottom = torch.stack([mirror * width * sin, height * cos, y], 1)
        return torch.stack([top, bottom], 1)

    def _colours(self, images: torch.Tensor) -> torch.Tensor:
        def factor(reach: float) -> torch.Tensor:
            return 1 + reach * (2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1)

        grey = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R BT.601 luma
        luma = (images * grey).sum(1, keepdim=True)  # (B, 1, H, W)
        saturation, contrast, brightness = (
            factor(self.saturation), factor(self.contrast), factor(self.brightness)
        )  # fmt: skip
        # The three in one pass: towards grey, towards the mean luma, times the brightness.
        mean = luma.mean((2, 3), keepdim=True)
        images = saturation * images + (1 - saturation) * luma
        return ((contrast * images + (1 - contrast) * mean) * brightness).clamp_(0, 1)
