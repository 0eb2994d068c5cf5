"""Real photographs with planted defects; CNNEXP_TEST_DATA is the folder that has data/*.zip."""

import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnnexp.data.gate import read
from cnnexp.data.prepare import prepare
from cnnexp.data.resize import fit
from cnnexp.datasets.cats_dogs import cats_dogs

FOLDER = os.environ.get("CNNEXP_TEST_DATA")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="CNNEXP_TEST_DATA is not set: no real photographs here"
)
DATA = Path(FOLDER or ".") / "data"
SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2}

DEFECTS = {
    "99901.jpg": "empty file",
    "99902.jpg": "truncated: the file ends too early",
    "99903.jpg": "not an image (it looks like an HTML page)",
    "99908.jpg": "1x1 pixels: too small to show anything",
}


def test_each_planted_defect_is_left_out_with_its_reason(tmp_path: Path) -> None:
    images = prepare(
        cats_dogs(DATA / "cats_dogs_defects.zip"), image_size=64, split=SPLIT, cache=tmp_path
    )
    expected = {f"{kind}/{name}": why for kind in ("Cat", "Dog") for name, why in DEFECTS.items()}
    expected |= {f"PetImages/{kind}/Thumbs.db": "not an image file" for kind in ("Cat", "Dog")}
    expected |= {
        f"{kind}/99911.jpg": f"exact duplicate of {kind}/99910.jpg" for kind in ("Cat", "Dog")
    }
    assert {item.path: item.reason for item in images.left_out} == expected
    used = {images.paths[i] for index in images.split.values() for i in index}
    # 60 good ones each, and GIF, CMYK, greyscale, PNG, rotated, one of the pair.
    assert len(used) == 2 * 66
    assert {f"Cat/{n}.jpg" for n in (99904, 99905, 99906, 99907, 99909, 99910)} <= used


@pytest.mark.parametrize("kind", ["Cat", "Dog"])
@pytest.mark.parametrize("name", ["99904", "99905", "99906", "99907", "99909"])
def test_odd_formats_look_as_pillow_shows_them(kind: str, name: str) -> None:
    with zipfile.ZipFile(DATA / "cats_dogs_defects.zip") as archive:
        content = archive.read(f"PetImages/{kind}/{name}.jpg")
        with archive.open(f"PetImages/{kind}/{name}.jpg") as file, Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            layer = upright.convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    found = read(content)
    assert isinstance(found, Image.Image)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(shown))


def test_decoding_small_changes_next_to_nothing() -> None:
    source = cats_dogs(DATA / "cats_dogs_fullsize_400.zip")
    differences = []
    for i in range(0, 400, 20):
        content = source.read(i)
        quick, full = read(content, 64), read(content)
        assert isinstance(quick, Image.Image)
        assert isinstance(full, Image.Image)
        one, other = (fit(image, 64, "crop").astype(int) for image in (quick, full))
        differences.append(np.abs(one - other).mean())
    assert np.mean(differences) < 1.5  # of 255


def test_a_prepared_store_opens_at_once(tmp_path: Path) -> None:
    split = {"train": 120, "validation": 40, "test": 40}
    root = DATA / "cats_dogs_fullsize_400.zip"
    begin_s = time.monotonic()
    prepare(cats_dogs(root), image_size=128, split=split, cache=tmp_path)
    between_s = time.monotonic()
    prepare(cats_dogs(root), image_size=128, split=split, cache=tmp_path)
    assert time.monotonic() - between_s < 0.2 * (between_s - begin_s)
