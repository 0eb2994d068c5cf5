"""VGG16's base against torchvision's, from every kind of weight file; and what doesn't fit."""

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VGG16_Weights

from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize
from cnnexp.models.vgg16 import vgg16
from cnnexp.visualization.layers import block_shapes, default_layer

BLOCKS = [f"block{number}" for number in range(1, 6)]


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """torchvision's network, its dense layers (124 million weights) cut down."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    network.classifier = nn.Sequential(nn.Linear(4, 3, device="meta"))
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def weights(theirs: nn.Module) -> dict[str, torch.Tensor]:
    return dict(theirs.state_dict())


def base_of(network: nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    for name, block in network.named_children():
        if name != "head":
            images = block(images)
    return images


@pytest.mark.parametrize(
    ("suffix", "whole", "dtype"),
    [
        (".pth", True, torch.float32),
        (".pth", False, torch.float16),
        (".safetensors", True, torch.float32),
        (".safetensors", False, torch.bfloat16),
        (".pt", False, torch.float64),
    ],
)
def test_base_is_torchvisions(
    theirs: nn.Module, weights: dict[str, torch.Tensor], tmp_path: Path, suffix: str, whole: bool,
    dtype: torch.dtype,
) -> None:  # fmt: skip
    kept = {n: w.to(dtype) for n, w in weights.items() if whole or n.startswith("features.")}
    path = tmp_path / f"vgg{suffix}"
    save_file(kept, path) if suffix == ".safetensors" else torch.save(kept, path)
    network = vgg16(64, 10, weights=str(path)).eval()
    assert [name for name, _ in network.named_children()] == ["normalize", *BLOCKS, "head"]
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    images = torch.rand(2, 3, 64, 64)
    # ImageNet's mean and standard deviation, as torchvision documents them.
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    rounded = nn.Sequential(*theirs.features)
    originals = [p.data for p in rounded.parameters()]
    for parameter in rounded.parameters():
        parameter.data = parameter.data.to(dtype).float()
    with torch.no_grad():
        expected = rounded((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        found = base_of(network, images)
    for parameter, original in zip(rounded.parameters(), originals, strict=True):
        parameter.data = original
    assert expected.std() > 0
    torch.testing.assert_close(found, expected)


def test_blocks_shapes_and_parameters() -> None:
    network = vgg16(64, 10, weights=None)
    assert [name for name, _ in network.named_children()] == [*BLOCKS, "head"]
    assert list(block_shapes(network, 64).values()) == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2),
    ]  # fmt: skip
    assert default_layer(network, 64) == "block4"
    base = sum(p.numel() for name in BLOCKS for p in network.get_submodule(name).parameters())
    assert base == 14_714_688  # 138,357,544 of the whole less 123,642,856 of its dense layers
    head = sum(p.numel() for p in network.head.parameters())
    assert head == (512 * 2 * 2 + 1) * 256 + 257 * 10
    for name in BLOCKS:
        assert isinstance(network.get_submodule(name)[-1], nn.MaxPool2d)
    assert not any(getattr(module, "inplace", False) for module in network.modules())


def test_head_by_config() -> None:
    head = vgg16(100, 3, weights=None, dense=[20, 10], head_dropout=0.0, reduce="average").head
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == [
        "AdaptiveAvgPool2d", "Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear",
    ]  # fmt: skip
    assert [m.in_features for m in head if isinstance(m, nn.Linear)] == [512, 20, 10]
    flat = vgg16(100, 3, weights=None, dense=[]).head  # 100 -> 50, 25, 12, 6, 3
    assert [m.in_features for m in flat if isinstance(m, nn.Linear)] == [512 * 3 * 3]


def test_weights_are_drawn_as_torchvision_draws_them() -> None:
    """Normal, with variance 2 / (9 * filters) (He et al. 2015, 2.2, backward)."""
    torch.manual_seed(0)
    convolutions = [m for m in vgg16(32, 2, weights=None).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13
    for layer in convolutions:
        expected = (2 / (9 * layer.out_channels)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
        assert layer.bias is not None
        assert not layer.bias.any()


def test_smallest_images() -> None:
    assert vgg16(32, 2, weights=None)(torch.rand(2, 3, 32, 32)).shape == (2, 2)
    with pytest.raises(InputError, match=r"dataset\.image_size=31: .*at least 32"):
        vgg16(31, 2, weights=None)


def test_imagenets_from_the_cache(
    weights: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that lies where torch.hub keeps it is used, with no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / Path(VGG16_Weights.IMAGENET1K_V1.url).name
    path.parent.mkdir(parents=True)
    torch.save(weights, path)
    network = vgg16(32, 2)
    assert torch.equal(network.block5[0].weight, weights["features.24.weight"])
    normalize = network.normalize
    assert isinstance(normalize, Normalize)
    assert normalize.fitted, "the program doesn't put the training set's in their place"
    torch.testing.assert_close(normalize.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(normalize.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))


def test_a_file_that_does_not_fit_lists_both_sides(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    wrong = {n: w for n, w in weights.items() if n != "features.28.bias"}
    wrong |= {name: torch.zeros(1) for name in ("foo", "bar", "baz", "qux")}
    wrong["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    path = tmp_path / "wrong.pth"
    torch.save(wrong, path)
    with pytest.raises(InputError) as caught:
        vgg16(32, 2, weights=str(path))
    assert str(caught.value) == (
        f"model.weights={path}: does not fit VGG16: missing features.28.bias; "
        "unexpected foo, bar, baz and 1 more; "
        "features.0.weight is (64, 1, 3, 3) there and (64, 3, 3, 3) here"
    )
