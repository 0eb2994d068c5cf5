"""torchvision's and timm's networks as chains: the same logits, and all that a chain owes."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cnnexp.errors import InputError
from cnnexp.models.anatomy import anatomy
from cnnexp.models.cut import chain
from cnnexp.models.timm import timm as timm_model
from cnnexp.models.torchvision import torchvision as torchvision_model
from cnnexp.visualization.layers import block_shapes, default_layer

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLASSES = 7

# name -> size of the images, and the blocks before the head, all of them or the first ones.
TORCHVISION = {
    "resnet18": (64, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
    "resnext50_32x4d": (64, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
    "alexnet": (64, [f"features_{i}" for i in (0, 3, 6, 8, 10)]),
    "densenet121": (
        64, ["conv0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3",
             "transition3", "denseblock4"]),
    "mobilenet_v2": (64, [f"features_{i}" for i in range(19)]),
    "mobilenet_v3_small": (64, [f"features_{i}" for i in range(13)]),
    "efficientnet_b0": (64, [f"features_{i}" for i in range(9)]),
    "convnext_tiny": (64, [f"features_{i}" for i in range(8)]),
    "regnet_y_400mf": (64, ["stem", "block1", "block2", "block3", "block4"]),
    "regnet_x_400mf": (64, ["stem", "block1", "block2", "block3", "block4"]),
    "shufflenet_v2_x1_0": (64, ["conv1", "stage2", "stage3", "stage4", "conv5"]),
    "squeezenet1_1": (64, [f"features_{i}" for i in (0, 3, 4, 6, 7, 9, 10, 11, 12)]),
    "mnasnet0_5": (64, [f"layers_{i}" for i in (0, 3, 6, 8, 9, 10, 11, 12, 13, 14)]),
    "googlenet": (64, ["conv1", "conv2", "conv3", "inception3a"]),
    "inception_v3": (80, ["conv2d_1a_3x3", "conv2d_2a_3x3", "conv2d_2b_3x3", "conv2d_3b_1x1"]),
    "swin_t": (64, [f"features_{i}" for i in range(8)]),
    "vgg11_bn": (64, [f"features_{i}" for i in (0, 4, 8, 11, 15, 18, 22, 25)]),
    "vit_b_16": (224, ["conv_proj", *(f"encoder_layer_{i}" for i in range(12))]),
    "maxvit_t": (224, ["stem", "blocks_0", "blocks_1", "blocks_2", "blocks_3"]),
}  # fmt: skip
TIMM = {
    "resnet18": (64, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
    "efficientnet_b0": (64, ["conv_stem", *(f"blocks_{i}" for i in range(7))]),
    "convnext_atto": (64, ["stem", "stages_0", "stages_1", "stages_2", "stages_3"]),
    "mobilenetv3_small_050": (64, ["conv_stem", *(f"blocks_{i}" for i in range(6))]),
    "densenet121": (64, ["conv0", "denseblock1", "transition1", "denseblock2"]),
    "regnetx_002": (64, ["stem", "s1", "s2", "s3", "s4"]),
    "ghostnet_050": (64, ["conv_stem", *(f"blocks_{i}" for i in range(10))]),
    "inception_v3": (80, ["conv2d_1a_3x3", "conv2d_2a_3x3", "conv2d_2b_3x3", "conv2d_3b_1x1"]),
    "vit_tiny_patch16_224": (64, ["patch_embed", *(f"blocks_{i}" for i in range(12))]),
    "hrnet_w18_small": (64, ["backbone"]),  # lists of maps go from stage to stage
}
# Slow: what is large, and every network whose structure a quick one of this list has, too.
HEAVY = {
    *(f"torchvision {name}" for name in (
        "alexnet", "convnext_tiny", "efficientnet_b0", "inception_v3", "maxvit_t", "mnasnet0_5",
        "mobilenet_v2", "regnet_x_400mf", "regnet_y_400mf", "resnext50_32x4d", "vgg11_bn",
        "vit_b_16",
    )),
    *(f"timm {name}" for name in (
        "densenet121", "efficientnet_b0", "ghostnet_050", "hrnet_w18_small", "inception_v3",
        "resnet18",
    )),
}  # fmt: skip
ALL = [f"torchvision {name}" for name in TORCHVISION] + [f"timm {name}" for name in TIMM]
TRANSFORMERS = ("vit",)  # tokens between their blocks, no maps


def drawn(network: nn.Module, size: int) -> nn.Module:
    """With weights, statistics and scales that all matter: none is zero, tiny or one, and the
    logits tell images apart.
    """
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        low, high = parameter.min().item(), parameter.max().item()
        tiny, one = max(-low, high) < 1e-3, low == high == 1
        if tiny or one:
            values = torch.rand(parameter.shape, generator=draw) * 0.2
            parameter.data.copy_(values + (0.9 if one else -0.1))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    network.eval()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    network(torch.randn(4, 3, size, size, generator=draw))
    for norm in norms:
        norm.momentum = 0.1
    return network


def last_layer(network: nn.Module) -> nn.Linear | nn.Conv2d:
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and len(module.weight) == CLASSES
    ][-1]


def original(library: str, name: str, size: int) -> tuple[nn.Module, Any]:
    """The library's own network, whole, and (mean, std) that its images are normalised by."""
    torch.manual_seed(1)
    if library == "timm":
        timm = pytest.importorskip("timm", reason="needs timm: pip install 'cnnexp[timm]'")
        network = timm.create_model(name, num_classes=CLASSES, **vit_size(name, size))
        return drawn(network, size), (network.pretrained_cfg["mean"], network.pretrained_cfg["std"])
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # as torchvision builds them with their weights
        options = {"aux_logits": True, "transform_input": True, "init_weights": False}
    network = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)
    return drawn(network, size), IMAGENET


