from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.visualization.gradcam import gradcam_maps
from cnnexp.visualization.mistakes import extremes, mistakes
from cnnexp.visualization.probe import Probe

Tiles = Callable[..., list[list[Any]]]

CLASSES = ("cat", "dog", "tapir")
# Test image -> what was said of it; labels 0, 0, 1, 1, 2.
SAID = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.0, 0.7, 0.3]])  # fmt: skip # noqa: E501
LABELS = [0, 0, 1, 1, 2]


@pytest.fixture
def probe(make_network, make_probe: Callable[..., Probe], images: torch.Tensor) -> Probe:
    return make_probe(
        make_network(), images, torch.tensor(LABELS), CLASSES,
        [f"a folder/{i}.png" for i in range(5)], probabilities=SAID,
    )  # fmt: skip


def test_extremes_by_hand() -> None:
    """Wrong: 1 (0.5), 2 (0.7), 4 (0.7); right: 0 (0.9), 3 (0.4)."""
    assert extremes(np.array(LABELS), SAID, 9, 9) == ([2, 4, 1], [3, 0], 3, 2)
    assert extremes(np.array(LABELS), SAID, 1, 1) == ([2], [3], 3, 2)


def test_pictures_by_hand(probe: Probe, tiles: Tiles) -> None:
    pictures = mistakes(probe, wrong=2, right=1)
    assert list(pictures) == ["mistakes", "least_confident"]
    assert pictures["mistakes"].numbers == {
        "total": 3,
        "images": [
            {"path": "a folder/2.png", "label": "dog", "prediction": "cat", "probability": 0.7},
            {"path": "a folder/4.png", "label": "tapir", "prediction": "dog", "probability": 0.7},
        ],
    }
    assert pictures["least_confident"].numbers == {
        "total": 2,
        "images": [
            {"path": "a folder/3.png", "label": "dog", "prediction": "dog", "probability": 0.4}
        ],
    }
    # Each beside the maps of what was said and of what is true.
    expected = gradcam_maps(
        probe.network, probe.images[[2, 2, 4, 4, 3]], torch.tensor([0, 1, 1, 2, 1])
    )
    shown = tiles(pictures["mistakes"].figure)
    plain, heats = (shown[0], shown[3]), (shown[1], shown[2], shown[4], shown[5])
    for (tile,), i in zip(plain, (2, 4), strict=True):
        assert np.array_equal(tile.get_array(), probe.images[i].permute(1, 2, 0))
    for n, (tile, heat) in enumerate(zip(heats, expected.maps, strict=False)):
        assert np.allclose(tile[1].get_array(), heat, atol=1e-6)
        of_image = expected.maps[n // 2 * 2 :][:2]  # one scale for the two maps of an image
        assert tile[1].norm.vmax == pytest.approx(float(of_image.max()))
    shown = tiles(pictures["least_confident"].figure)
    assert np.allclose(shown[1][1].get_array(), expected.maps[4], atol=1e-6)
    texts = [text.get_text() for text in pictures["mistakes"].figure.texts]
    assert "✗ dog → cat (70%)" in texts
    named = [text for text in texts if text.startswith("for ")]
    assert named == ["for cat", "for dog", "for dog", "for tapir"]
    assert "a folder/2.png" in texts


@pytest.mark.parametrize(
    ("labels", "stem", "sentence"),
    [
        ([0, 1, 0, 1, 1], "mistakes", "No mistake: all test images are predicted right."),
        ([1, 0, 1, 0, 0], "least_confident", "No test image is predicted right."),
    ],
)
def test_nothing_to_show(make_network, make_probe, images, labels, stem, sentence) -> None:
    probe = make_probe(make_network(), images, torch.tensor(labels), CLASSES, probabilities=SAID)
    picture = mistakes(probe)[stem]
    assert sentence in [text.get_text() for text in picture.figure.texts]
    assert picture.numbers == {"total": 0, "images": []}
    assert picture.alt.startswith("There are no ")


def test_a_network_without_maps_has_its_mistakes_shown(make_probe, images, tiles) -> None:
    body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(OrderedDict(body=body, head=nn.Linear(3, 3))).eval()
    probe = make_probe(
        network, images.float() / 255, torch.tensor(LABELS), CLASSES, probabilities=SAID
    )
    figure = mistakes(probe)["mistakes"].figure
    assert len(tiles(figure)) == 3
    assert any("No Grad-CAM: no block gives a map" in text.get_text() for text in figure.texts)


def test_rehearsal_and_one_logit(make_network, make_probe, images, tiles) -> None:
    """Uniform probabilities: class 0 is said of both."""
    probe = make_probe(
        make_network(outputs=1), images[:2], torch.tensor([0, 1]), ("a", "b"),
        probabilities=np.full((2, 2), 0.5), rehearsal=True,
    )  # fmt: skip
    pictures = mistakes(probe)
    assert [pictures[stem].numbers["total"] for stem in pictures] == [1, 1]
    one = gradcam_maps(probe.network, images[[1, 1]], torch.tensor([0, 1]))
    shown = tiles(pictures["mistakes"].figure)
    for place in (0, 1):
        heat = shown[1 + place][1].get_array()
        assert np.allclose(heat, one.maps[place], atol=1e-6)
