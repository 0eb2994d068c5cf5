"""Grad-CAM against values computed by hand."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize
from cnnexp.visualization.gradcam import _targets, gradcam_maps


def hand_network(weights: list[list[float]], *, pool: bool = False) -> nn.Sequential:
    """Two maps, the red and the green channel in [0, 1]; logits = weights @ their means."""
    first = nn.Conv2d(3, 2, 1, bias=False)
    last = nn.Linear(2, len(weights), bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1))
        last.weight.copy_(torch.tensor(weights))
    block1 = nn.Sequential(first, nn.MaxPool2d(2)) if pool else first
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    normalize = Normalize([0.0] * 3, [1.0] * 3)
    return nn.Sequential(OrderedDict(normalize=normalize, block1=block1, head=head)).eval()


@pytest.fixture
def corner() -> torch.Tensor:
    """(1, 3, 4, 4) uint8: red in the upper left quarter, green in the left column."""
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    image[0, 0, :2, :2] = 255
    image[0, 1, :, 0] = 255
    return image


def test_map_by_hand(corner: torch.Tensor) -> None:
    """d logit / d map = weight / 16 at each place, so the map is relu(2 red - green) / 16, …"""
    network = hand_network([[2.0, -1.0], [-3.0, 4.0]])
    both = corner.expand(2, -1, -1, -1)
    maps, layer, size = gradcam_maps(network, both, torch.tensor([0, 1]), "block1")
    first = [[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    second = [[1, 0, 0, 0], [1, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 0]]
    assert torch.allclose(maps, torch.tensor([first, second]) / 16, atol=1e-7)
    assert (maps.shape, maps.dtype, maps.requires_grad) == ((2, 4, 4), torch.float32, False)
    assert (layer, size) == ("block1", (4, 4))


def test_gradient_is_averaged_over_places(corner: torch.Tensor) -> None:
    """A dense layer that looks at the last row only: its weight 8 there is 2 on average."""
    network = hand_network([[0.0, 0.0]])
    dense = nn.Linear(32, 1, bias=False)
    with torch.no_grad():
        dense.weight.zero_()
        dense.weight.view(2, 4, 4)[0, 3] = 8.0
    network.head = nn.Sequential(nn.Flatten(), dense, nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        network.head[2].weight.copy_(torch.tensor([[1.0], [-1.0]]))
    maps = gradcam_maps(network, corner, torch.tensor([0]), "block1").maps
    assert torch.allclose(maps[0], corner[0, 0] / 255 * 2)


def test_enlarged_bilinearly_after_relu(corner: torch.Tensor) -> None:
    """2x2 maps: red [[1, 0], [0, 0]], green [[1, 0], [1, 0]]; 2 to 4 pixels by 1, .75, .25, 0."""
    network = hand_network([[8.0, -4.0], [0.0, 0.0]], pool=True)
    maps, _, size = gradcam_maps(network, corner, torch.tensor([0]), "block1")
    # relu([[8 - 4, 0], [-4, 0]]) / 4 = [[1, 0], [0, 0]]: unlike bilinear of the signed map.
    ramp = torch.tensor([1.0, 0.75, 0.25, 0.0])
    assert torch.allclose(maps[0], ramp[:, None] * ramp[None])
    assert size == (2, 2)


def test_single_logit_is_negated_for_class_0(corner: torch.Tensor) -> None:
    network = hand_network([[2.0, -1.0]])
    both = corner.expand(2, -1, -1, -1)
    maps = gradcam_maps(network, both, torch.tensor([1, 0]), "block1").maps
    speaks_for_1 = [[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    speaks_for_0 = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert torch.allclose(maps, torch.tensor([speaks_for_1, speaks_for_0]) / 16, atol=1e-7)


def test_zero_map_stays_zero(corner: torch.Tensor) -> None:
    network = hand_network([[-2.0, -1.0], [0.0, 0.0]])
    assert not gradcam_maps(network, corner, torch.tensor([0]), "block1").maps.any()


def test_many_images_are_taken_in_parts(make_network, images: torch.Tensor) -> None:
    network = make_network()
    many = images.repeat(14, 1, 1, 1)  # 70: more than two parts
    targets = torch.arange(70) % 3
    maps, *_ = gradcam_maps(network, many, targets, "block2")
    for i in (0, 33, 69):
        alone = gradcam_maps(network, many[i : i + 1], targets[i : i + 1], "block2")
        assert torch.allclose(maps[i], alone.maps[0], atol=1e-6)


def test_in_place_activations_change_nothing(make_network, images: torch.Tensor) -> None:
    """block1 ends in a convolution, and block2 begins by overwriting what it gave."""
    maps = []
    for inplace in (False, True):
        network = make_network()
        network.block1 = nn.Conv2d(3, 4, 3, padding=1, stride=2)
        network.block2 = nn.Sequential(nn.ReLU(inplace), nn.MaxPool2d(2), nn.Conv2d(4, 6, 1))
        nn.init.constant_(network.block1.weight, 0.1)
        nn.init.constant_(network.block1.bias, -0.3)
        torch.manual_seed(2)
        nn.init.normal_(network.block2[2].weight)
        nn.init.normal_(network.head[1].weight)
        maps.append(gradcam_maps(network, images, torch.zeros(5).long(), "block1").maps)
    assert maps[0].any()
    assert torch.equal(maps[0], maps[1])


def test_computed_in_float32_whatever_surrounds_it(make_network, images: torch.Tensor) -> None:
    network, targets = make_network(), torch.tensor([0, 1, 2, 0, 1])
    expected = gradcam_maps(network, images, targets).maps
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        assert torch.equal(gradcam_maps(network, images.clone(), targets.clone()).maps, expected)
        as_floats = gradcam_maps(network, images.float() / 255, targets).maps
    assert torch.allclose(as_floats, expected, atol=1e-6)
    rounded = make_network().bfloat16()
    maps = gradcam_maps(rounded, images, targets).maps
    assert maps.dtype == torch.float32
    assert next(rounded.parameters()).dtype == torch.bfloat16
    assert torch.allclose(maps, expected, atol=0.05 * float(expected.max()))


def test_frozen_network_and_input_layer(make_network, images: torch.Tensor) -> None:
    network = make_network().requires_grad_(False)
    network.normalize = nn.Identity()
    floats = images.float()
    assert gradcam_maps(network, floats, torch.zeros(5).long(), "normalize").maps.any()
    assert not floats.requires_grad


@pytest.mark.parametrize(
    ("layer", "parts"),
    [
        ("blok1", ["visualization.gradcam.layer", "'blok1'", "did you mean 'block1'?", "block2"]),
        ("head", ["'head'", "normalize, block1, block2"]),
        ("flat", ["'flat' gives no map", "2-dimensional"]),
    ],
)
def test_wrong_layers(make_network, images: torch.Tensor, layer: str, parts: list[str]) -> None:
    network = make_network()
    if layer == "flat":
        head = network.head
        del network.head
        network.flat, network.head = head[0], head[1]
    with pytest.raises(InputError) as error:
        gradcam_maps(network, images, torch.zeros(5).long(), layer)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_class_that_is_named_is_the_target() -> None:
    shares, labels = torch.eye(3), torch.tensor([2, 0, 1])
    found = {t: _targets(t, shares, labels, ("a", "b", "c")).tolist()
             for t in ("c", "predicted", "label")}  # fmt: skip
    assert found == {"c": [2, 2, 2], "predicted": [0, 1, 2], "label": [2, 0, 1]}