def vit_size(name: str, size: int) -> dict[str, int]:
    return {"img_size": size} if name.startswith("vit") else {}


@pytest.fixture(
    scope="module",
    params=[pytest.param(p, marks=pytest.mark.slow) if p in HEAVY else p for p in ALL],
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A network of the library, its logits, and our chain made from its file of weights."""
    library, name = request.param.split()
    size, blocks = (TORCHVISION if library == "torchvision" else TIMM)[name]
    theirs, (mean, std) = original(library, name, size)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    shape = (1, 3, 1, 1)
    with torch.no_grad():
        normalized = (images - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
        logits = theirs.eval()(normalized)
    path = tmp_path_factory.mktemp("weights") / f"{name}.pth"
    torch.save(theirs.state_dict(), path)
    build = torchvision_model if library == "torchvision" else timm_model
    ours = build(size, CLASSES, name=name, weights=str(path))
    path.unlink()
    return SimpleNamespace(
        name=name, size=size, blocks=blocks, images=images, logits=logits, ours=ours,
        last=last_layer(theirs),
    )  # fmt: skip


def test_logits_are_the_original_networks(case: Any) -> None:
    """With the original's last layer in place of the new one."""
    assert (case.logits[0] - case.logits[1]).abs().max() > 1e-4, "the images make a difference"
    new = last_layer(case.ours)
    assert not torch.equal(new.weight, case.last.weight), "the last layer is a new one"
    new.load_state_dict(case.last.state_dict())
    with torch.no_grad():
        found = case.ours.eval()(case.images)
    scale = float(case.logits.abs().max())
    torch.testing.assert_close(found, case.logits, rtol=1e-3, atol=1e-4 * scale)


def test_blocks_are_named_as_the_library_names_them(case: Any) -> None:
    names = [name for name, _ in case.ours.named_children()]
    assert (names[0], names[-1]) == ("normalize", "head")
    assert names[1:-1][: len(case.blocks)] == case.blocks
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert not [m for m in case.ours.modules() if getattr(m, "inplace", False)]


def test_maps_lie_between_blocks(case: Any) -> None:
    """(C, H, W) with square maps that do not grow, also in networks with channels last."""
    if case.name.startswith(TRANSFORMERS) or case.blocks == ["backbone"]:
        pytest.skip("its blocks give no maps")
    shapes = block_shapes(case.ours, case.size)
    sides = [side for _, side, other in shapes.values() if side == other]
    assert len(sides) == len(shapes)
    assert sides == sorted(sides, reverse=True)
    side = shapes[default_layer(case.ours, case.size)][1]
    assert side >= 4
    assert not [s for s in sides if 4 <= s < side], "Grad-CAM's layer is the deepest of that size"


def test_trains_and_exports(case: Any) -> None:
    nn.init.normal_(last_layer(case.ours).weight, std=0.1)  # some libraries draw zeros
    images = torch.rand(4, 3, case.size, case.size)
    case.ours.train()
    F.cross_entropy(case.ours(images), torch.arange(4)).backward()
    without = [n for n, p in case.ours.named_parameters() if p.grad is None or not p.grad.any()]
    case.ours.zero_grad(set_to_none=True)
    assert without == []
    network = case.ours.eval()
    exported = torch.export.export(network, (case.images,)).module()
    torch.testing.assert_close(exported(case.images), network(case.images), rtol=1e-3, atol=1e-4)


def test_anatomy_adds_up(case: Any) -> None:
    rows = anatomy(case.ours, case.size)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in case.ours.parameters())


