"""Deconvolution and guided backpropagation: right, or refused with a reason."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnexp.errors import InputError
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Probe
from cnnexp.visualization.projection import (
    gradient_by,
    project,
    projection,
    reach,
    why_not_modified,
)

Tiles = Callable[..., list[list[Any]]]

Make = Callable[..., nn.Sequential]


class OwnReLU(torch.autograd.Function):
    """The definitions, written again: Springenberg et al. 2015, figure 1."""

    @staticmethod
    def forward(ctx, values: torch.Tensor, rule: str) -> torch.Tensor:
        ctx.save_for_backward(values)
        ctx.rule = rule
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx, above: torch.Tensor) -> tuple[torch.Tensor, None]:
        (values,) = ctx.saved_tensors
        masks = {"gradient": values > 0, "deconvolution": above > 0}
        masks["guided"] = masks["gradient"] & masks["deconvolution"]
        return torch.where(masks[ctx.rule], above, torch.zeros_like(above)), None


class Rectifier(nn.Module):
    """All networks below call `self.act`, one module, or what stands in for it."""

    def __init__(self, act: Callable[[torch.Tensor], torch.Tensor], kind: str) -> None:
        super().__init__()
        self.act, self.kind = act, kind
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.other = nn.Conv2d(3, 4, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        match self.kind:
            case "chain":  # the same module twice
                return self.act(self.two(self.act(self.one(values))))
            case "shortcut":  # what goes into the ReLU goes elsewhere, too
                before = self.one(values)
                return before + self.two(self.act(before))
            case "branches":  # two calls side by side, both before either is needed
                first, second = self.one(values), self.other(values)
                return self.act(first) - 2 * self.act(second)
            case "twice":  # two calls on one tensor
                before = self.one(values)
                return self.act(before) + self.two(self.act(before))
        raise AssertionError


def built(act: Callable[[torch.Tensor], torch.Tensor], kind: str) -> nn.Sequential:
    torch.manual_seed(3)
    block, flat = Rectifier(act, kind), nn.Flatten()
    head = nn.Sequential(flat, nn.Linear(4 * 36, 3))
    return nn.Sequential(OrderedDict(normalize=nn.Identity(), block1=block, head=head)).eval()


@pytest.fixture
def small() -> torch.Tensor:
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(5))


def by_hand(network: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    images = images.clone().requires_grad_()
    network(images).gather(1, targets[:, None]).sum().backward()
    assert images.grad is not None
    return images.grad


@pytest.mark.parametrize("kind", ["chain", "shortcut", "branches", "twice"])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("rule", ["gradient", "deconvolution", "guided"])
def test_rules_against_an_own_function(
    kind: str, inplace: bool, rule: str, small: torch.Tensor
) -> None:
    targets = torch.tensor([0, 1, 2, 0])
    expected = by_hand(built(lambda x: OwnReLU.apply(x, rule), kind), small, targets)
    if rule != "gradient":
        plain = by_hand(built(F.relu, kind), small, targets)
        assert not torch.allclose(plain, expected, atol=1e-3)  # else this would prove nothing
    with looking_at(built(nn.ReLU(inplace), kind)) as network:
        assert why_not_modified(network, small) is None
        found = gradient_by(rule, network, small, targets)  # type: ignore[arg-type]
    assert torch.allclose(found, expected, atol=1e-6)
    assert not found.requires_grad


class ReLUOfAScale(nn.Module):
    """An nn.ReLU that no image goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.act = nn.Parameter(torch.ones(1)), nn.ReLU()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.act(self.scale)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.act(input=values)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (F.relu, "block1 calls ReLU as a function"),
        (torch.relu, "block1 calls ReLU as a function"),
        (lambda x: F.relu(x, inplace=True), "block1 calls ReLU as a function"),
        (lambda x: x.relu_(), "block1 calls ReLU as a function"),
        (lambda x: x.clamp(min=0), "block1 has Clamp"),
        (lambda x: torch.maximum(x, torch.zeros(())), "block1 has Maximum"),
        (lambda x: torch.where(x > 0, x, 0.0), "block1 has Where"),
        (lambda x: x.masked_fill(x < 0, 0.0), "block1 has MaskedFill"),
        (nn.GELU(), "block1 has Gelu"),
        (nn.SiLU(), "block1 has Silu"),
        (nn.LeakyReLU(0.1), "block1 has LeakyRelu"),
        (nn.PReLU(), "block1 has PreluKernel"),
        (nn.ReLU6(), "block1 has Hardtanh"),
        (nn.ELU(), "block1 has Elu"),
        (nn.Hardswish(), "block1 has Hardswish"),
        (nn.Softplus(), "block1 has Softplus"),
        (
            lambda x: OwnReLU.apply(x, "gradient"),
            "block1 has a function with a gradient",
        ),
        (nn.Tanh(), "the network has no ReLU"),
        (lambda x: x, "the network has no ReLU"),
        (nn.Sequential(nn.ReLU(), ReLUOfAScale()), "block1 calls nn.ReLU in a way"),
        (Named(), "block1 calls nn.ReLU in a way"),
    ],
)
def test_refused_with_a_reason(act: Callable, words: str, small: torch.Tensor) -> None:
    with looking_at(built(act, "chain")) as network:
        reason = why_not_modified(network, small)
    assert reason is not None
    assert reason.startswith(words)


