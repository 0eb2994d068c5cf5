"""What stands in the pictures: read from their artists."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.errors import InputError
from cnnexp.reporting.style import VERMILION
from cnnexp.visualization.activations import activations, feature_maps
from cnnexp.visualization.captions import Verdict, percent, verdict
from cnnexp.visualization.gradcam import gradcam, gradcam_maps
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.overlay import HEAT, heat_overlays
from cnnexp.visualization.probe import Probe

Tiles = Callable[..., list[list[Any]]]

CLASSES = ("cat", "dog", "tapir")


@pytest.fixture
def probe(
    make_network: Callable[..., nn.Sequential],
    make_probe: Callable[..., Probe],
    images: torch.Tensor,
) -> Probe:
    """Five images; the first three are labelled as predicted, the others wrongly."""
    network = make_network()
    said = network(images).argmax(dim=1)
    labels = torch.where(torch.arange(5) < 3, said, (said + 1) % 3)
    return make_probe(network, images, labels, CLASSES)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_gradcam_shows_images_maps_and_verdicts(probe: Probe, tiles: Tiles) -> None:
    figures = gradcam(probe, images=4)
    assert list(figures) == ["gradcam"]
    figure = figures["gradcam"].figure
    probabilities = probe.network(probe.images).softmax(dim=1).detach()
    said = probabilities.argmax(dim=1)
    maps, *_ = gradcam_maps(probe.network, probe.images[:4], said[:4], "block2")
    texts = words(figure)
    assert texts[0] == "Grad-CAM at block2, maps of 4x4"
    pairs = tiles(figure)
    assert len(pairs) == 8
    for i in range(4):
        plain, over = pairs[2 * i], pairs[2 * i + 1]
        assert np.array_equal(plain[0].get_array(), probe.images[i].permute(1, 2, 0))
        assert np.allclose(over[1].get_array(), maps[i])
        assert over[1].norm.vmax == pytest.approx(float(maps.max()))
        assert over[1].norm.vmin == 0
        true, name = CLASSES[probe.labels[i]], CLASSES[said[i]]
        sign = "✓" if i < 3 else "✗"
        assert f"{sign} {true} → {name} ({100 * probabilities[i, said[i]]:.0f}%)" in texts
        assert f"for {name} · max {maps[i].max():.3g}" in texts
    # The wrong one, the fourth, has a dashed frame: a mark that needs no colour.
    (frame,) = figure.artists
    assert frame.get_linestyle() == (0, (4, 2))
    inside = frame.get_window_extent().contains
    centres = [tile[0].get_window_extent() for tile in pairs]
    assert [inside((c.x0 + c.x1) / 2, (c.y0 + c.y1) / 2) for c in centres] == [False] * 6 + [
        True
    ] * 2


def test_gradcam_for_labels_and_for_a_class(probe: Probe) -> None:
    texts = words(gradcam(probe, target="label")["gradcam_label"].figure)
    for label in probe.labels.tolist():
        assert any(text.startswith(f"for {CLASSES[label]} ·") for text in texts)
    texts = words(gradcam(probe, target="tapir", layer="block1")["gradcam_block1_tapir"].figure)
    assert texts[0] == "Grad-CAM at block1, maps of 8x8"
    assert sum(text.startswith("for tapir ·") for text in texts) == 5
    with pytest.raises(InputError, match=r"gradcam\.target: 'tapri'.*did you mean 'tapir'"):
        gradcam(probe, target="tapri")


def test_gradcam_says_what_a_place_sees(probe: Probe) -> None:
    """A 3x3 convolution sees 3 pixels, pooled 4; after two such blocks 10 of 16."""

    def reading(layer: str) -> str:
        (picture,) = gradcam(probe, layer=layer).values()
        return picture.reading

    assert "the 16x16 map sees 3 of 16 pixels across" in reading("block1.0")
    assert "the 16x16 map sees 3 of 16 pixels across" in reading("block1.2"), "the ReLU"
    assert "the 4x4 map sees 10 of 16 pixels across" in reading("block2")
    assert "the 16x16 map sees 1 of 16 pixels" in reading("normalize")


def test_gradcam_of_a_layer_inside_a_block(probe: Probe, images: torch.Tensor) -> None:
    """The maps of the block that ends with it: all that is left out is pooling."""
    found = gradcam_maps(probe.network, images, torch.zeros(5).long(), "block2.2")
    assert (found.layer, found.size) == ("block2.2", (8, 8))
    with looking_at(probe.network) as network:
        maps = network.block2[:3](network.block1(network.normalize(images))).requires_grad_()
        scores = network.head(network.block2[3](maps))[:, 0].sum()
        (gradient,) = torch.autograd.grad(scores, maps)
    expected = (maps * gradient.mean(dim=(2, 3), keepdim=True)).sum(dim=1).relu().detach()
    large = nn.functional.interpolate(expected[:, None], size=16, mode="bilinear")[:, 0]
    assert torch.allclose(found.maps, large, atol=1e-6)
    with pytest.raises(InputError, match=r"no layer 'block2\.9'; did you mean 'block2\.\d'"):
        gradcam_maps(probe.network, images, torch.zeros(5).long(), "block2.9")


def test_zero_maps_are_drawn_as_zero(tiles: Tiles) -> None:
    figure = heat_overlays(
        images=np.zeros((2, 3, 8, 8), dtype=np.uint8),
        maps=np.zeros((2, 8, 8), dtype=np.float32),
        labels=[0, 1],
        targets=[0, 0],
        probabilities=np.array([[0.9, 0.1], [0.7, 0.3]]),
        classes=("a", "b"),
        title="t",
        lines=[],
        unit="u",
    )
    assert words(figure).count("for a · zero everywhere") == 2
    for _grey, heat in tiles(figure)[1::2]:
        assert (heat.norm.vmin, heat.norm.vmax) == (0, 1)
        assert not heat.to_rgba(heat.get_array())[..., 3].any()  # clear: only the image is seen
    assert HEAT(1.0)[3] > 0.8
    wrong = [text for text in figure.texts if text.get_text() == "✗ b → a (70%)"]
    assert [text.get_color() for text in wrong] == [VERMILION]


def test_activations_show_the_channels_that_vary_most(probe: Probe, tiles: Tiles) -> None:
    pictures = activations(probe, images=2, channels=3)
    assert list(pictures) == ["activations_1", "activations_2"]
    maps, _ = feature_maps(probe.network, probe.images)
    for i, figure in enumerate(picture.figure for picture in pictures.values()):
        texts = words(figure)
        assert texts[0] == f"Activations for {i}.png"
        assert {"block1", "block2"} <= set(texts)
        assert any(text.startswith("4 channels of 8x8\n3 shown, ") for text in texts)
        assert any(text.startswith("6 channels of 4x4\n3 shown, ") for text in texts)
        (image,), *cells = tiles(figure)
        assert np.array_equal(image.get_array(), probe.images[i].permute(1, 2, 0))
        shown = iter(cells)
        numbers = iter(text for text in texts if text.startswith("#"))
        for values in maps.values():
            spread = np.std(values[i].numpy(), axis=(1, 2))
            for channel in np.argsort(-spread)[:3]:
                (picture,) = next(shown)
                assert np.array_equal(picture.get_array(), values[i, channel])
                assert next(numbers) == f"#{channel}"
                assert picture.norm.vmin == 0
        assert next(shown, None) is None


def test_activations_count_dead_channels_over_all_images(probe: Probe) -> None:
    with torch.no_grad():
        probe.network.block2[1].weight[:2] = 0.0
        probe.network.block2[1].bias[:2] = -1.0
    texts = words(activations(probe, images=1)["activations_1"].figure)
    assert "6 channels of 4x4\n2 dead" in texts
    assert "Dead: the same value everywhere in all 5 images at hand." in texts


def test_negative_activations_have_zero_in_the_middle(probe: Probe, tiles: Tiles) -> None:
    probe.network.block2 = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.AvgPool2d(2))
    figure = activations(probe, images=1, blocks=["block2"])["activations_1_block2"].figure
    norms = {tile.norm for (tile,) in tiles(figure)[1:]}
    (norm,) = norms
    reach = float(feature_maps(probe.network, probe.images[:1])[0]["block2"].abs().max())
    assert (norm.vmin, norm.vmax) == pytest.approx((-reach, reach))


def test_verdicts() -> None:
    row = np.array([0.25, 0.75])
    assert verdict(1, row, ("cat", "dog"), width=3).lines == ("✓ dog → dog (75%)",)
    assert verdict(0, row, ("cat", "dog"), width=3).lines == ("✗ cat → dog (75%)",)
    assert verdict(0, row, ("cat", "d\n o\tg"), width=3).lines == ("✗ cat → d o g (75%)",)
    assert verdict(-1, row, ("cat", "dog"), width=3) == Verdict(True, ("→ dog (75%)",))
    long = verdict(0, row, ("a cat of the neighbourhood", "x" * 80), width=2.5).lines
    assert long[0] == "✗ a cat of the neighbourhood"
    assert long[1].startswith("→ xxx")
    assert long[1].endswith("xxx (75%)")
    assert "…" in long[1]


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.5, "50%"), (0.984, "98%"), (0.9966, "99.7%"), (0.99951, ">99.9%"), (1.0, ">99.9%")],
)
def test_percent_never_claims_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text
