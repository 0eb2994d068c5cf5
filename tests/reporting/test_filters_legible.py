"""Kernels and filters: any number of channels, names of any length."""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.models.normalize import Normalize
from cnnexp.visualization.filters import filters
from cnnexp.visualization.kernels import kernels
from cnnexp.visualization.probe import Probe


@pytest.mark.parametrize("name", ["b", "stage" * 20])
@pytest.mark.parametrize("count", [1, 6])
def test_kernels_and_filters_are_legible(
    name: str, count: int, legible: Callable[[Figure], None], make_probe: Callable[..., Probe]
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 100, 3)
    nn.init.constant_(conv.bias[count:], -1e3)  # dead: a long list of them
    with torch.no_grad():
        conv.weight[0] *= 1e-12
    head = nn.Sequential(nn.Flatten(), nn.Linear(100 * 36, 2))
    blocks = {"normalize": Normalize([0.0] * 3, [1.0] * 3), name: nn.Sequential(conv, nn.ReLU())}
    network = nn.Sequential(OrderedDict(blocks, head=head))
    images = torch.rand(3, 3, 8, 8).mul(255)
    probe = make_probe(network.eval(), images, torch.tensor([1, 0, 1]), ("a", "b"))
    for picture in (*kernels(probe, count=count).values(), *filters(probe, steps=1).values()):
        legible(picture.figure)
        assert picture.alt
        sizes = [text.get_fontsize() for text in picture.figure.texts]
        assert min(sizes) >= 7.5
