"""The store: built once, opened often, never believed when damaged."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError

Shelf = Callable[..., Any]
Prepared = Callable[..., ImageSet]


def test_second_time_nothing_is_read(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf()
    first = prepared(books.source(), tmp_path)
    count = len(books.reads)
    second = prepared(books.source(), tmp_path, split_seed=3, resize="crop")
    assert count == len(books.reads) == 16
    np.testing.assert_array_equal(first.images, second.images)


@pytest.mark.parametrize("change", [{"image_size": 9}, {"resize": "pad"}, {"fingerprint": "2"}])
def test_what_changes_the_pixels_changes_the_store(
    shelf: Shelf, prepared: Prepared, tmp_path: Path, change: dict
) -> None:
    books = shelf()
    prepared(books.source(), tmp_path)
    prepared(books.source(change.pop("fingerprint", "1")), tmp_path, **change)
    assert len(books.reads) == 32


def test_the_store_cannot_be_changed_through_the_images(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    images = prepared(shelf().source(), tmp_path)
    images.images[:] = 0
    assert prepared(shelf().source(), tmp_path).images.any()


def test_files_that_cannot_be_read_are_tried_again(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf()
    content, books.contents[0] = books.contents[0], OSError(5, "Input/output error")
    images = prepared(books.source(), tmp_path)
    assert [item.path for item in images.left_out] == ["cat/0"]
    assert "Input/output error" in images.left_out[0].reason
    books.contents[0] = content
    assert prepared(books.source(), tmp_path).left_out == ()


def damage_index(folder: Path) -> None:
    text = (folder / "index.json").read_bytes()
    (folder / "index.json").write_bytes(text.replace(b'"cat/1"', b'"cat/2"'))


def cut_images(folder: Path) -> None:
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content[:-1])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "images.npy").read_bytes())
    content[500] ^= 1
    (folder / "images.npy").write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        damage_index,
        cut_images,
        flip_a_bit,
        lambda folder: (folder / "index.json").write_bytes(b""),
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: (folder / "images.npy").unlink(),
        lambda folder: (folder / "images.npy").write_bytes(bytes(128 + 16 * 8 * 8 * 3)),
    ],
)
def test_damaged_stores_are_built_again(
    shelf: Shelf, prepared: Prepared, tmp_path: Path, damage: object
) -> None:
    before = np.array(prepared(shelf().source(), tmp_path).images)
    folder = next((tmp_path / "images").iterdir())
    damage(folder)  # type: ignore[operator]
    books = shelf()
    np.testing.assert_array_equal(prepared(books.source(), tmp_path).images, before)
    assert len(books.reads) == 16


def test_a_copied_store_is_read_through_once(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    """Its files have another time: the checksum says that they are the same."""
    prepared(shelf().source(), tmp_path)
    path = next((tmp_path / "images").iterdir()) / "images.npy"
    written_ns = path.stat().st_mtime_ns
    os.utime(path, ns=(0, 0))
    books = shelf()
    prepared(books.source(), tmp_path)
    assert books.reads == []
    assert path.stat().st_mtime_ns == written_ns, "and is believed from now on"


def test_opening_needs_no_lock(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    """So that a cache can be shared by people who may only read it."""
    before = prepared(shelf().source(), tmp_path)
    lock = next((tmp_path / "images").iterdir()) / "lock"
    lock.unlink()
    lock.mkdir()  # whoever tries to lock fails
    assert prepared(shelf().source(), tmp_path).digest == before.digest


def test_no_usable_image(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf({f"{kind}/{i}": b"" for kind in ("cat", "dog") for i in range(9)})
    with pytest.raises(InputError, match=r"none of 18 files is a usable image .*cat/0: empty file"):
        prepared(books.source(), tmp_path)
    folder = next((tmp_path / "images").iterdir())
    assert {path.name for path in folder.iterdir()} <= {"lock"}


def test_cache_that_cannot_be_written(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"paths\.cache"):
        prepared(shelf().source(), tmp_path / "file")


def test_arrays_are_stored_as_they_are(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    names = [f"{kind}/{i}" for kind in ("cat", "dog") for i in range(8)]
    images = prepared(shelf(dict(zip(names, pixels, strict=True))).source(), tmp_path)
    assert images.paths == tuple(names)
    np.testing.assert_array_equal(images.images, pixels)
    assert len(set(images.sha256)) == 16
