from collections.abc import Callable

import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.visualization.activations import dead_channels, feature_maps, ranked_channels

Make = Callable[..., nn.Sequential]


def test_maps_are_those_of_slices(make_network: Make, images: torch.Tensor) -> None:
    """Of the network with in-place ReLUs, against slices of the same without."""
    plain = make_network()
    maps, logits = feature_maps(make_network(inplace=True), images)
    with torch.no_grad():
        assert {name: values.tolist() for name, values in maps.items()} == {
            "block1": plain[:2](images).tolist(),
            "block2": plain[:3](images).tolist(),
        }
        assert torch.equal(logits, plain(images))


def test_chosen_blocks(make_network: Make, images: torch.Tensor) -> None:
    network = make_network()
    assert list(feature_maps(network, images, ["block2"])[0]) == ["block2"]
    assert list(feature_maps(network, images, ["normalize"])[0]) == ["normalize"]
    with pytest.raises(InputError, match=r"blocks: no block 'blok2'.*did you mean 'block2'\?"):
        feature_maps(network, images, ["blok2"])


def test_blocks_without_maps(make_network: Make, images: torch.Tensor) -> None:
    network = make_network()
    head = network.head
    del network.head
    network.flat, network.head = head[0], head[1]
    assert list(feature_maps(network, images)[0]) == ["block1", "block2"]
    with pytest.raises(InputError, match="'flat' gives no map, its output is 2-dimensional"):
        feature_maps(network, images, ["flat"])


def test_channels_that_vary_most_come_first() -> None:
    maps = torch.tensor(
        [
            [[1.0, 1.0], [1.0, 1.0]],  # does not vary, mean 1
            [[0.0, 2.0], [0.0, 2.0]],  # standard deviation 1
            [[0.0, 0.0], [0.0, 0.0]],  # does not vary, mean 0
            [[-3.0, 3.0], [3.0, -3.0]],  # 3
            [[-5.0, -5.0], [-5.0, -5.0]],  # does not vary, mean -5
        ]
    )
    assert ranked_channels(maps) == [3, 1, 4, 0, 2]


def test_dead_channels_say_the_same_for_all_images(make_network: Make) -> None:
    """Channel 0 always 0 (ReLU), 1 always 7, 2 alive in one image only, 3 alive in all."""
    network = make_network()
    conv = nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0], conv.weight[2, 1], conv.weight[3, 2] = -1.0, 1.0, 1.0
        conv.bias.copy_(torch.tensor([0.0, 7.0, 0.0, 0.0]))
    network.normalize = nn.Identity()
    network.block1 = nn.Sequential(conv, nn.ReLU())
    network.block2 = nn.Conv2d(4, 6, 4, stride=4)
    images = torch.zeros(40, 3, 16, 16)
    images[:, 0], images[:, 2, 3, 3] = 1.0, 1.0
    images[38, 1, 0, 0] = 0.5  # in the last of three parts
    dead = dead_channels(network, images)
    assert dead["block1"].tolist() == [True, True, False, False]
    assert list(dead) == ["block1", "block2"]


def test_dead_channels_of_a_single_value(make_network: Make) -> None:
    network = make_network()
    network.normalize, network.block1 = nn.Identity(), nn.AdaptiveAvgPool2d(1)
    network.block2 = nn.Identity()
    network.head = nn.Flatten()
    image = torch.zeros(1, 3, 4, 4)
    image[0, 1] = 2.0
    assert dead_channels(network, image)["block1"].tolist() == [True, False, True]
