"""Filters by gradient ascent: the response before the activation, what raises it, what is drawn."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from cnnexp.errors import InputError
from cnnexp.models.inception import inception_block
from cnnexp.models.normalize import Normalize
from cnnexp.models.residual import ResidualBlock
from cnnexp.visualization.excitation import excitations, seen_parts
from cnnexp.visualization.filters import filters
from cnnexp.visualization.fourier_image import FourierImage, ascend, colour_basis, moved
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.maximisers import maximisers
from cnnexp.visualization.probe import Probe, silently
from cnnexp.visualization.responses import find_layers, layer_responses

Tiles = Callable[..., list[list[Any]]]

GREY = (torch.full((3,), 0.5), torch.eye(3))  # all colours alike
KEY = "visualization.filters.layers"


def chain(**blocks: nn.Module) -> nn.Sequential:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(2))
    as_given = Normalize([0.0] * 3, [1.0] * 3)
    network = nn.Sequential(OrderedDict(normalize=as_given, **blocks, head=head)).eval()
    network(torch.rand(2, 3, 16, 16))
    return network


@pytest.fixture
def probe(
    make_network: Callable[..., nn.Sequential],
    make_probe: Callable[..., Probe],
    images: torch.Tensor,
) -> Probe:
    return make_probe(make_network(), images, torch.tensor([0, 1, 2, 0, 1]), ("a", "b", "c"))


def before(network: nn.Sequential, layer: str, images: torch.Tensor) -> torch.Tensor:
    with looking_at(network) as seen:
        return layer_responses(seen, [layer], images, KEY)[layer].before


# --- the response


def test_before_the_activation_of_plain_and_residual_blocks() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 8, 8)
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5))
    network = chain(block=nn.Sequential(*conv, nn.ReLU(inplace=True), nn.MaxPool2d(2)))
    expected = F.max_pool2d(conv(images), 2)
    assert (expected < 0).any()
    assert torch.allclose(before(network, "block", images), expected)

    residual = ResidualBlock(3, 4, 5, norm="batch", activation="gelu", pre_activation=False).eval()
    expected = residual.residual(images) + residual.shortcut(images)
    assert torch.allclose(before(chain(block=residual), "block", images), expected)

    # Without an activation at its end: what it gives.
    pre = ResidualBlock(3, 4, 3, norm="batch", activation="relu", pre_activation=True).eval()
    assert torch.allclose(before(chain(block=pre), "block", images), pre(images))

    # One ReLU module that runs twice, and an addition in place.
    theirs = BasicBlock(3, 3).eval()
    inner = theirs.bn2(theirs.conv2(theirs.relu(theirs.bn1(theirs.conv1(images)))))
    network = chain(block=theirs)
    assert torch.allclose(before(network, "block", images), inner + images)
    assert torch.allclose(before(network, "block.bn2", images), inner)


def test_before_the_activations_of_an_inception_block() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 8, 8)
    block = inception_block(
        3,
        24,
        kind="reduced",
        shares=(2, 4, 1, 1),
        reductions=(3, 1),
        norm="none",
        activation="relu",
    )
    network = chain(block=nn.Sequential(block, nn.AvgPool2d(2)))
    parts = [branch[:-1](images) for branch in block.values()]  # without the last ReLU
    assert torch.allclose(before(network, "block", images), F.avg_pool2d(torch.cat(parts, 1), 2))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(F.relu(self.conv(images), inplace=True), 2)


@pytest.mark.parametrize("relu", [torch.relu_, torch.Tensor.relu, F.relu6, F.relu_])
def test_before_an_activation_that_is_a_function(relu: Callable) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 8, 8)
    block = Functional()
    expected = F.max_pool2d(block.conv(images), 2)
    assert torch.allclose(before(chain(block=block), "block", images), expected)
    block.forward = lambda values: relu(block.conv(values))  # type: ignore[method-assign]
    assert torch.allclose(before(chain(block=block), "block", images), block.conv(images))


def test_several_layers_in_one_pass_and_none_behind_them() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
    network = chain(one=nn.Sequential(first, nn.ReLU()), two=second, three=nn.Conv2d(5, 6, 3))
    network.three.forward = None  # type: ignore[assignment]
    images = torch.rand(2, 3, 8, 8)
    with looking_at(network) as seen:
        found = layer_responses(seen, ["two", "one.0", "one"], images, KEY)
        assert not any(m._forward_hooks for block in seen for m in block.modules())
    assert torch.allclose(found["one"].before, first(images))
    assert torch.allclose(found["one"].after, first(images).relu())
    assert torch.allclose(found["one.0"].before, first(images))
    assert torch.allclose(found["two"].after, second(first(images).relu()))


def test_layers(probe: Probe) -> None:
    network = probe.network
    assert find_layers(network, None, (16, 16), KEY) == ["block1", "block2"]
    assert find_layers(network, ["block2.0", "block1"], (16, 16), KEY) == ["block2.0", "block1"]
    many = chain(**{f"b{i}": nn.Conv2d(3, 3, 1) for i in range(6)}, pool=nn.MaxPool2d(2))
    assert find_layers(many, None, (16, 16), KEY) == ["b0", "b2", "b5"]
    for layers, message in {
        ("blok2",): r"layers: no block 'blok2'.*did you mean 'block2'",
        ("block2.9",): r"layers: no layer 'block2\.9'; did you mean 'block2\.",
        ("head",): "no block 'head'",
    }.items():
        with pytest.raises(InputError, match=message):
            find_layers(network, layers, (16, 16), KEY)
    flat = chain(conv=nn.Conv2d(3, 4, 3), flat=nn.Flatten(2), more=nn.Unflatten(2, (14, 14)))
    with pytest.raises(InputError, match=r"'flat' gives no map, its output is 3-dimensional"):
        before(flat, "flat", torch.rand(1, 3, 16, 16))
    block = nn.Sequential(OrderedDict(idle=nn.Conv2d(3, 3, 1)))
    block.forward = lambda values: values  # type: ignore[method-assign]
    idle = chain(block=block)
    with pytest.raises(InputError, match=r"'block\.idle' is not called"):
        before(idle, "block.idle", torch.rand(1, 3, 16, 16))


# --- the ascent


def test_a_convolution_is_excited_most_by_its_kernel() -> None:
    """Of all images in [0, 1] that is the one which is 1 where a weight is positive, else 0."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 5)
    network = chain(block=nn.Sequential(conv, nn.ReLU()))
    made = maximisers(network, "block", [4, 1], (16, 16), GREY, steps=60, jitter=0)
    pixels = made.float() / 255
    middle = 12 // 2  # of a map of 12x12: its kernel begins there
    for image, channel in zip(pixels, (4, 1), strict=True):
        kernel = conv.weight[channel].detach()
        part = image[:, middle : middle + 5, middle : middle + 5]
        correlation = np.corrcoef(part.flatten(), kernel.flatten())[0, 1]
        assert correlation > 0.75  # of the best one, the kernel's signs: 0.85
        most = kernel.clamp(min=0).sum()
        least = kernel.clamp(max=0).sum()
        reached = (part * kernel).sum()
        assert (reached - least) / (most - least) > 0.93


