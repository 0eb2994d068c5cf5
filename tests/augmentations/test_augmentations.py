"""Every augmentation: shape, range, repeatable, and different for each image of a batch."""

from pathlib import Path

import pytest
import torch
import yaml

from cnnexp.augmentations.crop_flip import CropFlip, reflect
from cnnexp.augmentations.photo import Photo
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
