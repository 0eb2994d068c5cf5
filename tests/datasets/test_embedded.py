"""The datasets that need no file: digits and shapes."""

import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnexp.datasets.digits import digits
from cnnexp.datasets.shapes import SHAPES, shapes
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError


def stacked(source: Source) -> np.ndarray:
    return np.stack([source.read(i) for i in range(len(source.paths))])


def test_digits() -> None:
    source = digits()
    assert len(source.paths) == len(set(source.paths)) == 1797
    assert source.classes == tuple("0123456789")
    images = stacked(source)
    assert (images.shape, images.dtype) == ((1797, 8, 8), np.uint8)
    data = load_digits()
    np.testing.assert_array_equal(source.labels, data.target)
    values = data.images.astype(int)  # 0..16: 16 is 255, 8 is 127.5, rounded to even
    assert set(images[values == 16]) == {255}
    assert set(images[values == 0]) == {0}
    assert set(images[values == 8]) == {128}
    assert set(images[values == 1]) == {16}


@pytest.fixture(scope="module", params=range(2, 7))
def source(request: pytest.FixtureRequest) -> Source:
    return shapes(image_size=64, classes=request.param, images=120)


def test_shapes_are_balanced_and_named(source: Source) -> None:
    names = ("disc", "square", "triangle", "cross", "star", "ring")
    assert source.classes == names[: len(source.classes)]
    assert np.bincount(source.labels).tolist() == [120 // len(source.classes)] * len(source.classes)
    assert stacked(source).shape == (120, 64, 64, 3)


def test_masks_cover_the_object(source: Source) -> None:
    """Widths of the masks in pixels, and the contrast between inside and the surrounding."""
    images = stacked(source).astype(int)
    assert source.masks is not None
    for image, mask in zip(images, source.masks, strict=True):
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert min(height, width) >= 14
        assert max(height, width) <= 38
        assert min(rows[0], columns[0]) > 0
        assert max(rows[-1], columns[-1]) < 63
        around = np.zeros_like(mask)
        around[rows[0] - 1 : rows[-1] + 2, columns[0] - 1 : columns[-1] + 2] = True
        inside, outside = np.median(image[mask], 0), np.median(image[around & ~mask], 0)
        assert np.abs(inside - outside).max() > 50


# Of a filled outline: its area over the area of its bounding circle, from geometry.
FILLED = {
    "disc": 1,
    "square": 2 / np.pi,
    "triangle": 3 * np.sqrt(3) / 4 / np.pi,
    "star": 5 * np.sin(np.pi / 5) * np.sin(np.pi / 10) / np.sin(np.pi * 7 / 10) / np.pi,
    "ring": 1,
}


@pytest.mark.parametrize("name", FILLED)
def test_outlines_have_the_right_area(name: str) -> None:
    side, r = 401, np.full((1, 1, 1), 150, np.float32)
    grid = np.arange(side, dtype=np.float32) - 200
    x, y = np.broadcast_to(grid, (side, side)), np.broadcast_to(grid[:, None], (side, side))
    filled = SHAPES[name](x[None], y[None], r)[1][0] < 0
    reach = np.hypot(x, y)[filled].max()
    assert filled.sum() / (np.pi * reach**2) == pytest.approx(FILLED[name], rel=0.02)


def test_neither_colour_nor_place_tells_the_class() -> None:
    """Class means of the object's colour and centre differ by no more than chance would have it."""
    source = shapes(64, 2, 600, seed=3)
    images = stacked(source)
    assert source.masks is not None
    ys, xs = np.mgrid[:64, :64]
    features = [
        [*image[mask].mean(0), *image[~mask].mean(0), ys[mask].mean(), xs[mask].mean()]
        for image, mask in zip(images, source.masks, strict=True)
    ]
    one, two = (np.array(features)[source.labels == label] for label in (0, 1))
    error = np.sqrt(one.var(0) / len(one) + two.var(0) / len(two))
    assert (np.abs(one.mean(0) - two.mean(0)) / error).max() < 4  # standard errors


def test_seeds() -> None:
    first = shapes(32, 3, 12, seed=5)
    np.testing.assert_array_equal(stacked(first), stacked(shapes(32, 3, 12, seed=5)))
    assert first.fingerprint == shapes(32, 3, 12, seed=5).fingerprint
    assert first.fingerprint != shapes(32, 3, 12, seed=6).fingerprint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 7}, "dataset.classes=7"),
        ({"classes": 1}, "dataset.classes=1"),
        ({"images": 0}, "dataset.images=0"),
        ({"image_size": 8}, "dataset.image_size=8"),
        ({"seed": -1}, "dataset.seed=-1"),
        ({"seed": 0.5}, "dataset.seed=0.5"),
    ],
)
def test_errors(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        shapes(**options)


def test_two_thousand_shapes_are_quick() -> None:
    begin_s = time.process_time()
    shapes(64, 6, 2000)
    assert time.process_time() - begin_s < 6  # about 2 s of one core


def test_torch_stays_outside() -> None:
    script = (
        "import sys; from cnnexp.data import prepare, download, summary; "
        "from cnnexp.datasets import digits, shapes, cifar10, cats_dogs, csv_table; "
        "print([name for name in ('torch', 'sklearn', 'hydra') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