@pytest.mark.parametrize("name", ["shufflenet_v2_x1_0", "densenet121"])
def test_weights_of_a_run_go_out_and_in(name: str, tmp_path: Path) -> None:
    """Between the chain that had weights and the one that is built without."""
    torch.manual_seed(0)
    one = torchvision_model(64, 3, name=name, weights=None).eval()
    other = torchvision_model(64, 3, name=name, weights=None).eval()
    images = torch.rand(2, 3, 64, 64)
    assert not torch.equal(one(images), other(images))
    torch.save(one.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    torch.testing.assert_close(other(images), one(images))


def test_without_weights_no_normalization() -> None:
    names = [n for n, _ in torchvision_model(64, 3, name="resnet18", weights=None).named_children()]
    assert names == ["conv1", "layer1", "layer2", "layer3", "layer4", "head"]


def test_drawn_weights_depend_on_the_seed_alone() -> None:
    def build() -> torch.Tensor:
        torch.manual_seed(3)
        network = torchvision_model(64, 3, name="shufflenet_v2_x0_5", weights=None)
        assert network.training
        return torch.cat([p.flatten() for p in network.parameters()])

    assert torch.equal(build(), build())


@pytest.mark.parametrize(
    ("name", "size", "parts"),
    [
        ("resnet5o", 64, ["model.name=resnet5o", "torchvision", "did you mean 'resnet50'?"]),
        ("fcn_resnet50", 64, ["model.name=fcn_resnet50", "no such classifier"]),
        ("inception_v3", 74, ["dataset.image_size=74", "inception_v3", "use 75"]),
        ("vit_b_32", 96, ["dataset.image_size=96", "vit_b_32", "use 224"]),
        ("alexnet", 32, ["dataset.image_size=32", "alexnet", "use 63"]),
    ],
)
def test_refused_in_one_line(name: str, size: int, parts: Sequence[str]) -> None:
    with pytest.raises(InputError) as caught:
        torchvision_model(size, 3, name=name, weights=None)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 75), ("alexnet", 63)])
def test_the_size_that_a_refusal_names_works(name: str, size: int) -> None:
    network = torchvision_model(size, 3, name=name, weights=None).eval()
    assert network(torch.rand(2, 3, size, size)).shape == (2, 3)


def test_densenets_old_names(tmp_path: Path) -> None:
    """The official file says denselayer1.norm.1.weight, the network denselayer1.norm1.weight."""
    torch.manual_seed(0)
    theirs = torchvision.models.densenet121(num_classes=CLASSES)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in theirs.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    ours = torchvision_model(64, 3, name="densenet121", weights=str(tmp_path / "old.pth"))
    assert torch.equal(
        ours.denseblock2.denselayer3.conv2.weight,
        theirs.features.denseblock2.denselayer3.conv2.weight,
    )


def test_every_relu_of_googlenet_is_a_module() -> None:
    """torchvision calls it as a function; its 57 convolutions are followed by one each."""
    ours = torchvision_model(64, 3, name="googlenet", weights=None)
    kinds = [type(module).__name__ for module in ours.modules()]
    assert (kinds.count("Conv2d"), kinds.count("ReLU")) == (57, 57)


