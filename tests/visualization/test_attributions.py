"""Each attribution method against its definition, computed with autograd or by brute force."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnexp.errors import InputError
from cnnexp.visualization import attributions as module
from cnnexp.visualization.attributions import METHODS, attribution_maps, attributions, mean_colour
from cnnexp.visualization.gradcam import gradcam_maps
from cnnexp.visualization.looking import looking_in
from cnnexp.visualization.probe import Probe

Tiles = Callable[..., list[list[Any]]]

Make = Callable[..., nn.Sequential]
TARGETS = torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture
def floats(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255


@pytest.fixture
def network(make_network: Make) -> nn.Sequential:
    return make_network(inplace=True)


def one(
    network: nn.Sequential, method: str, images: torch.Tensor, targets: torch.Tensor, **more: int
) -> torch.Tensor:
    maps, left_out = attribution_maps(network, images, targets, [method], **more)
    assert not left_out
    values = maps[method]
    assert (values.shape, values.dtype) == ((len(images), *images.shape[2:]), torch.float32)
    assert not values.requires_grad
    assert values.min() >= 0
    assert values.any()
    return values


def gradient(network: nn.Sequential, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of the classes' logits with respect to the images."""
    images = images.detach().clone().requires_grad_()
    scores = network(images)
    if scores.shape[1] == 1:
        scores = torch.cat([-scores, scores], dim=1)
    scores[torch.arange(len(images)), targets].sum().backward()
    assert images.grad is not None
    return images.grad


def test_saliency(network: nn.Sequential, images: torch.Tensor, floats: torch.Tensor) -> None:
    expected = gradient(network, floats, TARGETS).abs().sum(dim=1)
    assert torch.allclose(one(network, "saliency", floats, TARGETS), expected, atol=1e-6)
    assert torch.allclose(one(network, "saliency", images, TARGETS), expected, atol=1e-6)


def test_saliency_of_one_logit(make_network: Make, floats: torch.Tensor) -> None:
    """The logit speaks for class 1, and its negative for class 0: what adds differs, not |.|."""
    network = make_network(outputs=1)
    zero, ones = torch.zeros(5).long(), torch.ones(5).long()
    expected = gradient(network, floats, zero).abs().sum(dim=1)
    for targets in (zero, ones):
        assert torch.allclose(one(network, "saliency", floats, targets), expected, atol=1e-6)
    start = mean_colour(floats)
    found = one(network, "integrated_gradients", floats, zero, samples=64)
    other = one(network, "integrated_gradients", floats, ones, samples=64)
    assert not ((found > 0) & (other > 0)).any()
    with torch.no_grad():
        change = (network(start) - network(floats))[:, 0]  # of class 0's score
    assert torch.allclose((found - other).sum(dim=(1, 2)), change, atol=0.05)


def test_integrated_gradients(network: nn.Sequential, floats: torch.Tensor) -> None:
    """A Riemann sum from the mean colour; and all contributions together are the score's change."""
    start = mean_colour(floats)
    assert torch.allclose(start[2, :, 5, 7], floats[2].mean(dim=(1, 2)))
    steps = 400
    total = torch.zeros_like(floats)
    for step in range(steps):
        point = start + (step + 0.5) / steps * (floats - start)
        total += gradient(network, point, TARGETS) / steps
    signed = (total * (floats - start)).sum(dim=1)
    with torch.no_grad():
        change = (network(floats) - network(start)).gather(1, TARGETS[:, None])[:, 0]
    assert torch.allclose(signed.sum(dim=(1, 2)), change, atol=0.01)  # the sum itself is right
    found = one(network, "integrated_gradients", floats, TARGETS, samples=128)
    assert torch.allclose(found, signed.relu(), atol=0.02 * float(signed.max()))


