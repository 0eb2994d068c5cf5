"""No augmentation."""

from collections.abc import Callable

import torch


def none() -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda images: images