def test_a_function_beside_modules_is_found(small: torch.Tensor) -> None:
    """As many modules are called as there are ReLUs on the way; but not the same ones."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            self.act(values)  # leads nowhere
            return F.relu(values)

    with looking_at(built(Beside(), "chain")) as network:
        assert "as a function" in str(why_not_modified(network, small))


def test_projection_by_hand() -> None:
    """Two channels, red and -green + 1/2, ReLU, pooled by 2: back from its maximum."""
    conv = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0], conv.weight[1, 1] = 3.0, -1.0
        conv.bias.copy_(torch.tensor([0.0, 0.5]))
    block = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2))
    head = nn.Sequential(nn.Flatten(), nn.Linear(32, 2))
    network = nn.Sequential(OrderedDict(normalize=nn.Identity(), block1=block, head=head)).eval()
    images = torch.zeros(2, 3, 8, 8)
    images[0, 0, 2, 5] = 1.0  # red
    images[1, 1] = 1.0  # green but for one pixel
    images[1, 1, 7, 0] = 0.25
    found = project(network, images)
    assert found.block == "block1"
    assert found.refused is None
    assert found.channels.tolist() == [0, 1]
    assert torch.allclose(found.values, torch.tensor([3.0, 0.25]))
    expected = torch.zeros(2, 3, 8, 8)
    expected[0, 0, 2, 5] = 3.0
    expected[1, 1, 7, 0] = -1.0
    assert list(found.pixels) == ["gradient", "deconvolution", "guided"]
    for pixels in found.pixels.values():
        assert torch.allclose(pixels, expected)
    assert reach(found.pixels["guided"][0]) == (5, 2, 1, 1)
    other = project(network, images, "block1", 1)
    assert other.channels.tolist() == [1, 1]
    assert torch.allclose(other.values, torch.tensor([0.5, 0.25]))
    whole = (images * 255).byte()  # 0.25 is 63 of 255 then
    assert torch.allclose(project(network, whole).values, torch.tensor([3.0, 0.5 - 63 / 255]))


def test_reach() -> None:
    pixels = torch.zeros(3, 6, 9)
    assert reach(pixels) is None
    pixels[0, 1, 4], pixels[2, 3, 2] = -1.0, 2.0
    assert reach(pixels) == (2, 1, 3, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"block": "blok1"}, "projection.block: no block 'blok1'.*did you mean 'block1'"),
        ({"block": "head"}, "projection.block: no block 'head' before the head"),
        ({"block": "flat"}, "projection.block: block 'flat' gives no map"),
        ({"channel": 6}, "projection.channel=6: block2 has channels 0 to 5"),
    ],
)
def test_wrong_settings(
    make_network: Make, images: torch.Tensor, options: dict, words: str
) -> None:
    network = make_network()
    head = network.head
    del network.head
    network.flat, network.head = head[0], head[1]
    with pytest.raises(InputError, match=words):
        project(network, images, **options)


def words_of(figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("outputs", [1, 3])
def test_picture(
    outputs: int,
    make_network: Make,
    make_probe: Callable[..., Probe],
    images: torch.Tensor,
    tiles: Tiles,
) -> None:
    probe = make_probe(
        make_network(outputs=outputs), images, torch.tensor([0, 1, 1, 0, 1]), ("cat", "dog", "owl")
    )
    (picture,) = projection(probe, images=2).values()
    found = project(probe.network, images[:2])
    shown = tiles(picture.figure)
    assert len(shown) == 2 * 4
    assert len(picture.figure.artists) == 2 * 2  # the box, in two colours
    for row in range(2):
        box, place = picture.figure.artists[2 * row], shown[row][0].get_window_extent()
        left, top, wide, high = (side / 16 for side in reach(found.pixels["gradient"][row]))
        assert box.get_window_extent().bounds == pytest.approx(
            (
                place.x0 + left * place.width,
                place.y1 - (top + high) * place.height,
                wide * place.width,
                high * place.height,
            )
        )
    first = shown[2][0].get_array()  # of row 0, the gradient
    pixels = found.pixels["gradient"][0]
    expected = 0.5 + pixels / (2 * pixels.abs().max())
    assert np.allclose(first, expected.permute(1, 2, 0), atol=1e-6)
    assert f"channel {found.channels[0]}, response {found.values[0]:.3g}" in words_of(
        picture.figure
    )
    assert picture.numbers["channels"] == found.channels.tolist()


def test_picture_without_rules_says_why(
    make_network: Make, make_probe: Callable[..., Probe], images: torch.Tensor, tiles: Tiles
) -> None:
    network = make_network()
    network.block1[2] = nn.SiLU()
    probe = make_probe(network, images, torch.tensor([0, 1, 2, 0, 1]), ("a", "b", "c"))
    (picture,) = projection(probe, images=2).values()
    assert len(tiles(picture.figure)) == 2 * 2
    assert "No deconvolution, no guided: block1 has Silu" in words_of(picture.figure)


def test_zeros_are_grey(
    make_network: Make, make_probe: Callable[..., Probe], images: torch.Tensor, tiles: Tiles
) -> None:
    network = make_network()
    nn.init.constant_(network.block2[1].weight, 0.0)
    probe = make_probe(network, images, torch.tensor([0, 1, 2, 0, 1]), ("a", "b", "c"))
    figure = projection(probe, images=1)["projection"].figure
    assert words_of(figure).count("zero everywhere") == 3
    cells = tiles(figure)[1:]
    assert {float(x) for (tile,) in cells for x in tile.get_array().ravel()} == {0.5}


class Fails(nn.Module):
    """On the way back, when its time has come."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if values.requires_grad:
            values.register_hook(self.fail)
        return values * 1

    def fail(self, gradient: torch.Tensor) -> None:
        raise RuntimeError("planted")


def state(network: nn.Module) -> list[object]:
    found: list[object] = []
    for name, module in network.named_modules():
        tables = {
            k: list(v) for k, v in vars(module).items() if "hook" in k and hasattr(v, "items")
        }
        found.append((name, module.training, getattr(module, "inplace", None), tables))
    for name, tensor in network.named_parameters():
        found.append((name, tensor.requires_grad, tensor.grad, tensor.tolist()))
    return found


@pytest.mark.parametrize("fails", [False, True])
def test_all_is_as_before(
    fails: bool, make_network: Make, make_probe: Callable[..., Probe], images: torch.Tensor
) -> None:
    network = make_network(inplace=True)
    probe = make_probe(network, images, torch.tensor([0, 1, 2, 0, 1]), ("a", "b", "c"))
    network.train()
    network.block1.eval().requires_grad_(False)
    network.block1[2].register_forward_hook(lambda *_: None)
    if fails:
        network.block1.append(Fails())
    before, random = state(network), torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="planted"):
            projection(probe)
    else:
        projection(probe)
    assert state(network) == before
    assert torch.equal(torch.get_rng_state(), random)
