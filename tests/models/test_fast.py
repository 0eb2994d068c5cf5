"""The whitening layer against its definition, and what the fast network's layers begin as."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp import experiment
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.experiment import fit_to_images, mark_fitted
from cnnexp.models.fast import ShiftedBatchNorm, fast, identity_convolution
from cnnexp.models.normalize import Normalize
from cnnexp.models.whitening import Whiten


@pytest.fixture(scope="module")
def smooth() -> torch.Tensor:
    """(64, 3, 16, 16), neighbours and colours alike, as in photographs."""
    drawn = torch.randn(64, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    mixed = drawn + drawn.mean(1, keepdim=True)
    return nn.functional.avg_pool2d(mixed, 5, stride=1)


def test_whitened_patches_have_no_correlations(smooth: torch.Tensor) -> None:
    layer = Whiten(2)
    layer.fit(smooth)
    maps = layer(smooth)
    assert maps.shape == (64, 24, 15, 15)
    values = maps[:, :12].detach().permute(1, 0, 2, 3).reshape(12, -1).numpy()
    found = values @ values.T / values.shape[1]
    # A direction of variance v is divided by sqrt(v + 5e-4).
    patches = nn.functional.unfold(smooth, 2).permute(1, 0, 2).reshape(12, -1).numpy()
    variances = np.linalg.eigvalsh(patches @ patches.T / patches.shape[1])[::-1]
    np.testing.assert_allclose(found, np.diag(variances / (variances + 5e-4)), atol=1e-4)
    torch.testing.assert_close(maps[:, 12:], -maps[:, :12])


def test_only_the_bias_of_whitening_learns(smooth: torch.Tensor) -> None:
    layer = Whiten(2)
    layer.fit(smooth)
    layer(smooth).square().sum().backward()
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    assert layer.bias.grad is not None
    assert "weight" in layer.state_dict()


def noise(count: int, train: int) -> ImageSet:
    """Images of 16x16, of which the first `train` are trained on."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return ImageSet(
        images=pixels, labels=np.arange(count) % 2, classes=("a", "b"), paths=tuple("x" * count),
        sha256=tuple(map(str, range(count))), split={"train": np.arange(train)}, name="noise",
        digest="", left_out=(), notes=(),
    )  # fmt: skip


def test_it_is_computed_once_and_kept_in_the_weights() -> None:
    images = noise(40, train=30)
    network = nn.Sequential()
    network.add_module("normalize", Normalize())
    for name, block in fast(16, 2, widths=(8, 8)).named_children():
        network.add_module(name, block)
    fit_to_images(network, images)
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    assert kept["whiten.0.weight"].abs().sum() > 0
    again = nn.Sequential()
    again.add_module("normalize", Normalize())
    for name, block in fast(16, 2, widths=(8, 8)).named_children():
        again.add_module(name, block)
    again.load_state_dict(kept)
    mark_fitted(again)
    images.images[...] = 255 - images.images
    fit_to_images(again, images)
    torch.testing.assert_close(again.state_dict(), kept)


def test_its_memory_is_bounded_whatever_the_images_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 images of 16x16 the first, third, fifth, seventh, where 1,200 pixels are the most."""
    monkeypatch.setattr(experiment, "WHITENED", 1200)
    images = noise(8, train=8)
    network = nn.Sequential(OrderedDict(normalize=Normalize(), whiten=Whiten()))
    fit_to_images(network, images)
    alone = Whiten()
    alone.fit(network.normalize(torch.from_numpy(images.images[::2]).permute(0, 3, 1, 2)))
    torch.testing.assert_close(network.whiten.weight, alone.weight)


def test_convolutions_begin_as_the_identity(smooth: torch.Tensor) -> None:
    torch.testing.assert_close(identity_convolution(3, 8)(smooth)[:, :3], smooth)
    torch.testing.assert_close(identity_convolution(3, 2)(smooth), smooth[:, :2])


@pytest.mark.parametrize("train", [True, False])
def test_shifted_batch_norm_is_batch_norm_with_a_larger_bias(
    train: bool, smooth: torch.Tensor
) -> None:
    ours, theirs = ShiftedBatchNorm(3, 8.0), nn.BatchNorm2d(3, eps=1e-12, momentum=0.4)
    ours.train(train)
    theirs.train(train)
    with torch.no_grad():
        ours.bias += torch.tensor([0.1, 0.2, 0.3])
        theirs.bias += torch.tensor([0.8, 1.6, 2.4])
    torch.testing.assert_close(ours(smooth), theirs(smooth))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_maps_that_would_vanish() -> None:
    with pytest.raises(InputError, match=r"model\.widths: 3 blocks leave no pixel of images of 8"):
        fast(8, 2)
    assert fast(9, 2).eval()(torch.zeros(1, 3, 9, 9)).shape == (1, 2)
