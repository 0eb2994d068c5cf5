"""Shifted and mirrored copies, one gather for the whole batch."""

import torch

from cnnexp.config.types import NonNegativeInt, Probability
from cnnexp.errors import InputError


class CropFlip:
    """Pad by reflection, crop at a random place, mirror at random: He et al. 2016, section 4.2.

    (B, 3, H, W) uint8 -> the same, drawn per image from torch's global generator. padding: pixels,
    0 for mirroring alone, less than H and W; flip: probability.
    """

    def __init__(self, padding: NonNegativeInt = 4, flip: Probability = 0.5) -> None:
        self.padding, self.flip = padding, flip

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        count, _, height, width = images.shape
        device, reach = images.device, self.padding
        if reach >= min(height, width):
            raise InputError(
                f"augmentation.padding={reach}: must be less than the images' {min(height, width)} "
                "pixels"
            )
        shift = torch.randint(-reach, reach + 1, (2, count, 1), device=device)
        rows = reflect(torch.arange(height, device=device) + shift[0], height)  # (B, H)
        columns = reflect(torch.arange(width, device=device) + shift[1], width)  # (B, W)
        mirrored = torch.rand(count, 1, device=device) < self.flip
        columns = torch.where(mirrored, columns.flip(1), columns)
        first = torch.arange(count, device=device).unsqueeze(1) * height  # an image's first row
        places = (first + rows).unsqueeze(2) * width + columns.unsqueeze(1)  # (B, H, W)
        # A pixel's colours lie together: whole pixels are copied, three times as fast as values.
        pixels = images.permute(0, 2, 3, 1).reshape(count * height * width, -1)
        taken = pixels.index_select(0, places.flatten()).view(count, height, width, -1)
        return taken.permute(0, 3, 1, 2)


def reflect(index: torch.Tensor, size: int) -> torch.Tensor:
    """-2 -1 0 .. n-1 n n+1 -> 2 1 0 .. n-1 n-2 n-3."""
    return (size - 1) - ((size - 1) - index.abs()).abs()
