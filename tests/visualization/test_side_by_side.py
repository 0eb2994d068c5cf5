"""The same images through several networks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.logits import to_probabilities
from cnnexp.visualization.gradcam import gradcam_maps
from cnnexp.visualization.overlay import HEAT
from cnnexp.visualization.side_by_side import (
    Chosen,
    Column,
    choose_rows,
    column_maps,
    side_by_side,
)

Tiles = Callable[..., list[list[Any]]]

Make = Callable[..., nn.Sequential]


def column(network: nn.Sequential, images: torch.Tensor, name: str = "net") -> Column:
    with torch.no_grad():
        shares = to_probabilities(network(images)).numpy()
    return Column(name, ("abc123, seed 0",), network, images, shares, 0.5)


def draw(columns: list[Column], labels: list[int], **more: int):
    given = {"disagreed": 2, "differ": 3, "common": 50} | more
    paths = [f"{i}.png" for i in range(len(labels))]
    return side_by_side(columns, labels=labels, classes=("a", "b", "c"), paths=paths, **given)


def shares(predictions: list[int], sure: list[float]) -> np.ndarray:
    """(N, 3): the predicted class has `sure`, the others share the rest."""
    table = np.repeat((1 - np.array(sure))[:, None] / 2, 3, axis=1)
    table[np.arange(len(sure)), predictions] = sure
    return table


def test_rows_are_chosen_by_hand() -> None:
    """Images 1, 4 and 5 are seen differently; the true class's probability differs by 0.05 (1),
    0.75 (4) and 0.4 (5). The others in turn: 0 and 2 are of class 0, 3 and 6 of class 1.
    """
    labels = np.array([0, 0, 0, 1, 1, 2, 1])
    first = shares([0, 1, 0, 1, 1, 2, 0], [0.9, 0.8, 0.9, 0.9, 0.8, 0.6, 0.9])
    second = shares([0, 2, 0, 1, 0, 1, 0], [0.5, 0.7, 0.9, 0.9, 0.9, 0.6, 0.9])
    table = np.stack([first, second])
    assert choose_rows(table, labels, 4) == Chosen([4, 5, 0, 3], 2, 3)
    assert choose_rows(table, labels, 6) == Chosen([4, 5, 1, 0, 3, 2], 3, 3)
    assert choose_rows(table, labels, 2) == Chosen([4, 0], 1, 3)
    assert choose_rows(table, labels, 99) == Chosen([4, 5, 1, 0, 3, 2, 6], 3, 3)
    alike = np.stack([first, first, first])
    assert choose_rows(alike, labels, 3) == Chosen([0, 3, 5], 0, 0)
    apart = table[:, [1, 4, 5]]
    assert choose_rows(apart, labels[[1, 4, 5]], 2) == Chosen([1, 2], 2, 3)


def test_cells_are_each_networks_own(
    make_network: Make, images: torch.Tensor, tiles: Tiles
) -> None:
    """Two sizes of the same images: prediction and map come from the network's own."""
    small, large = make_network(), make_network(widths=(5,), size=32)
    double = images.repeat_interleave(2, 2).repeat_interleave(2, 3)  # (5, 3, 32, 32)
    columns = [column(small, images, "small"), column(large, double, "large")]
    labels = columns[0].probabilities.argmax(1).tolist()
    picture = draw(columns, labels)
    shown = tiles(picture.figure)
    assert len(shown) == 5 * 3
    for i in range(5):
        np.testing.assert_array_equal(shown[i][0].get_array(), double[i].permute(1, 2, 0))
    for place, (network, given) in ((5, (small, images)), (10, (large, double))):
        with torch.no_grad():
            targets = network(given).argmax(1)
        maps = gradcam_maps(network, given, targets).maps.numpy()
        for i in range(5):
            heat = shown[place + i][1]
            assert heat.get_cmap() is HEAT
            np.testing.assert_allclose(heat.get_array(), maps[i], rtol=1e-5)
            assert heat.norm.vmax == pytest.approx(
                float(gradcam_maps(network, given, targets).maps.max())
            ), "one scale per column"
    said = [text.get_text() for text in picture.figure.texts]
    assert sum(text.startswith("✓") and "→" in text for text in said) >= 5
    assert "The predictions differ on 3 of 50 common test images." in said
    assert "The first 2 rows are from these; in the others they agree." in said
    assert picture.numbers["predictions_differ"] == 3
    assert [run["layer"] for run in picture.numbers["runs"]] == ["block2", "block1"]


@pytest.mark.parametrize(
    ("disagreed", "differ", "words"),
    [
        (0, 0, "agree on all 50 common test images."),
        (1, 3, "The first row is from these; in the others they agree."),
        (5, 9, "All rows are from these."),
    ],
)
def test_the_words_say_how_rows_were_chosen(
    disagreed: int, differ: int, words: str, make_network: Make, images: torch.Tensor
) -> None:
    columns = [column(make_network(), images)] * 2
    picture = draw(columns, [0, 1, 2, 0, 1], disagreed=disagreed, differ=differ)
    assert any(words in text.get_text() for text in picture.figure.texts)
    assert words in picture.reading


def test_one_logit(make_network: Make, images: torch.Tensor) -> None:
    network = make_network(outputs=1)
    one = column(network, images)
    assert one.probabilities.shape == (5, 2)
    assert draw([one, one], [0, 1, 0, 1, 0])
    maps = column_maps(one)
    wanted = gradcam_maps(network, images, torch.from_numpy(one.probabilities.argmax(1)))
    assert torch.equal(maps.maps, wanted.maps)


def test_a_network_without_a_map_still_speaks(make_network: Make, images: torch.Tensor) -> None:
    flat = make_network(widths=(4, 4, 4, 4))  # 8x8 at its largest, then 4, 2, 1
    flat.block1.append(nn.AdaptiveAvgPool2d(2))
    flat.block2[3] = flat.block3[3] = flat.block4[3] = nn.Identity()
    flat.head[1] = nn.Linear(16, 3)
    assert column_maps(column(flat, images)) is None
    picture = draw([column(flat, images), column(make_network(), images)], [0, 1, 2, 0, 1])
    assert "no map of 4x4 or more" in [text.get_text() for text in picture.figure.texts]
    assert picture.numbers["runs"][0]["layer"] is None


def state(network: nn.Module) -> list[object]:
    found: list[object] = [
        (name, module.training, {k: list(v) for k, v in vars(module).items() if "hook" in k and v})
        for name, module in network.named_modules()
    ]
    return found + [(id(p), p.tolist(), p.requires_grad, id(p.grad)) for p in network.parameters()]


@pytest.mark.parametrize("fails", [False, True])
def test_all_is_as_before(fails: bool, make_network: Make, images: torch.Tensor) -> None:
    network = make_network(inplace=True)
    given = column(network, images)
    network.train()
    network.block1.eval().requires_grad_(False)
    network.block2[0].weight.grad = torch.ones_like(network.block2[0].weight)
    network.block2[2].register_forward_hook(lambda module, values, gave: None)
    if fails:
        broken = nn.Linear(1, 1)
        broken.forward = lambda values: 1 / 0  # type: ignore[method-assign]
        network.head.append(broken)
    before, generator = state(network), torch.get_rng_state()
    if fails:
        with pytest.raises(ZeroDivisionError):
            draw([given, given], [0, 1, 2, 0, 1])
    else:
        draw([given, given], [0, 1, 2, 0, 1])
    assert state(network) == before
    assert torch.equal(torch.get_rng_state(), generator)