def test_smoothgrad_without_noise_is_saliency(
    network: nn.Sequential, floats: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = one(network, "saliency", floats, TARGETS)
    noisy = one(network, "smoothgrad", floats, TARGETS, samples=4)
    assert not torch.allclose(noisy, plain, rtol=0.1)
    monkeypatch.setattr(module, "NOISE", 0.0)
    assert torch.allclose(one(network, "smoothgrad", floats, TARGETS, samples=4), plain, atol=1e-6)


def test_smoothgrad_is_the_mean_over_noisy_copies(
    network: nn.Sequential, floats: torch.Tensor
) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        noise = torch.normal(0.0, torch.full((8, 3, 16, 16), 0.15))
    state = torch.get_rng_state()
    found = one(network, "smoothgrad", floats, TARGETS, samples=8)
    assert torch.equal(torch.get_rng_state(), state)
    for i in range(5):
        copies = floats[i] + noise
        expected = gradient(network, copies, TARGETS[i].expand(8)).mean(dim=0).abs().sum(dim=0)
        assert torch.allclose(found[i], expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_occlusion_by_brute_force(
    network: nn.Sequential, floats: torch.Tensor, precision: str
) -> None:
    """16 pixels, 18 gradients: 6 windows of 4 across, 3 apart, the last one cut off at the edge.
    In float32 always: small differences are what is measured.
    """
    images = floats[:2]
    with looking_in(precision):
        found = one(network, "occlusion", images, TARGETS[:2], samples=18)
    for i in range(2):
        colour = images[i].mean(dim=(1, 2))[:, None, None]
        falls, counts = torch.zeros(16, 16), torch.zeros(16, 16)
        with torch.no_grad():
            score = network(images[i : i + 1])[0, TARGETS[i]]
            for y in range(0, 16, 3):
                for x in range(0, 16, 3):
                    if y >= 15 or x >= 15:
                        continue  # windows begin at 0, 3, … 12: the last reaches the edge
                    hidden = images[i].clone()
                    hidden[:, y : y + 4, x : x + 4] = colour
                    falls[y : y + 4, x : x + 4] += score - network(hidden[None])[0, TARGETS[i]]
                    counts[y : y + 4, x : x + 4] += 1
        assert counts.min() >= 1
        assert torch.allclose(found[i], (falls / counts).relu(), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 7, 16, 40])
@pytest.mark.parametrize("size", [(5, 5), (8, 12), (33, 20)])
def test_occlusion_covers_any_image(samples: int, size: tuple[int, int]) -> None:
    """Every pixel of a sum counts as much: hidden by grey 0.5, each place falls by some of it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], 1, bias=False))
    nn.init.ones_(network[1].weight)
    images = torch.rand(1, 3, *size)
    asked = []
    network.register_forward_hook(lambda _, args, out: asked.append(len(out)))
    maps = METHODS["occlusion"][0](network, images, torch.tensor([1]), samples)
    assert maps.shape == (1, *size)
    assert sum(asked) <= 20 + 4 * samples  # as long as that many gradients, but for a few


def test_gradcam_and_hirescam_by_hand(network: nn.Sequential, floats: torch.Tensor) -> None:
    """block2's maps are 4x4, the head one dense layer: its weights are the gradient."""
    found = one(network, "hirescam", floats, TARGETS)
    with torch.no_grad():
        maps = network[:3](floats)  # (5, 6, 4, 4)
        weights = network.head[1].weight.view(3, 6, 4, 4)[TARGETS]
        small = (maps * weights).sum(dim=1, keepdim=True).relu()
    expected = F.interpolate(small, size=(16, 16), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(found, expected, atol=1e-6)
    cam = one(network, "gradcam", floats, TARGETS)
    assert torch.equal(cam, gradcam_maps(network, floats, TARGETS).maps)
    assert not torch.allclose(cam, found, atol=1e-2)


class InPlaceHead(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(F.relu(values, inplace=True))


def test_hirescam_before_a_function_in_place(network: nn.Sequential, floats: torch.Tensor) -> None:
    """The block's maps are what it gave, not what the next one left of them."""
    network.block2 = nn.Sequential(*list(network.block2)[:2], nn.AvgPool2d(2))  # signed
    network.head = InPlaceHead(network.head)
    found = one(network, "hirescam", floats, TARGETS)
    with torch.no_grad():
        maps = network[:3](floats)
        weights = network.head.inner[1].weight.view(3, 6, 4, 4)[TARGETS] * (maps > 0)
        small = (maps * weights).sum(dim=1, keepdim=True).relu()
    expected = F.interpolate(small, size=(16, 16), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])
def test_modified_gradients(method: str, network: nn.Sequential, floats: torch.Tensor) -> None:
    """Against a network with a ReLU of our own; more of this in test_projection.py."""
    found = one(network, method, floats, TARGETS)
    plain = one(network, "saliency", floats, TARGETS)

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(values)
            return values.relu()

        @staticmethod
        def backward(ctx, above: torch.Tensor) -> torch.Tensor:
            (values,) = ctx.saved_tensors
            return above.relu() * ((values > 0) if method == "guided_backprop" else 1.0)

    class OwnModule(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return Own.apply(values)

    network.block1[2], network.block2[2] = OwnModule(), OwnModule()
    expected = gradient(network, floats, TARGETS).abs().sum(dim=1)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, plain, atol=1e-3)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_images_do_not_change_each_other(
    method: str, network: nn.Sequential, floats: torch.Tensor
) -> None:
    many, targets = floats.repeat(5, 1, 1, 1), TARGETS.repeat(5)  # 25: more than one part
    found = one(network, method, many, targets, samples=3)
    alone = attribution_maps(network, many[21:22], targets[21:22], [method], samples=3)[0][method]
    assert torch.allclose(found[21:22], alone, atol=1e-6)


class Function(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return F.relu(values)


def test_what_would_be_wrong_is_left_out(network: nn.Sequential, floats: torch.Tensor) -> None:
    network.block2[2] = Function()
    maps, left_out = attribution_maps(network, floats, TARGETS, samples=1)
    reason = "block2 calls ReLU as a function, where it must be a module, nn.ReLU"
    assert left_out == {"guided_backprop": reason, "deconvolution": reason}
    assert list(maps) == [name for name in METHODS if name not in left_out]
    with pytest.raises(InputError, match=r"^deconvolution: block2 calls ReLU"):
        attribution_maps(network, floats, TARGETS, ["deconvolution"])


def test_small_maps_leave_cams_out(make_network: Make) -> None:
    network = make_network((2, 2), size=6)
    images = torch.rand(1, 3, 6, 6)
    maps, left_out = attribution_maps(network, images, torch.tensor([0]), samples=1)
    assert set(left_out) == {"gradcam", "hirescam"}
    assert "no block before the head has a map of at least 4x4" in left_out["hirescam"]
    assert len(maps) == 6


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (
            ["salience"],
            "methods: no method 'salience'; did you mean 'saliency'.*there is saliency, ",
        ),
        ([], "methods: none is named; there is saliency, "),
    ],
)
def test_wrong_methods(
    methods: list[str], words: str, network: nn.Sequential, floats: torch.Tensor
) -> None:
    with pytest.raises(InputError, match=words):
        attribution_maps(network, floats, TARGETS, methods)


@pytest.fixture
def probe(network: nn.Sequential, make_probe: Callable[..., Probe], images: torch.Tensor) -> Probe:
    masks = torch.zeros(5, 16, 16, dtype=torch.bool)
    masks[:, 4:12, 4:12] = True
    return make_probe(network, images, TARGETS, ("cat", "dog", "owl"), masks=masks)


def test_picture(probe: Probe, tiles: Tiles) -> None:
    options = {"images": 3, "samples": 2, "methods": ["gradcam", "saliency"]}
    (picture,) = attributions(probe, **options).values()
    cells = [tile for tile in tiles(picture.figure) if len(tile) == 2]
    said = probe.network(probe.images[:3]).argmax(dim=1)
    maps, _ = attribution_maps(probe.network, probe.images[:3], said, options["methods"])
    texts = [text.get_text() for text in picture.figure.texts]
    for cell, values in zip(cells, torch.cat([maps["gradcam"], maps["saliency"]]), strict=True):
        heat = cell[1]
        assert np.allclose(heat.get_array(), values, atol=1e-6)
        assert heat.norm.vmax == pytest.approx(float(values.quantile(0.99)))
        assert heat.norm.vmin == 0
        assert f"max {values.max():.3g}" in texts
    scores = picture.numbers["scores"]
    assert list(scores) == ["gradcam", "saliency"]
    assert set(scores["saliency"]) == {"deletion", "insertion", "randomised", "hits", "inside"}
    assert set(picture.numbers["references"]) == {"gradcam", "saliency"}
    assert 0 <= picture.numbers["references"]["saliency"]["hits"] <= 1
    assert sum("on the object" in text for text in texts) == 2
    assert any(text.startswith(f"{scores['saliency']['deletion']:.2f}") for text in texts)


def test_a_failing_method_is_named(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    edges = (lambda n, x, t, s: x.diff(dim=3, prepend=x[..., :1]).abs().sum(dim=1), "edges", "none")
    monkeypatch.setitem(METHODS, "edges", edges)
    (picture,) = attributions(probe, images=2, samples=1, methods=["edges", "saliency"]).values()
    said = "Random weights give much the same map by edges: on these images it has little to do"
    assert said in " ".join(text.get_text() for text in picture.figure.texts)
    assert said in picture.reading
    assert picture.numbers["failing"] == ["edges"]
    assert "1.00 ✗" in [text.get_text() for text in picture.figure.texts]


def test_zero_maps_are_zero(probe: Probe, tiles: Tiles) -> None:
    nn.init.zeros_(probe.network.head[1].weight)
    (picture,) = attributions(probe, images=1, samples=1).values()
    texts = [text.get_text() for text in picture.figure.texts]
    assert texts.count("zero everywhere") == len(METHODS)
    _image, *cells = tiles(picture.figure)
    assert len(cells) == len(METHODS)
    for _grey, heat in cells:
        assert not heat.to_rgba(heat.get_array())[..., 3].any()


def test_reasons_stand_in_the_picture(probe: Probe) -> None:
    probe.network.block1[2] = nn.GELU()
    (picture,) = attributions(probe, images=1, samples=1).values()
    texts = " ".join(text.get_text() for text in picture.figure.texts)
    assert (
        "Left out: guided_backprop: block1 has Gelu, and the rule is one for ReLU alone." in texts
    )
    assert list(picture.numbers["left_out"]) == ["guided_backprop", "deconvolution"]


@pytest.mark.parametrize("outputs", [1, 3])
def test_rehearsal_does_the_least(
    outputs: int, make_network: Make, make_probe: Callable[..., Probe], images: torch.Tensor
) -> None:
    network, passed = make_network(outputs=outputs), []
    probe = make_probe(network, images[:2], TARGETS[:2], ("a", "b", "c"), rehearsal=True)
    network.register_forward_hook(lambda _, args, out: passed.append(len(out)))
    (picture,) = attributions(probe).values()
    assert list(picture.numbers["scores"]) == list(METHODS)
    assert sum(passed) < 100


class Fails(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if values.requires_grad:
            values.register_hook(self.fail)
        return values * 1

    def fail(self, gradient: torch.Tensor) -> None:
        raise RuntimeError("planted")


def state(network: nn.Module) -> list[object]:
    found: list[object] = []
    for name, part in network.named_modules():
        tables = {k: list(v) for k, v in vars(part).items() if "hook" in k and hasattr(v, "items")}
        found.append((name, part.training, getattr(part, "inplace", None), tables))
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        found.append((name, id(tensor), tensor.requires_grad, tensor.grad, tensor.tolist()))
    return found


@pytest.mark.parametrize("method", [None, *METHODS])
def test_all_is_as_before(method: str | None, probe: Probe) -> None:
    """After success, and for each method after a failure on its way back (or forth)."""
    network = probe.network.train()
    network.block1.eval().requires_grad_(False)
    network.block1[2].register_forward_hook(lambda *_: None)
    if method is not None:
        fails = Fails()
        network.head.insert(0, fails)
        if method == "occlusion":
            fails.forward = fails.fail  # it has no way back
    before, random = state(network), torch.get_rng_state()
    if method is None:
        attributions(probe, images=2, samples=2)
    else:
        with pytest.raises(RuntimeError, match="planted"):
            attributions(probe, images=2, samples=2, methods=[method])
    assert state(network) == before
    assert torch.equal(torch.get_rng_state(), random)