class Small(nn.Module):
    """Three convolutions; what stands between them is what the tests are about."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 6, 3, padding=1)
        self.fc = nn.Linear(6, CLASSES)

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x), inplace=True)
        x = F.dropout(F.relu(self.second(x)), 0.5, self.training)
        return self.pooled(torch.relu(self.third(x)))


def cut(network: nn.Module, last: Sequence[str] = ("fc",)) -> nn.Sequential:
    return chain(network, "small", 16, last=list(last), made_for=16)


def kinds(block: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in block.children()]


def test_functions_become_modules() -> None:
    blocks = cut(Small())
    assert [name for name, _ in blocks.named_children()] == ["first", "second", "third", "head"]
    assert kinds(blocks.first) == ["Conv2d", "ReLU"]
    assert kinds(blocks.second) == ["Conv2d", "ReLU", "Dropout"]
    assert kinds(blocks.head) == ["AdaptiveAvgPool2d", "Flatten", "Linear"]
    images = torch.rand(2, 3, 16, 16)
    assert not torch.equal(blocks.train()(images), blocks(images)), "dropout is alive in training"
    assert torch.equal(blocks.eval()(images), blocks(images))


def test_no_cut_inside_a_shortcut() -> None:
    class Shortcut(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.pooled(self.third(x + self.second(x)))

    network = Shortcut().eval()
    blocks = cut(network)
    assert [name for name, _ in blocks.named_children()] == ["first", "second", "third", "head"]
    x = torch.rand(2, 8, 8, 8)
    torch.testing.assert_close(blocks.second(x), x + network.second(x))


class DependsOnValues(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.pooled(self.third(x if x.sum() > 0 else self.second(x)))


class DependsOnTraining(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x))
        return self.pooled(self.third(x * 0.5 if self.training else x))


@pytest.mark.parametrize("kind", [DependsOnValues, DependsOnTraining])
def test_what_a_trace_cannot_hold_stays_whole(kind: type[Small]) -> None:
    network = kind()
    images = torch.rand(2, 3, 16, 16)
    expected = [network.train()(images), network.eval()(images)]
    blocks = cut(network)
    assert [name for name, _ in blocks.named_children()] == ["backbone", "head"]
    assert isinstance(blocks.head, nn.Linear)
    for found, logits in zip(
        [blocks.train()(images), blocks.eval()(images)], expected, strict=True
    ):
        torch.testing.assert_close(found, logits)


class Counts(Small):
    """Every call gives something else, which no chain can repeat."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.pooled(self.third(self.second(self.first(x)) * float(self.calls)))


@pytest.mark.parametrize("zeros", [False, True])
def test_changed_logits_are_an_error_whatever_is_tried(zeros: bool) -> None:
    """Also where the last layer is drawn as zeros, and all logits are the same."""
    network = Counts()
    if zeros:
        nn.init.zeros_(network.fc.weight)
    with pytest.raises(InputError, match=r"model\.name=small: cannot be cut into blocks"):
        cut(network)


def test_maps_with_channels_last_are_turned() -> None:
    """Also where height, width and channels are the same number, as for 128 pixels here."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 16, 8, stride=8)
            self.second, self.third = nn.Linear(16, 16), nn.Linear(16, 24)
            self.fc = nn.Linear(24, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x).permute(0, 2, 3, 1)
            x = self.third(self.second(x).relu())
            return self.fc(x.mean([1, 2]))

    network = Last().eval()
    images = torch.rand(2, 3, 16, 16)
    expected = network(images)
    blocks = cut(network)
    shapes = block_shapes(blocks, 16)
    assert shapes == {"first": (16, 2, 2), "second": (16, 2, 2), "third": (24, 2, 2)}
    torch.testing.assert_close(blocks.eval()(images), expected)


def test_later_arguments_keep_their_defaults() -> None:
    class Masked(Small):
        def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            x = self.first(x)
            if mask is not None:
                x = x * mask
            return self.pooled(self.third(self.second(x)))

    names = [name for name, _ in cut(Masked()).named_children()]
    assert names == ["first", "second", "third", "head"]


def test_no_hook_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Small()
    monkeypatch.setattr(network, "first", nn.Conv2d(4, 8, 3))  # fails on three channels
    with pytest.raises(InputError, match=r"dataset\.image_size=16: small cannot take such images"):
        cut(network)
    assert all(not module._forward_pre_hooks for module in network.modules())
