from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from cnnexp.models.normalize import Normalize


@pytest.fixture
def make_network() -> Callable[..., nn.Sequential]:
    """3 -> widths, a stage of convolution, batch norm, ReLU, pooling each; -> (B, outputs)."""

    def make(
        widths: tuple[int, ...] = (4, 6), outputs: int = 3, inplace: bool = False, size: int = 16
    ) -> nn.Sequential:
        torch.manual_seed(0)
        blocks: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize([0.4] * 3, [0.3] * 3))
        for number, (before, after) in enumerate(pairwise((3, *widths)), start=1):
            norm = nn.BatchNorm2d(after)
            nn.init.normal_(norm.bias)
            blocks[f"block{number}"] = nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1), norm, nn.ReLU(inplace), nn.MaxPool2d(2)
            )
        features = widths[-1] * (size // 2 ** len(widths)) ** 2
        blocks["head"] = nn.Sequential(nn.Flatten(), nn.Linear(features, outputs))
        return nn.Sequential(blocks).eval()

    return make


@pytest.fixture
def images() -> torch.Tensor:
    """(5, 3, 16, 16) uint8."""
    return torch.randint(0, 256, (5, 3, 16, 16), generator=torch.Generator().manual_seed(1)).byte()
