from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize
from cnnexp.visualization.class_gradcam import (
    central_share,
    chosen_classes,
    class_gradcam,
    class_mean,
)
from cnnexp.visualization.probe import Probe

Tiles = Callable[..., list[list[Any]]]

MakeProbe = Callable[..., Probe]


@pytest.fixture
def network() -> nn.Sequential:
    """Two maps, red and green in [0, 1]; logits 16 * their means: each map is the colour itself."""
    first = nn.Conv2d(3, 2, 1, bias=False)
    last = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1))
        last.weight.copy_(16 * torch.eye(2))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    normalize = Normalize([0.0] * 3, [1.0] * 3)
    return nn.Sequential(OrderedDict(normalize=normalize, block1=first, head=head)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    """(4, 3, 4, 4): red in the upper left quarter, twice, the second at 51; green; black."""
    images = torch.zeros(4, 3, 4, 4, dtype=torch.uint8)
    images[0, 0, :2, :2] = 255
    images[1, 0, :2, :2] = 51
    images[2, 1, :, 3] = 255
    return images


def test_means_by_hand(network: nn.Sequential, images: torch.Tensor) -> None:
    mean = class_mean(network, images[:2], 0, "block1")
    corner = np.zeros((4, 4))
    corner[:2, :2] = 1
    assert (mean.label, mean.images) == (0, 2)
    assert mean.heat == pytest.approx(0.6 * corner)  # (1 + 0.2) / 2
    assert mean.pixels[..., 0] == pytest.approx(153 * corner)
    assert not mean.pixels[..., 1:].any()


def test_only_right_predictions_count(
    network: nn.Sequential, images: torch.Tensor, make_probe: MakeProbe, tiles: Tiles
) -> None:
    """Image 1 is labelled green, image 3 has equal logits, so class 0, and is labelled 0."""
    probe = make_probe(network, images, torch.tensor([0, 1, 1, 0]), ("red", "green"))
    picture = class_gradcam(probe)["class_gradcam"]
    assert picture.numbers["layer"] == "block1"
    red, green = picture.numbers["classes"]["red"], picture.numbers["classes"]["green"]
    assert (red["images"], green["images"]) == (2, 1)
    assert red["maximum"] == pytest.approx(0.5)  # with a black image
    assert green["maximum"] == pytest.approx(1.0)
    assert red["central_share"] == pytest.approx(0.25)  # 1 of the 4 pixels of the corner
    assert green["central_share"] == 0
    heats = [tile[1] for tile in tiles(picture.figure) if len(tile) == 2]
    assert [heat.norm.vmax for heat in heats] == pytest.approx([1.0, 1.0]), "one scale"


def test_central_share_by_hand() -> None:
    assert central_share(np.ones((8, 8))) == 0.25
    assert central_share(np.ones((5, 7))) == pytest.approx(0.25)
    assert central_share(np.zeros((4, 4))) is None
    one = np.zeros((4, 4))
    one[1, 2] = 3
    assert central_share(one) == 1


def test_worst_classes_are_chosen() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 4, 4])
    predictions = np.array([0, 0, 1, 0, 0, 0, 4, 0])
    assert chosen_classes(labels, predictions, 2) == [1, 2]
    assert chosen_classes(labels, predictions, 9) == [0, 1, 2, 4]


def test_nothing_right(network: nn.Sequential, images: torch.Tensor, make_probe: MakeProbe) -> None:
    probe = make_probe(network, images, torch.tensor([1, 1, 0, 1]), ("red", "green"))
    picture = class_gradcam(probe)["class_gradcam"]
    assert picture.numbers["classes"] == {}
    assert picture.numbers["never_right"] == ["red", "green"]
    texts = [text.get_text() for text in picture.figure.texts]
    assert "No test image was predicted right: there is nothing to average." in texts


def test_images_are_spread_over_the_split(
    network: nn.Sequential, images: torch.Tensor, make_probe: MakeProbe
) -> None:
    """Two of five: the first and the last."""
    many = images[[0, 1, 1, 1, 1]]
    many[4, 0, 0, 0] = 255
    probe = make_probe(network, many, torch.zeros(5).long(), ("red", "green"))
    picture = class_gradcam(probe, images=2)["class_gradcam"]
    assert picture.numbers["classes"]["red"]["images"] == 2
    assert picture.numbers["classes"]["red"]["maximum"] == pytest.approx(1.0)


def test_rehearsal_one_logit_and_layers(make_network, make_probe: MakeProbe) -> None:
    images = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    probe = make_probe(
        make_network(outputs=1), images, torch.tensor([1, 1]), ("a", "b"),
        probabilities=np.full((2, 2), 0.5), rehearsal=True,
    )  # fmt: skip
    assert class_gradcam(probe)["class_gradcam"].numbers["never_right"] == ["b"]
    with pytest.raises(InputError, match=r"class_gradcam\.layer: no block 'blok1'.*'block1'"):
        class_gradcam(probe, layer="blok1")
