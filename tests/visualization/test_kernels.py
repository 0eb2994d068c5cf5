from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.visualization.kernels import first_kernels, kernels
from cnnexp.visualization.probe import Probe

Tiles = Callable[..., list[list[Any]]]


class Late(nn.Module):
    """Its convolutions stand in the order in which they do not run."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(5, 4, 1)
        self.first = nn.Conv2d(3, 5, (2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(images.float()))


def chain(block: nn.Module, channels: int = 4) -> nn.Sequential:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1))
    return nn.Sequential(OrderedDict(stem=nn.Identity(), block=block, head=head)).eval()


@pytest.fixture
def probe(make_probe: Callable[..., Probe], images: torch.Tensor) -> Probe:
    torch.manual_seed(0)
    return make_probe(chain(Late()), images, torch.tensor([0, 1, 0, 1, 0]), ("a", "b"))


def test_the_first_is_what_runs_first(probe: Probe) -> None:
    found = first_kernels(probe.network, probe.images)
    weights = probe.network.block.first.weight
    assert found.layer == "block.first"
    assert torch.equal(found.weights, weights)
    by_hand = [sum(w**2 for w in kernel.flatten().tolist()) ** 0.5 for kernel in weights]
    assert found.norms.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_strongest_first_on_one_scale(probe: Probe, tiles: Tiles) -> None:
    with torch.no_grad():
        weights = probe.network.block.first.weight.zero_()
        weights[3, 0, 1, 2] = -4.0  # red, darkest
        weights[1, 2, 0, 0] = 2.0  # blue, half way up
        weights[4, 1] = 0.1
    picture = kernels(probe, count=3)["kernels"]
    pixels = [tile.get_array() for (tile,) in tiles(picture.figure)]
    expected = np.full((3, 2, 3, 3), 0.5)
    expected[0, 1, 2, 0] = 0.0
    expected[1, 0, 0, 2] = 0.75
    expected[2, :, :, 1] = 0.5125
    assert np.allclose(pixels, expected)
    texts = [text.get_text() for text in picture.figure.texts]
    assert [text for text in texts if text.startswith("#")] == ["#3", "#1", "#4"]
    assert any("brightest +4, the darkest \N{MINUS SIGN}4." in text for text in texts)
    assert picture.numbers["shown"] == [3, 1, 4]
    assert picture.numbers["scale"] == 4.0
    assert picture.numbers["norms"] == pytest.approx([0, 2, 0, 4, 0.06**0.5], abs=1e-5)


def test_zero_kernels_are_mid_grey(probe: Probe, tiles: Tiles) -> None:
    nn.init.zeros_(probe.network.block.first.weight)
    cells = tiles(kernels(probe)["kernels"].figure)
    assert len(cells) == 5
    assert all((tile.get_array() == 0.5).all() for (tile,) in cells)


class Shuffled(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_unshuffle(images.float(), 2)


def test_what_is_no_kernel_over_colours_is_refused(images: torch.Tensor) -> None:
    deep = chain(nn.Sequential(Shuffled(), nn.Conv2d(12, 4, 3)))
    with pytest.raises(InputError, match=r"first convolution, block\.1, has kernels over 12"):
        first_kernels(deep, images)
    none = chain(nn.Sequential(Shuffled(), nn.ReLU()), 12)
    with pytest.raises(InputError, match="the network has no convolution"):
        first_kernels(none, images)
    assert not any(module._forward_pre_hooks for module in deep.modules())


def test_nothing_is_left_behind(probe: Probe) -> None:
    network = probe.network.train()
    network.block.first.weight.grad = grad = torch.ones_like(network.block.first.weight)
    weights = network.block.first.weight
    kernels(probe)
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(module.training for module in network.modules())
    assert all(p.requires_grad for p in network.parameters())
    assert network.block.first.weight is weights
    assert weights.grad is grad
