"""The scores of attribution maps against values computed by hand."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from cnnexp.models.fast import ShiftedBatchNorm
from cnnexp.reporting.page import Page
from cnnexp.visualization.faithfulness import (
    STEPS,
    Curves,
    Scores,
    blurred,
    curve_ends,
    draw_scores,
    fails,
    mass_inside,
    measure,
    pointing_hits,
    randomised,
    rank_correlations,
    removal_curves,
)
from cnnexp.visualization.looking import looking_in

Make = Callable[..., nn.Sequential]


class LogOdds(nn.Module):
    """(B, 3, H, W) -> (B, 2) logits so that the probability of class 1 is the weighted red sum."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        share = (images[:, 0] * self.weights).sum(dim=(1, 2)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([(1 - share).log(), share.log()], dim=1)


def linear(weights: torch.Tensor) -> nn.Sequential:
    return nn.Sequential(OrderedDict(normalize=nn.Identity(), head=LogOdds(weights)))


def test_deletion_by_hand() -> None:
    """Red is [[.8, 0], [0, 0]] and [[0, .4], [.4, .4]], means .2 and .3; the share is the sum."""
    images = torch.zeros(2, 3, 2, 2)
    images[0, 0, 0, 0] = 0.8
    images[1, 0] = torch.tensor([[0.0, 0.4], [0.4, 0.4]])
    weights = torch.tensor([[1.0, 0.5], [0.25, 0.25]])
    # First the upper left, then upper right, lower left, lower right; the other image: backwards.
    maps = torch.tensor([[[4.0, 3.0], [2.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]]])
    curves = removal_curves(linear(weights), images, torch.tensor([1, 1]), maps, steps=4, side=1)
    first = [0.8, 0.2, 0.2 + 0.1, 0.3 + 0.05, 0.35 + 0.05]
    second = [0.4, 0.4 - 0.025, 0.375 - 0.025, 0.35 - 0.05, 0.3 + 0.3]
    assert torch.allclose(curves.deletion, torch.tensor([first, second]), atol=1e-5)
    area = (0.8 / 2 + 0.2 + 0.3 + 0.35 + 0.4 / 2) / 4
    assert curves.areas()[0][0] == pytest.approx(area, abs=1e-5)
    # Two steps: two squares each.
    halves = removal_curves(linear(weights), images, torch.tensor([1, 1]), maps, steps=2, side=1)
    assert torch.allclose(halves.deletion[0], torch.tensor([0.8, 0.3, 0.4]), atol=1e-5)
    # And of class 0 it is what is left.
    other = removal_curves(linear(weights), images, torch.tensor([0, 0]), maps, steps=4, side=1)
    assert torch.allclose(other.deletion, 1 - curves.deletion, atol=1e-5)


