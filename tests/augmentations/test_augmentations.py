"""Every augmentation: shape, range, repeatable, and different for each image of a batch."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from cnnexp.augmentations.crop_flip import CropFlip, reflect
from cnnexp.augmentations.photo import Photo
from cnnexp.augmenting import Augmented, try_augmentation
from cnnexp.config.instantiate import call
from cnnexp.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "augmentation"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def one_image_many_times(count: int = 64, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, size, size), generator=generator, dtype=torch.uint8)
    return image.repeat(count, 1, 1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    augment = call(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()))
    images = one_image_many_times()
    before = images.clone()
    torch.manual_seed(3)
    first = augment(images)
    torch.manual_seed(3)
    again = augment(images)
    assert torch.equal(images, before), "the stored images stay as they are"
    assert first.shape == images.shape
    assert torch.equal(first, again)
    share = first.float() / (255 if first.dtype == torch.uint8 else 1)
    assert share.min() >= 0
    assert share.max() <= 1
    if name != "none":
        torch.manual_seed(4)
        assert not torch.equal(first, augment(images))
        assert len({image.numpy().tobytes() for image in first}) > 1, "one draw for the whole batch"


@pytest.mark.parametrize("name", NAMES)
def test_each_image_stays_itself(name: str) -> None:
    """What becomes of every second image is the same whatever the others are."""
    augment = call(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()))
    images = one_image_many_times(32)
    others = images.clone()
    others[1::2] = 255 - others[1::2]
    torch.manual_seed(0)
    first = augment(images)
    torch.manual_seed(0)
    second = augment(others)
    assert torch.equal(first[::2], second[::2])
    assert not torch.equal(first[1::2], second[1::2])


def test_reflection_by_hand() -> None:
    assert reflect(torch.arange(-3, 7), 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_crop_flip_equals_padding_and_cropping() -> None:
    images = one_image_many_times(40, 8)
    torch.manual_seed(0)
    outputs = CropFlip(padding=2, flip=0.5)(images)
    padded = torch.nn.functional.pad(images[:1].float(), (2, 2, 2, 2), mode="reflect").byte()
    allowed = set()
    for top in range(5):
        for left in range(5):
            crop = padded[0, :, top : top + 8, left : left + 8].contiguous()
            allowed |= {crop.numpy().tobytes(), crop.flip(2).contiguous().numpy().tobytes()}
    drawn = {image.contiguous().numpy().tobytes() for image in outputs}
    assert drawn <= allowed
    assert len(drawn) > 20


def test_shifts_larger_than_the_image_are_refused() -> None:
    with pytest.raises(InputError, match=r"augmentation\.padding=8: .* less than .* 8 pixels"):
        CropFlip(padding=8)(one_image_many_times(2, 8))


def test_flip_happens_as_often_as_asked() -> None:
    images = one_image_many_times(2000, 4)
    torch.manual_seed(0)
    flipped = CropFlip(padding=0, flip=0.3)(images)
    share = (flipped == images.flip(3)).all((1, 2, 3)).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.05)  # 5 standard deviations


def test_photo_without_change_is_the_image() -> None:
    images = one_image_many_times(4)
    still = Photo((1.0, 1.0), (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0)
    torch.testing.assert_close(still(images), images.float() / 255)
    mirror = Photo((1.0, 1.0), (1.0, 1.0), 1.0, 0.0, 0.0, 0.0, 0.0)
    torch.testing.assert_close(mirror(images), images.flip(3).float() / 255)


def test_photo_crops_lie_inside_the_image() -> None:
    """On an image whose values are its x and y, a crop's values are where it was taken."""
    size = 64
    ramp = torch.linspace(0, 1, size).expand(size, size)
    images = torch.stack([ramp, ramp.T, ramp])[None].repeat(200, 1, 1, 1)
    torch.manual_seed(0)
    crops = Photo((0.25, 0.25), (1.0, 1.0), 0.5, 0.0, 0.0, 0.0, 0.0)(images)
    width = crops[:, 0].amax((1, 2)) - crops[:, 0].amin((1, 2))
    # A quarter of the area is half of the side: 32 of 64 pixels, which lie 1/63 apart.
    torch.testing.assert_close(width, torch.full((200,), 31.5 / 63), atol=0.02, rtol=0)
    mirrored = (crops[:, 0, 0, -1] < crops[:, 0, 0, 0]).float().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.15)


