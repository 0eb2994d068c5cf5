"""From a listing to an ImageSet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnexp.data.check_source import check_source
from cnnexp.data.decode import sha256_of
from cnnexp.data.image_set import ImageSet
from cnnexp.data.store import store_key
from cnnexp.errors import InputError

Shelf = Callable[..., Any]
Prepared = Callable[..., ImageSet]


def plain(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


def reds(images: ImageSet, split: str) -> dict[str, int]:
    """path -> the red value that is in the store for it."""
    return {images.paths[i]: int(images.images[i, 4, 4, 0]) for i in images.split[split]}


def test_pixels_labels_and_paths_belong_together(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    images = prepared(shelf().source(), tmp_path)
    assert images.images.shape == (16, 8, 8, 3)
    for split, count in (("train", 8), ("validation", 4), ("test", 4)):
        found = reds(images, split)
        assert len(found) == count
        for path, red in found.items():
            assert red == int(path.split("/")[1]) + (100 if path.startswith("dog") else 0)
    assert [images.classes[label] for label in images.labels] == [p[:3] for p in images.paths]
    assert images.left_out == ()


def test_counts_read_only_what_they_need(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf(count=50)
    split = {"train": 4, "validation": 2, "test": 2}
    images = prepared(books.source(), tmp_path, split=split)
    assert len(books.reads) == 16
    assert {name: len(index) for name, index in images.split.items()} == {
        "train": 8,
        "validation": 4,
        "test": 4,
    }
    prepared(books.source(), tmp_path, split=split)
    assert len(books.reads) == 16
    assert set(prepared(books.source(), tmp_path, split=split, split_seed=1).paths) != set(
        images.paths
    )


def test_bad_files_are_replaced_where_there_are_more(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf(count=50)
    split = {"train": 4, "validation": 2, "test": 2}
    chosen = prepared(books.source(), tmp_path / "a", split=split).paths
    bad, twin = (next(path for path in chosen if path.startswith(kind)) for kind in ("cat", "dog"))
    books.contents[books.paths.index(bad)] = b"<html>"
    other = max(path for path in chosen if path.startswith("dog") and path != twin)
    first, second = sorted([twin, other])
    books.contents[books.paths.index(first)] = books.contents[books.paths.index(second)]
    images = prepared(books.source(), tmp_path / "b", split=split)
    assert [len(index) for index in images.split.values()] == [8, 4, 4]
    assert {(item.path, item.reason) for item in images.left_out} == {
        (bad, "not an image (it looks like an HTML page)"),
        (second, f"exact duplicate of {first}"),
    }
    used = {images.paths[i] for index in images.split.values() for i in index}
    assert len(used) == 16
    assert not used & {bad, second}
    assert len(set(chosen) - used) == 2  # the others stay


def test_duplicates_in_one_class(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf()
    books.contents[5] = books.contents[2]
    images = prepared(books.source(), tmp_path)
    assert [(x.path, x.reason) for x in images.left_out] == [("cat/5", "exact duplicate of cat/2")]
    used = {images.paths[i] for index in images.split.values() for i in index}
    assert used == set(books.paths) - {"cat/5"}


def test_duplicates_across_classes(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    """Nobody knows which label is right: none of them is used."""
    books = shelf()
    twin = books.contents[books.paths.index("cat/3")]
    for path in ("cat/5", "dog/0", "dog/4"):
        books.contents[books.paths.index(path)] = twin
    images = prepared(books.source(), tmp_path)
    dog = "exact duplicate of dog/0, which is in another class: dog"
    cat = "exact duplicate of cat/3, which is in another class: cat"
    assert [(item.path, item.reason) for item in images.left_out] == [
        ("cat/3", dog), ("cat/5", dog), ("dog/0", cat), ("dog/4", cat),
    ]  # fmt: skip
    used = {images.paths[i] for index in images.split.values() for i in index}
    assert used == set(books.paths) - {"cat/3", "cat/5", "dog/0", "dog/4"}


def test_a_given_test_set_stays_whole(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf()
    books.given = {"cat/6": "test", "dog/6": "test"}
    for path in ("cat/1", "dog/2"):
        books.contents[books.paths.index(path)] = books.contents[books.paths.index("cat/6")]
    images = prepared(books.source(), tmp_path)
    assert [item.path for item in images.left_out] == ["cat/1", "dog/2"]
    assert set(reds(images, "test")) == {"cat/6", "dog/6"}
    assert any("no validation split is given" in note for note in images.notes)


def test_classes_that_are_not_tested_are_named(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf()
    books.given = {"cat/6": "test"}
    said = "no test image of 'dog': its figures say nothing of these"
    assert said in prepared(books.source(), tmp_path).notes
    books.given = {"cat/6": "test", "dog/6": "test"}
    assert said not in prepared(books.source(), tmp_path).notes


def test_kept_duplicates_are_counted_across_splits(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf()
    books.given = {"cat/6": "test", "dog/6": "test", "cat/7": "validation", "dog/7": "validation"}
    books.contents[1] = books.contents[2] = books.contents[6]  # two copies of a test image in train
    images = prepared(books.source(), tmp_path, duplicates="keep")
    assert images.left_out == ()
    assert len(images.split["train"]) == 12
    assert [note for note in images.notes if "exact copies" in note] == [
        "2 exact copies of other images are kept, 2 of them in another split than their original; "
        "dataset.duplicates=leave_out leaves them out"
    ]


def test_masks_follow_their_images(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf()
    books.contents[3] = b""
    masks = np.zeros((16, 8, 8), bool)
    masks[np.arange(16), np.arange(16) // 2] = True  # image i has its mask in row i // 2
    images = prepared(books.source(masks=masks), tmp_path)
    assert images.masks is not None
    for k, path in enumerate(images.paths):
        i = books.paths.index(path)
        assert np.flatnonzero(images.masks[k].all(axis=1)).tolist() == [i // 2]
    loud = prepared(books.source(masks=masks.astype(np.uint8) * 255), tmp_path).masks
    assert loud is not None
    assert loud.dtype == bool
    np.testing.assert_array_equal(loud, images.masks)
    larger = prepared(books.source(masks=masks), tmp_path, image_size=16).masks
    assert larger is not None
    np.testing.assert_array_equal(larger, images.masks.repeat(2, 1).repeat(2, 2))


def test_folds_of_a_given_split_are_said(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    books = shelf()
    books.given = {f"{c}/{i}": "validation" for c in ("cat", "dog") for i in (0, 1)}
    books.given |= {f"{c}/2": "test" for c in ("cat", "dog")}
    said = "folds are cut from the images given for training and for validation alike"
    for fold, told in ((None, False), (0, True)):
        notes = prepared(books.source(), tmp_path, fold=fold, folds=3).notes
        assert any(note.startswith(said) for note in notes) == told


def test_masks_that_are_not_of_their_images(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    """Of images that are 8 x 16, as in a file."""
    books = shelf(
        {
            f"{c}/{i}": np.full((8, 16, 3), 9 * i + ord(c[0]), np.uint8)
            for c in ("cat", "dog")
            for i in range(8)
        }
    )
    for height, width in ((8, 16), (4, 8), (3, 5), (3, 8)):
        masks = np.ones((16, height, width), bool)
        assert prepared(books.source(masks=masks), tmp_path).masks is not None
    for height, width in ((16, 8), (8, 8), (2, 8)):
        said = rf"its masks are {height} x {width} pixels and cat/0 has 8 x 16 \(height x width\)"
        with pytest.raises(InputError, match=said):
            prepared(books.source(masks=np.ones((16, height, width), bool)), tmp_path, image_size=9)


def test_digest_is_of_content_labels_and_splits(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf()
    base = prepared(books.source(), tmp_path).digest
    assert prepared(books.source(), tmp_path / "other", image_size=9).digest == base
    assert prepared(books.source(), tmp_path, split_seed=1).digest != base
    assert prepared(books.source(), tmp_path, per_class=2).digest != base
    books.contents[0] = plain(77)
    assert prepared(books.source("2"), tmp_path).digest != base


def test_unbalanced_classes_are_named(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    names = [*(f"cat/{i}" for i in range(60)), *(f"dog/{i}" for i in range(9))]
    books = shelf({name: plain(k) for k, name in enumerate(names)})
    notes = prepared(books.source(), tmp_path).notes
    assert len(notes) == 1
    assert "'cat'" in notes[0]
    assert "'dog'" in notes[0]
    assert "training.class_weights=balanced" in notes[0]


def test_too_small_a_disk_is_said_before_anything_is_read(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf()
    with pytest.raises(InputError, match=r"MB free.*paths\.cache"):
        prepared(books.source(), tmp_path, image_size=10_000_000)
    assert books.reads == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"given": np.array(["val", *[""] * 15])}, "its split 'val' is unknown; allowed: train, v"),
        ({"classes": ("cat", "cat")}, "its class 'cat' is there twice"),
        ({"classes": (0, 1)}, "its class 0 is no text"),
        (
            {"labels": np.arange(16) % 2 + 1},
            "labels outside 0..1: image 'cat/1' has 2; a label",
        ),
        ({"labels": [0, 1] * 8}, "its labels are a list; give an array"),
        ({"paths": [Path("a.png")] * 16}, r"its path \w+\('a\.png'\) is a \w+; give str\(path\)"),
        ({"paths": [], "labels": np.arange(0)}, "shelf has no images"),
        ({"labels": np.eye(16, 2, dtype=np.int64)}, r"its labels are an array \(16, 2\) of int64"),
        ({"classes": np.array(["cat", "dog"])}, r"its classes are an array \(2,\) of <U3; give a"),
        ({"classes": {"cat": 0, "dog": 1}}, "its classes are a dict; give a tuple of names"),
        ({"classes": "cd"}, "its classes are the text 'cd'; give a tuple of names"),
        ({"paths": {}}, "its paths are a dict; give a tuple of texts"),
        ({"listed": None}, r"its listed are a NoneType; give a tuple of pairs \(path, reason\)"),
        ({"listed": ["ab"]}, r"its listed has 'ab'; give a pair of texts, \(path, reason"),
        ({"listed": ["a.txt"]}, r"its listed has 'a.txt'; give a pair of texts, \(path, reason"),
        ({"groups": np.eye(16, 2)}, r"the group of 'cat/0' is an array \(2,\) of float64; give"),
        ({"masks": np.zeros((16, 0, 8), bool)}, r"its masks are an array \(16, 0, 8\) of bool"),
    ],
    ids=str,
)
def test_what_a_dataset_of_ones_own_may_hand_over(shelf: Shelf, changes: dict, said: str) -> None:
    """A misspelt split would be trained on."""
    source = shelf().source()
    check_source(source)
    with pytest.raises(InputError, match=said):
        check_source(replace(source, **changes))


def test_what_it_reads_is_bytes_or_pixels(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    prepared(shelf().source(), tmp_path / "stored")  # which is looked at again
    source = replace(shelf().source(), read=lambda i: Path("cat/0"))
    for place, options in (("new", {}), ("stored", {"spot_check": True})):
        said = r"of cat/0 it reads a \w*Path; read must give the file's"
        with pytest.raises(InputError, match=said):
            prepared(source, tmp_path / place, **options)


def test_an_error_of_its_own_names_the_image(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    source = replace(shelf().source(), read=lambda i: {}["pixels"])
    with pytest.raises(KeyError, match="pixels") as caught:
        prepared(source, tmp_path)
    assert caught.value.__notes__ == ["raised by dataset shelf, reading cat/0"]


def test_copies_of_test_images_are_counted_and_one_is_named(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    """As somebody has them who copies a part of the test set into train/."""
    books = shelf(
        {f"{c}/{s}{i}": plain(20 * i + ord(c)) for c in "ab" for s in "xy" for i in (1, 2)}
    )
    books.given = {f"{c}/x{i}": "test" for c in "ab" for i in (1, 2)}
    said = (
        r"'a' has 0 usable images \(2 others are .*: a/y1: exact duplicate of a/x1\), too few for"
    )
    with pytest.raises(InputError, match=said):
        prepared(books.source(), tmp_path, split={"train": 0.6, "validation": 0.2, "test": 0.2})


def test_a_class_that_no_label_names(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    source = replace(shelf().source(), classes=("cat", "dog", "owl"))
    said = r"'owl' has 0 usable images \(no label names it\), too few for"
    with pytest.raises(InputError, match=said):
        prepared(source, tmp_path, split={"train": 0.6, "validation": 0.2, "test": 0.2})


def test_one_class(shelf: Shelf) -> None:
    with pytest.raises(InputError, match="one class"):
        check_source(shelf({f"cat/{i}": plain(i) for i in range(9)}).source())


@pytest.mark.parametrize(("inner", "told"), [(("x", "y"), True), (("x",), False)])
def test_a_folder_too_high(
    inner: tuple[str, ...], told: bool, shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    """Two folders that each hold the classes, instead of the classes."""
    images = {
        f"{c}/{s}/{i}": plain(12 * i + ord(c) + 3 * ord(s) - 300)
        for c in "ab"
        for s in inner
        for i in range(6)
    }
    notes = prepared(shelf(images).source(), tmp_path).notes
    said = "each class folder holds the folders x, y: if these are the classes, dataset.root"
    assert any(note.startswith(said) for note in notes) == told


def test_of_a_copy_in_a_given_validation_split_training_loses_its_own(
    shelf: Any, prepared: Any, tmp_path: Path
) -> None:
    books = shelf()
    books.contents[0] = books.contents[7]  # of which cat/7 is given, though its path comes last
    books.given = {f"{c}/{i}": "validation" for c in ("cat", "dog") for i in (6, 7)}
    images = prepared(books.source(), tmp_path)
    assert [(x.path, x.reason) for x in images.left_out] == [("cat/0", "exact duplicate of cat/7")]
    given = {images.paths[i] for i in images.split["validation"]}
    assert given == {"cat/6", "cat/7", "dog/6", "dog/7"}


def test_other_labels_are_another_store(shelf: Any) -> None:
    """So many of each class may have been read."""
    source = shelf().source()
    other = replace(source, labels=source.labels[::-1].copy())
    assert store_key(source, 8, "crop", "") != store_key(other, 8, "crop", "")


def test_arrays_of_one_content_and_other_sides_are_no_copies() -> None:
    assert sha256_of(np.zeros((2, 8, 3), np.uint8)) != sha256_of(np.zeros((4, 4, 3), np.uint8))