def test_what_a_relu_shuts_is_excited_all_the_same() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 2, 3)
    nn.init.constant_(conv.bias, -50.0)  # type: ignore[arg-type]
    network = chain(block=nn.Sequential(conv, nn.ReLU()))
    few, more = (
        maximisers(network, "block", [0, 1], (12, 12), GREY, steps=steps, jitter=0)
        for steps in (1, 40)
    )
    assert not network.block(more / 255).any()
    gain = conv(more / 255)[range(2), range(2), 5, 5] - conv(few / 255)[range(2), range(2), 5, 5]
    assert (gain > 0.5).all()


def test_images_repeat_and_leave_no_trace(probe: Probe) -> None:
    def make(seed: int) -> torch.Tensor:
        return maximisers(
            probe.network, "block2", [0, 3], (16, 16), GREY, steps=3, jitter=1, seed=seed
        )

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = make(5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, make(5))
    assert not torch.equal(first, make(6))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (32, 32)])
def test_waves_fall_with_their_frequency(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = FourierImage(400, size, *GREY, generator)
    assert image().shape == (400, 3, *size)
    power = torch.fft.rfft2(torch.logit(image().detach().double())).abs().square().mean(dim=(0, 1))
    assert power[2, 0] / power[1, 0] == pytest.approx(1 / 4, rel=0.2)
    assert power[0, 3] / power[0, 1] == pytest.approx(1 / 9, rel=0.2)


def test_colours_are_those_of_the_images() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.tensor([[50.0, 0, 0], [20, 10, 0], [30, 5, 3]])
    drawn = torch.randn(4, 40, 40, 3, generator=generator) @ mixed.T * 0.5
    images = (drawn + torch.tensor([100.0, 120, 140])).clamp(0, 255).byte().movedim(-1, 1)
    mean, basis = colour_basis(images)
    pixels = images.movedim(1, -1).reshape(-1, 3).numpy() / 255
    assert mean.tolist() == pytest.approx(pixels.mean(axis=0), abs=1e-5)
    covariance = np.cov(pixels.T, bias=True)
    square = (basis @ basis).double().numpy()
    assert np.allclose(square / square[0, 0], covariance / covariance[0, 0], atol=1e-3)
    assert float(basis.norm(dim=0).max()) == pytest.approx(1)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(colour_basis(grey)[1], torch.full((3, 3), 3**-0.5), atol=1e-4)
    assert torch.equal(colour_basis(torch.zeros_like(images))[1], torch.eye(3))


def test_images_move_by_at_most_the_jitter() -> None:
    spot = torch.zeros(200, 1, 33, 33)
    spot[:, :, 16, 16] = 1.0  # the centre: turning and stretching leave it there
    out = moved(spot, 4.0, torch.Generator().manual_seed(0))[:, 0]
    places = torch.arange(33.0)
    rows = (out.sum(dim=2) * places).sum(dim=1) / out.sum(dim=(1, 2)) - 16
    assert rows.abs().max() < 4.8  # 4 pixels, and their turn and stretch
    assert rows.abs().max() > 3
    assert len(rows.round(decimals=3).unique()) > 100  # each image by its own


# --- the images of the data set


def test_excitation_of_the_data_set(probe: Probe) -> None:
    with torch.no_grad():
        probe.network.block2[1].weight[1] = 0.0
        probe.network.block2[1].bias[1] = -1.0
    found = excitations(
        probe.network, ["block2"], probe.train, np.array([4, 0, 2]), probe.device, silently, KEY
    )["block2"]
    chosen = probe.images[[4, 0, 2]]
    maps = F.max_pool2d(
        probe.network.block2[:2](probe.network.block1(probe.network.normalize(chosen))), 2
    ).detach()
    assert found.size == (4, 4)
    for image in range(3):
        for channel in range(6):
            values = maps[image, channel].numpy()
            assert found.highest[image, channel] == pytest.approx(values.max(), abs=1e-5)
            if channel != 1:
                assert found.places[image, channel] == values.argmax()
    assert found.dead.tolist() == [channel == 1 for channel in range(6)]
    order = sorted(range(3), key=lambda image: -maps[image, 0].max())
    assert found.top(0, 2) == order[:2]


def test_what_a_response_sees() -> None:
    """Of a 3x3 convolution with stride 2: nine pixels, from twice the place on."""
    conv = nn.Conv2d(3, 4, 3, stride=2)
    nn.init.ones_(conv.weight)
    network = chain(block=conv)
    images = torch.zeros(3, 3, 13, 13, dtype=torch.uint8)
    places = torch.tensor([0, 2 * 6 + 5, 5 * 6 + 1])  # maps of 6x6
    corners, side = seen_parts(network, "block", images, torch.tensor([0, 3, 1]), places, KEY)
    assert side == 3
    assert corners.tolist() == [[0, 0], [4, 10], [10, 2]]


# --- the pictures


def test_numbers_are_those_of_the_network(probe: Probe, tiles: Tiles) -> None:
    """A map of one place sees the whole image: what is drawn is what was made."""
    whole = nn.Sequential(nn.Conv2d(3, 5, 16), nn.ReLU())
    nn.init.normal_(whole[0].weight, std=0.1)
    nn.init.constant_(whole[0].bias, 20.0)  # else the ReLU shuts some, and they are dead
    network = chain(block=whole)
    picture = filters(replace(probe, network=network), count=3, steps=5)["filters_block"]
    numbers = picture.numbers
    responses = whole[0](probe.images / 255.0)[:, :, 0, 0].detach().numpy()
    assert numbers["channels"] == np.argsort(-responses.std(axis=0)).tolist()[:3]
    cells = [tile.get_array() for (tile,) in tiles(picture.figure)]
    assert len(cells) == 3 * 5
    for i, channel in enumerate(numbers["channels"]):
        made = torch.from_numpy(np.asarray(cells[5 * i])).permute(2, 0, 1)[None]
        assert made.shape == (1, 3, 16, 16)
        reached = float(whole[0](made / 255.0)[0, channel].detach())
        best = float(responses[:, channel].max())
        assert numbers["reached"][i] == pytest.approx(reached, abs=1e-4)
        assert numbers["best_image"][i] == pytest.approx(best, abs=1e-4)
        order = np.argsort(-responses[:, channel])[:4]
        assert numbers["images"][i] == [f"{image}.png" for image in order]
        for cell, image in zip(cells[5 * i + 1 :], order, strict=False):
            assert np.array_equal(cell, probe.images[image].permute(1, 2, 0))
        texts = [text.get_text() for text in picture.figure.texts]
        sign = ">" if reached > best else "≤"
        assert f"made {reached:.3g} {sign} found {best:.3g}" in texts
    higher = [a > b for a, b in zip(numbers["reached"], numbers["best_image"], strict=True)]
    assert numbers["share_above_best_image"] == pytest.approx(sum(higher) / 3)


def test_only_some_images_are_searched(probe: Probe, tiles: Tiles) -> None:
    """Two of five, neither of them the first two: what is drawn is what is named."""
    network = chain(block=nn.Conv2d(3, 2, 16))
    picture = filters(replace(probe, network=network), searched=2, steps=1)["filters_block"]
    responses = network.block(probe.images / 255.0)[:, :, 0, 0].tolist()
    cells = iter(tile.get_array() for (tile,) in tiles(picture.figure))
    names = picture.numbers["images"]
    assert {name for row in names for name in row} == {"2.png", "4.png"}
    for channel, row, best in zip(
        picture.numbers["channels"], names, picture.numbers["best_image"], strict=True
    ):
        next(cells)
        for name in row:
            assert np.array_equal(next(cells), probe.images[int(name[0])].permute(1, 2, 0))
        assert best == pytest.approx(responses[int(row[0][0])][channel], abs=1e-4)
        assert best == pytest.approx(max(responses[i][channel] for i in (2, 4)), abs=1e-4)


def test_dead_channels_are_named_not_drawn(probe: Probe) -> None:
    with torch.no_grad():
        probe.network.block2[1].weight[[1, 4]] = 0.0
        probe.network.block2[1].bias[[1, 4]] = -1.0
    picture = filters(probe, layers=["block2"], steps=1)["filters_block2"]
    assert sorted(picture.numbers["channels"]) == [0, 2, 3, 5]
    assert picture.numbers["dead"] == [1, 4]
    texts = [text.get_text() for text in picture.figure.texts]
    assert any(text.startswith("2 dead, ") and text.endswith("#1, #4") for text in texts)
    asked = filters(probe, layers=["block2"], channels=[4, 3], steps=1)["filters_block2"]
    assert asked.numbers["channels"] == [3]
    none = filters(probe, layers=["block2"], channels=[4], steps=1)["filters_block2"]
    assert none.numbers["share_above_best_image"] is None
    assert not none.figure.axes


def test_images_are_made_no_larger_than_what_a_place_sees(
    make_probe: Callable[..., Probe], images: torch.Tensor, tiles: Tiles
) -> None:
    """A 3x3 convolution: of 16x16 pixels a few; what is found is cut where it excites."""
    torch.manual_seed(0)
    network = chain(block=nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    probe = make_probe(network, images, torch.tensor([0, 1, 0, 1, 0]), ("a", "b"))
    sizes: set[tuple[int, ...]] = set()
    network.block.register_forward_pre_hook(lambda module, given: sizes.add(given[0].shape[2:]))
    picture = filters(probe, count=4, steps=30)["filters_block"]
    assert sizes == {(16, 16), (8, 8)}
    cells = [np.array(tile.get_array()) for (tile,) in tiles(picture.figure)]
    convolution = network.block[0]
    for i, channel in enumerate(picture.numbers["channels"]):
        found = torch.from_numpy(cells[5 * i + 1]).permute(2, 0, 1) / 255
        assert found.shape == (3, 3, 3)
        response = convolution(found[None])[0, channel].item()
        assert response == pytest.approx(picture.numbers["best_image"][i], abs=1e-4)
    assert picture.numbers["share_above_best_image"] >= 0.75


def test_ascent_passes_the_best_image(probe: Probe) -> None:
    for picture in filters(probe, steps=40).values():
        assert picture.numbers["share_above_best_image"] == 1.0


@pytest.mark.parametrize("channels", [[6], [0, 99]])
def test_a_channel_out_of_range_is_refused(probe: Probe, channels: list[int]) -> None:
    with pytest.raises(InputError, match=r"filters\.channels: block2 has no channel .*0 to 5"):
        filters(probe, layers=["block2"], channels=channels)


def test_rehearsal_makes_one_step_of_two_channels(probe: Probe, images: torch.Tensor) -> None:
    steps: list[tuple[str, int]] = []

    def note(items: Sequence, title: str) -> Sequence:
        steps.append((title, len(items)))
        return items

    few = replace(probe, images=images[:2], rehearsal=True, progress=note)
    pictures = filters(few, channels=[0, 1, 2])
    assert [len(p.numbers["channels"]) for p in pictures.values()] == [2, 2]
    assert [n for title, n in steps if title.startswith("filters of")] == [1, 1]


def test_many_channels_are_made_in_batches(
    make_probe: Callable[..., Probe], images: torch.Tensor
) -> None:
    """One logit, a layer inside a block, 40 channels: more than are made at a time."""
    torch.manual_seed(0)
    network = chain(block=nn.Sequential(nn.Conv2d(3, 40, 3), nn.ReLU()))
    network.head[2] = nn.Linear(40, 1)
    probe = make_probe(network, images, torch.tensor([0, 1, 0, 1, 0]), ("a", "b"))
    pictures = filters(probe, layers=["block.0"], count=40, steps=30)
    (picture,) = pictures.values()
    assert list(pictures) == ["filters_block_0"]
    assert sorted(picture.numbers["channels"]) == list(range(40))
    assert picture.numbers["share_above_best_image"] >= 0.9


class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("planted")


class FailsOnTheWayBack(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return FailsBackward.apply(values)


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_stays_as_it_was(probe: Probe, fails: bool) -> None:
    network = probe.network.train()
    network.block1.eval().requires_grad_(False)
    network.block2[2].inplace = True
    network.block2[0].weight.grad = grad = torch.ones_like(network.block2[0].weight)
    if fails:
        network.block2.append(FailsOnTheWayBack())
    network.block2[1].register_forward_hook(lambda module, given, gave: None)

    def state() -> list:
        return [
            (name, m.training, getattr(m, "inplace", None), dict(m._forward_hooks))
            for name, m in network.named_modules()
        ] + [(n, id(p), p.tolist(), p.requires_grad) for n, p in network.named_parameters()]

    before = state()
    if fails:
        with pytest.raises(RuntimeError, match="planted"):
            filters(probe, steps=2)
    else:
        filters(probe, steps=2)
    assert state() == before
    assert network.block2[0].weight.grad is grad
    assert bool((grad == 1).all())


def test_images_are_made_in_float32() -> None:
    """Whatever the network runs in: in bfloat16 a pixel's place is half a pixel off."""

    def made() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        image = FourierImage(2, (96, 96), *GREY, generator)
        weights = torch.rand(3, 96, 96, generator=generator)
        return ascend(
            image,
            lambda images: (images * weights).sum(dim=(1, 2, 3)),
            range(3),
            jitter=6.0,
            generator=generator,
        )

    with torch.autocast("cpu", torch.bfloat16):
        found = made()
    assert torch.equal(found, made())