def test_photo_colours_by_hand() -> None:
    torch.manual_seed(0)
    grey = torch.full((500, 3, 2, 2), 0.4)
    changed = Photo((1.0, 1.0), (1.0, 1.0), 0.0, 0.0, 0.5, 0.9, 0.9)(grey)
    # Grey has no colour and no contrast to lose: brightness alone, a factor from [0.5, 1.5].
    assert changed.min() >= 0.2
    assert changed.max() <= 0.6
    assert changed.mean().item() == pytest.approx(0.4, abs=0.02)


def test_grey_is_luma() -> None:
    """Of pure colours: what is between a colour and its grey, ITU-R BT.601."""
    still = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "brightness": 0, "contrast": 0}
    pure = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 8, 8).mul(255).byte()
    found = Photo(**still, saturation=1.0)(pure.repeat(20, 1, 1, 1)).mean((2, 3)).view(20, 3, 3)
    own = found.diagonal(dim1=1, dim2=2)  # (20, 3)
    others = found.sum(2).sub(own) / 2
    paler = others > 0.001
    grey = (others / (1 - (own - others)))[paler]
    wanted = torch.tensor([0.299, 0.587, 0.114]).expand(20, 3)[paler]
    torch.testing.assert_close(grey, wanted, atol=2e-3, rtol=0)
    assert paler.any(0).all()


def test_a_crops_ratio_is_its_width_to_its_height() -> None:
    """Twice as wide as high, of half the area: the whole width, half of the height."""
    still = {"flip": 0, "brightness": 0, "contrast": 0, "saturation": 0}
    columns = torch.arange(64).mul(4).byte().expand(8, 3, 64, 64)  # brighter from left to right
    for image, whole in ((columns, True), (columns.transpose(2, 3), False)):
        found = Photo(scale=(0.5, 0.5), ratio=(2, 2), **still)(image)
        apart = found.amax((1, 2, 3)) - found.amin((1, 2, 3))
        assert (apart > 0.9).all() if whole else (apart < 0.6).all()


def test_contrast_is_about_the_images_mean() -> None:
    """Of grey stripes, 0.4 and 0.6: their distance changes, their mean stays."""
    still = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "brightness": 0, "saturation": 0}
    stripes = torch.tensor([102, 153]).byte().repeat(50, 3, 8, 4)
    found = Photo(**still, contrast=0.5)(stripes)
    torch.testing.assert_close(found.mean((1, 2, 3)), torch.full((50,), 0.5), atol=1e-4, rtol=0)
    apart = found.amax((1, 2, 3)) - found.amin((1, 2, 3))
    assert 0.1 < apart.min() < 0.14
    assert 0.26 < apart.max() < 0.3


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1])
def test_values_that_no_image_has_are_refused(value: float) -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    own = Augmented(lambda x: torch.full(x.shape, value), "augmentation._target_=mine.odd")
    with pytest.raises(InputError, match=r"^augmentation\._target_=mine\.odd: gives float32 from"):
        own(images)


def test_to_try_it_moves_no_generator() -> None:
    images = SimpleNamespace(images=np.zeros((3, 8, 8, 3), np.uint8), split={"train": np.arange(3)})
    config = {"augmentation": {"_target_": "cnnexp.augmentations.crop_flip.CropFlip"}}
    before = torch.get_rng_state(), random.getstate()
    assert try_augmentation(config, images) is None
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