def test_insertion_goes_from_the_blurred_to_the_whole_image() -> None:
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) / 200
    weights = torch.ones(16, 16)
    maps = torch.zeros(1, 16, 16)
    maps[0, 4:6, 8:10], maps[0, :2, :2] = 2.0, 1.0
    steps = 64  # one square of 2 x 2 each
    found = removal_curves(linear(weights), images, torch.tensor([1]), maps, steps=steps).insertion
    soft = blurred(images)
    stages = [soft.clone() for _ in range(3)]
    for stage in stages[1:]:
        stage[..., 4:6, 8:10] = images[..., 4:6, 8:10]
    stages[2][..., :2, :2] = images[..., :2, :2]
    sums = [float(stage[0, 0].sum()) for stage in (*stages, images)]
    assert found[0, [0, 1, 2, steps]].tolist() == pytest.approx(sums, abs=1e-4)


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (28, 28), (30, 50), (32, 32)])
def test_blurred(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    soft = blurred(images)
    assert soft.shape == images.shape
    assert soft.std() < images.std()
    assert torch.allclose(blurred(images * 0 + 0.3), torch.full_like(images, 0.3), atol=1e-5)


def test_any_size_is_removed_whole() -> None:
    """19 x 13 pixels, squares of 2: those at the edges are cut, none is forgotten."""
    images = torch.rand(2, 3, 19, 13) / 500
    network = linear(torch.ones(19, 13))
    curves = removal_curves(network, images, torch.tensor([1, 1]), torch.rand(2, 19, 13))
    sums = images[:, 0].sum(dim=(1, 2))
    assert curves.deletion.shape == (2, STEPS + 1)
    for ends in (curves.deletion[:, 0], curves.deletion[:, -1], curves.insertion[:, -1]):
        assert torch.allclose(ends, sums, atol=1e-4)  # the mean colour has the same sum


def test_the_ends_of_all_curves_are_run_once(make_network: Make, images: torch.Tensor) -> None:
    network, floats, targets = make_network(), images[:2] / 255, torch.tensor([0, 1])
    maps = torch.rand(2, 16, 16)
    ends = curve_ends(network, floats, targets)
    seen = []
    with network.block1.register_forward_hook(
        lambda module, args, output: seen.append(len(output))
    ):
        shared = removal_curves(network, floats, targets, maps, ends=ends, steps=4)
    assert sum(seen) == 2 * 2 * 3, "two images, two curves, three places between the ends"
    alone = removal_curves(network, floats, targets, maps, steps=4)
    assert torch.allclose(torch.stack(shared), torch.stack(alone), atol=1e-6)


def test_images_are_blurred_in_float32(make_network: Make, images: torch.Tensor) -> None:
    network, floats = make_network(), images[:2] / 255
    given = []
    with (
        network.normalize.register_forward_pre_hook(lambda _, args: given.append(args[0])),
        looking_in("bf16-mixed"),
    ):
        curve_ends(network, floats, torch.tensor([0, 1]))
    assert torch.equal(given[0][4:], blurred(floats))


def test_equal_squares_come_in_random_order() -> None:
    """A map of zeros says nothing: the upper half must not always be removed first."""
    images = torch.zeros(1, 3, 16, 16)
    images[0, 0, :8] = 1 / 128
    zeros = torch.zeros(1, 16, 16)
    weights = torch.ones(16, 16)
    weights[8:] = 0.0
    half = removal_curves(linear(weights), images, torch.tensor([1]), zeros, steps=2).deletion[0, 1]
    assert 0.6 < float(half) < 0.9  # 0.75 where half of each half is removed; 0.5 by position


def test_a_better_order_has_better_areas(make_network: Make, images: torch.Tensor) -> None:
    curves = Curves(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]]))
    assert [float(a) for a in curves.areas()] == [0.25, 0.75]


def test_rank_correlations_are_spearmans() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(0, 5, (3, 4, 5)).astype(np.float32)  # with ties
    second = generator.random((3, 4, 5)).astype(np.float32)
    found = rank_correlations(torch.from_numpy(first), torch.from_numpy(second)).tolist()
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    assert found == pytest.approx(expected, abs=1e-6)
    same, flat = torch.from_numpy(first), torch.zeros(3, 4, 5)
    assert rank_correlations(same, same**3).tolist() == pytest.approx([1.0] * 3)
    assert rank_correlations(same, -same).tolist() == pytest.approx([-1.0] * 3)
    assert rank_correlations(same, flat).tolist() == [0.0] * 3


