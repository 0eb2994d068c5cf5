import numpy as np
import pytest
from PIL import Image

from cnnexp.data.resize import fit

# 8 wide, 4 high: left quarter red, middle half green, right quarter blue.
WIDE = np.zeros((4, 8, 3), np.uint8)
WIDE[:, :2, 0] = WIDE[:, 2:6, 1] = WIDE[:, 6:, 2] = 255


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_right_size_is_left_alone(resize: str) -> None:
    square = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(fit(Image.fromarray(square), 4, resize), square)


def test_crop_keeps_the_middle() -> None:
    found = fit(Image.fromarray(WIDE), 4, "crop")
    np.testing.assert_array_equal(found, WIDE[:, 2:6])
    upright = np.ascontiguousarray(WIDE.swapaxes(0, 1))
    np.testing.assert_array_equal(fit(Image.fromarray(upright), 4, "crop"), upright[2:6])


def test_stretch_keeps_everything() -> None:
    found = fit(Image.fromarray(WIDE), 64, "stretch")
    assert found.shape == (64, 64, 3)
    assert found[:, 4].tolist() == [[255, 0, 0]] * 64
    assert found[:, 32].tolist() == [[0, 255, 0]] * 64
    assert found[:, 60].tolist() == [[0, 0, 255]] * 64


def test_pad_keeps_proportions_on_black() -> None:
    found = fit(Image.fromarray(WIDE), 8, "pad")
    assert not found[:2].any()
    assert not found[6:].any()
    np.testing.assert_array_equal(found[2:6], WIDE)


def test_shrinking_averages() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    found = fit(Image.fromarray(checks), 16, "crop")
    assert np.abs(found.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_extreme_proportions(resize: str) -> None:
    assert fit(Image.new("RGB", (20_000, 2), "red"), 32, resize).shape == (32, 32, 3)


def test_masks_stay_masks() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[3:7, 3:7] = 255
    found = fit(Image.fromarray(mask), 25, "crop", smooth=False)
    assert set(np.unique(found)) == {0, 255}
