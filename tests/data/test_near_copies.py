"""Copies that no checksum finds, among images that were made for it."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from cnnexp.data.near_copies import near_copies

SIDE = 48


def scene(seed: int) -> Image.Image:
    """Soft clouds of colour: as different from each other as photographs are."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def saved_anew(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved anew": saved_anew,
    "half as large": lambda image: image.resize((24, 24)).resize((SIDE, SIDE)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def rows(*images: Image.Image) -> np.ndarray:
    return np.stack([np.asarray(image.convert("RGB")) for image in images])


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_found(name: str) -> None:
    """One of thirty test images is a changed training image."""
    pixels = rows(*(scene(seed) for seed in range(60)), CHANGES[name](scene(17)))
    (pair,) = near_copies(pixels, np.arange(31, 61), np.arange(31))
    assert (pair.image, pair.of, pair.mirrored) == (60, 17, name == "mirrored")
    assert 0.96 <= pair.likeness <= 1.00001


def test_most_alike_first_and_each_once() -> None:
    """A symmetric image is its own mirror image; two twins of one image are two pairs."""
    half = np.asarray(scene(99))[:, : SIDE // 2]
    symmetric = Image.fromarray(np.concatenate([half, half[:, ::-1]], axis=1))
    pixels = rows(*(scene(seed) for seed in range(30)), symmetric, symmetric, saved_anew(scene(3)))
    found = near_copies(pixels, np.array([31, 32]), np.arange(31))
    assert [(pair.image, pair.of) for pair in found] == [(31, 30), (32, 3)]
    assert found[0].likeness == pytest.approx(1.0, abs=1e-5)
    assert not found[0].mirrored


def test_flat_images_and_none() -> None:
    flat = np.full((20, 8, 8, 3), 128, dtype=np.uint8)
    assert near_copies(flat, np.arange(5), np.arange(5, 20)) == []
    assert near_copies(flat, np.arange(0), np.arange(5)) == []
    assert near_copies(flat, np.arange(5), np.arange(0)) == []


def test_what_is_alike_by_nature_is_not_a_copy() -> None:
    """Handwritten digits: a half of them have another with a correlation of 0.96."""
    grey = (load_digits().images * 15.9).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    assert near_copies(pixels, np.arange(360), np.arange(360, len(pixels))) == []


def test_other_colours_are_another_image() -> None:
    """In grey they are the same to the bit."""
    scenes = [np.asarray(scene(seed)) for seed in range(30)]
    pixels = np.stack([*scenes, scenes[7][..., ::-1]])
    assert near_copies(pixels, np.array([30]), np.arange(30)) == []


def test_many_copies_of_one_scene() -> None:
    """As exact copies that are kept: none stands out. And one image beside one."""
    pixels = rows(*(scene(seed) for seed in range(20)), *[scene(3)] * 15)
    (pair,) = near_copies(pixels, np.array([3]), np.array([*range(3), *range(4, 35)]))
    assert pair.of >= 20
    assert len(near_copies(pixels, np.array([3]), np.array([34]))) == 1
    assert near_copies(pixels, np.array([3]), np.array([4])) == []


def test_they_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many are compared a few at a time."""
    pixels = rows(*(scene(seed) for seed in range(60)), scene(17))
    whole = near_copies(pixels, np.arange(31, 61), np.arange(31))
    monkeypatch.setattr("cnnexp.data.near_copies.AT_ONCE", 31 * 7)
    assert near_copies(pixels, np.arange(31, 61), np.arange(31)) == whole
    assert [(pair.image, pair.of) for pair in whole] == [(60, 17)]


def test_a_tint_that_both_have_makes_no_copy() -> None:
    """Each colour around its own mean: red and blue are exchanged, in images that are all red."""
    scenes = [np.asarray(scene(seed)) // 5 for seed in range(30)]
    tinted = [some + np.uint8([200, 0, 0]) for some in [*scenes, scenes[7][..., ::-1]]]
    assert near_copies(np.stack(tinted), np.array([30]), np.arange(30)) == []


def test_one_of_many_frames_must_be_all_but_the_same() -> None:
    """In grey the same as twelve frames, in colours at 0.98."""
    generator = np.random.default_rng(0)
    clean = np.asarray(scene(3)).astype(float)

    def frame(noise: float) -> np.ndarray:
        red = generator.normal(0, noise, (SIDE, SIDE))
        change = np.stack([red, -red, 0 * red], axis=-1)
        return (clean * 0.5 + 64 + change).clip(0, 255).astype(np.uint8)

    pixels = np.stack(
        [*(np.asarray(scene(seed)) for seed in range(20)), *(frame(9.0) for _ in range(13))]
    )
    assert near_copies(pixels, np.array([32]), np.arange(32)) == []