def test_randomised_is_a_copy_with_other_weights(make_network: Make, images: torch.Tensor) -> None:
    network = make_network()
    network.block1.register_parameter("scale", nn.Parameter(torch.arange(4.0)))
    network.block1[1].running_mean.fill_(5.0)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    state = torch.get_rng_state()
    other = randomised(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    for name in ("block1.0.weight", "block2.0.bias", "head.1.weight", "block1.scale"):
        was, now = before[name].flatten(), other.state_dict()[name].flatten()
        assert not torch.isclose(was, now).any(), name
    assert not other.state_dict()["block1.1.running_mean"].any()  # of other weights' outputs
    assert torch.equal(other.normalize.mean, network.normalize.mean)  # belongs to the images
    again = randomised(network).state_dict()
    assert all(torch.equal(values, again[name]) for name, values in other.state_dict().items())


def test_what_a_normalisation_of_the_fast_network_learns_is_drawn_anew() -> None:
    norm = ShiftedBatchNorm(4, gain=8.0)
    with torch.no_grad():
        norm.bias.fill_(7.0)
    assert not randomised(nn.Sequential(norm))[0].bias.any()


def test_pointing_game_by_hand() -> None:
    maps = torch.tensor(
        [
            [[0.0, 3.0], [1.0, 2.0]],  # maximum off the object
            [[4.0, 0.0], [0.0, 0.0]],  # on it
            [[2.0, 2.0], [2.0, 0.0]],  # three maxima, one on it
            [[0.0, 0.0], [0.0, 0.0]],  # says nothing
        ]
    )
    masks = torch.tensor([[True, False], [False, True]]).expand(4, 2, 2)
    assert pointing_hits(maps, masks).tolist() == pytest.approx([0.0, 1.0, 1 / 3, 0.0])
    assert mass_inside(maps, masks).tolist() == pytest.approx([1 / 3, 1.0, 1 / 3, 0.0])


def edges(network: nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    return images.diff(dim=3, prepend=images[..., :1]).abs().sum(dim=1)


def gradient(network: nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    images = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(images)[:, 0].sum(), images)
    return found.abs().sum(dim=1)


def test_scores_of_a_network(make_network: Make) -> None:
    """A map that ignores the weights fails; the gradient does not. Masks: the pointing game."""
    network = make_network((8, 8, 8), size=32)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2])
    methods = {"edges": edges, "gradient": gradient}
    maps = {name: method(network, images) for name, method in methods.items()}
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[:, :8] = True
    asked = []

    def attribute(other: nn.Sequential, name: str) -> torch.Tensor:
        asked.append(name)
        assert other is not network
        return methods[name](other, images)

    state = torch.get_rng_state()
    scores, references = measure(network, images, targets, maps, attribute, masks=masks, steps=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert asked == ["edges", "gradient"]
    assert scores["edges"].randomised == pytest.approx(1.0)
    assert abs(scores["gradient"].randomised) < 0.3
    assert [fails(scores[name]) for name in methods] == [True, False]
    # Edges lie on the object as often with random weights: that is no merit of the network.
    assert references["edges"][3:] == scores["edges"][3:]
    assert references["gradient"][3:] != scores["gradient"][3:]
    assert references["edges"][:2] == references["gradient"][:2]
    assert scores["edges"].hits == pytest.approx(float(pointing_hits(maps["edges"], masks).mean()))
    curves = removal_curves(network, images, targets, maps["edges"], steps=4)
    expected = [float(area.mean()) for area in curves.areas()]
    assert list(scores["edges"][:2]) == pytest.approx(expected)
    unmasked, references = measure(network, images, targets, maps, attribute, steps=4)
    assert unmasked["edges"] == scores["edges"]._replace(hits=None, inside=None)
    assert references["edges"][3:] == (None, None)


def test_a_turned_map_depends_no_more_on_the_weights() -> None:
    assert fails(Scores(0.0, 1.0, -0.9))
    assert not fails(Scores(0.0, 1.0, 0.2))


def test_one_logit(make_network: Make, images: torch.Tensor) -> None:
    network = make_network(outputs=1)
    floats, maps = images.float() / 255, torch.rand(5, 16, 16)
    zero = removal_curves(network, floats, torch.zeros(5).long(), maps, steps=3)
    one = removal_curves(network, floats, torch.ones(5).long(), maps, steps=3)
    with torch.no_grad():
        expected = torch.sigmoid(network(floats)[:, 0])
    assert torch.allclose(one.deletion[:, 0], expected, atol=1e-6)
    assert torch.allclose(zero.deletion + one.deletion, torch.ones(5, 4), atol=1e-6)


def test_a_cross_is_for_what_is_clearly_worse() -> None:
    """By more than 0.05: deletion where it is higher, insertion where it is lower."""
    reference = Scores(0.5, 0.5, 0.0)
    scores = {"as good": Scores(0.54, 0.46, 0.1), "worse": Scores(0.56, 0.44, -0.6)}
    page = Page(8, 4, "", [])
    draw_scores(page, 0, {"as good": 3, "worse": 5}, 1, scores, dict.fromkeys(scores, reference))
    said = {text.get_text() for text in page.figure.texts}
    assert {"0.54", "0.46", "0.10", "0.56 ✗", "0.44 ✗", "−0.60 ✗"} <= said
