"""The part of an image that a place of a map sees: it answers there as in the whole image."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import SqueezeExcitation

from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.responses import layer_responses
from cnnexp.visualization.window import Window, window_of

KEY = "visualization.filters.layers"


class OneSize(nn.Module):
    """Learns a value for each pixel, so that it takes images of one size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size, size))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.weight


def strided() -> nn.Module:
    first = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.BatchNorm2d(6), nn.ReLU())
    return nn.Sequential(first, nn.MaxPool2d(2, ceil_mode=True), BasicBlock(6, 6))


def pooled() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, dilation=2), nn.ReLU(), nn.AvgPool2d(3, 2), nn.ReLU())


def oblong() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, (15, 1), padding=(7, 0)), nn.ReLU())


def maps(network: nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    with looking_at(network) as seen, torch.no_grad():
        return layer_responses(seen, ["block"], images, KEY)["block"].before


def look(block: nn.Module, side: int) -> tuple[nn.Sequential, torch.Tensor, Window]:
    torch.manual_seed(0)
    network = nn.Sequential(OrderedDict(block=block.eval(), head=nn.Flatten()))
    images = torch.rand(1, 3, side, side)
    whole = maps(network, images)
    size = (whole.shape[2], whole.shape[3])
    return network, whole, window_of(network, "block", (side, side), size, 0.1, KEY)


@pytest.mark.parametrize("side", [60, 61, 62, 63])
@pytest.mark.parametrize("make", [strided, pooled, oblong])
def test_each_place_answers_as_in_the_whole_image(make, side: int) -> None:
    network, whole, window = look(make(), side)
    assert window.size[0] < side
    assert window.places[0] < whole.shape[2]
    torch.manual_seed(0)
    image = torch.rand(1, 3, side, side)
    places = torch.arange(whole.shape[2] * whole.shape[3])
    parts, inside = window.around(image.expand(len(places), -1, -1, -1), places)
    assert parts.shape == (len(places), 3, *window.size)
    found = maps(network, parts)
    assert found.shape[2:] == window.places
    answers = found.flatten(2)[places, :, inside]
    assert torch.allclose(answers, maps(network, image)[0].flatten(1).T, atol=1e-5)
    # Away from the border, there is room on all sides.
    middle = whole.shape[2] // 2 * (whole.shape[3] + 1)
    row, column = divmod(int(inside[middle]), window.places[1])
    assert (row, column) == (window.places[0] // 2, window.places[1] // 2)


@pytest.mark.parametrize(
    "block",
    [
        nn.Conv2d(3, 4, 31),  # sees all
        nn.Sequential(nn.Conv2d(3, 4, 3), SqueezeExcitation(4, 2)),
        nn.Sequential(OneSize(32), nn.Conv2d(3, 4, 3)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(8)),
        nn.Conv2d(3, 4, 3, stride=(1, 2)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)),
        nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(3, 4, 3)),
        nn.ConvTranspose2d(3, 4, 4, stride=2),
        nn.Conv2d(3, 4, 3, padding=12),
    ],
)
def test_the_whole_image(block: nn.Module) -> None:
    _, whole, window = look(block, 32)
    size = (whole.shape[2], whole.shape[3])
    assert window == Window((32, 32), size, size, 0)
    images = torch.rand(2, 3, 32, 32)
    places = torch.tensor([0, size[0] * size[1] - 1])
    parts, inside = window.around(images, places)
    assert torch.equal(parts, images)
    assert torch.equal(inside, places)
