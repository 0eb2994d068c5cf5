"""Own images, in folders and zips of every layout that people have."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnexp.datasets.image_folder import image_folder
from cnnexp.datasets.source import Source

LayOut = Callable[[Path, list[str]], Path]
Make = Callable[[list[str]], Path]
Refusal = Callable[..., None]
Table = Callable[[Source], dict[str, tuple[str, str]]]
PETS = ["cats/1.jpg", "cats/2.jpg", "dogs/1.jpg"]
SPLITS = [f"{split}/{name}" for split in ("train", "val", "test") for name in PETS]


def test_one_folder_per_class(table: Table, make: Make) -> None:
    source = image_folder(make(PETS))
    assert source.name == "pets"
    assert table(source) == {
        "cats/1.jpg": ("cats", ""),
        "cats/2.jpg": ("cats", ""),
        "dogs/1.jpg": ("dogs", ""),
    }
    assert source.labels.dtype == np.int64
    assert [source.read(i) for i in range(3)] == [name.encode() for name in PETS]
    assert source.listed == ()


def test_given_splits(table: Table, make: Make) -> None:
    found = table(image_folder(make(SPLITS)))
    assert len(found) == 9
    assert found["train/cats/1.jpg"] == ("cats", "train")
    assert found["val/cats/1.jpg"] == ("cats", "validation")
    assert found["test/dogs/1.jpg"] == ("dogs", "test")


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("Train", "VALID", "validation"),
        ("training", "Validation", "validation"),
        ("train", "Testing", "test"),
    ],
)
def test_spellings(
    lay_out: LayOut, table: Table, tmp_path: Path, train: str, other: str, split: str
) -> None:
    names = [f"{top}/{name}" for top in (train, other) for name in PETS]
    found = table(image_folder(lay_out(tmp_path / "pets", names)))
    assert found[f"{train}/cats/1.jpg"] == ("cats", "train")
    assert found[f"{other}/cats/1.jpg"] == ("cats", split)


def test_unlabelled_test_images_are_no_split(lay_out: LayOut, tmp_path: Path) -> None:
    names = [f"train/{name}" for name in PETS] + [f"val/{name}" for name in PETS] + ["test/1.jpg"]
    source = image_folder(lay_out(tmp_path / "pets", names))
    assert set(source.given.tolist()) == {"train", "validation"}  # type: ignore[union-attr]
    assert source.listed == (("test/1.jpg", "outside the class folders"),)


def test_train_alone_is_a_folder_around_the_classes(lay_out: LayOut, tmp_path: Path) -> None:
    source = image_folder(lay_out(tmp_path / "pets", [f"train/{name}" for name in PETS]))
    assert source.given is None
    assert set(source.paths) == set(PETS)


def test_folders_around_everything_are_passed_through(make: Make) -> None:
    names = [f"download/pets-1.0/{name}" for name in PETS]
    source = image_folder(make([*names, "about.txt", "download/pets-1.0/licence.txt"]))
    assert list(source.paths) == PETS
    assert {reason for _, reason in source.listed} == {"outside the class folders"}


def test_pictures_beside_one_folder_are_no_way_down(refusal: Refusal, make: Make) -> None:
    names = ["cats/1.jpg", "cats/black/2.jpg", "cats/white/3.jpg"]
    refusal(lambda: image_folder(make(names)), "one class folder (cats)")


def test_subfolders_belong_to_their_class(table: Table, make: Make) -> None:
    found = table(image_folder(make([*PETS, "cats/old/black/9.jpg"])))
    assert found["cats/old/black/9.jpg"] == ("cats", "")


def test_litter_is_no_class_and_no_image(make: Make) -> None:
    litter = [
        ".ipynb_checkpoints/1-checkpoint.jpg",
        "cats/.ipynb_checkpoints/1-checkpoint.jpg",
        "__MACOSX/cats/._1.jpg",
        ".DS_Store",
        "cats/.DS_Store",
        "dogs/Thumbs.db",
        "dogs/.kept.jpg",
        "README.txt",
    ]
    source = image_folder(make([*PETS, *litter]))
    assert source.classes == ("cats", "dogs")
    assert list(source.paths) == PETS
    assert dict(source.listed) == {
        ".ipynb_checkpoints/": "hidden folder",
        "cats/.ipynb_checkpoints/": "hidden folder",
        "__MACOSX/": "hidden folder",
        ".DS_Store": "not an image file",
        "cats/.DS_Store": "not an image file",
        "dogs/Thumbs.db": "not an image file",
        "dogs/.kept.jpg": "hidden: its name begins with a dot",
        "README.txt": "outside the class folders",
    }


def test_classes_are_in_natural_order(make: Make) -> None:
    source = image_folder(make([f"{name}/x.png" for name in ("c10", "c2", "B", "c1", "a")]))
    assert source.classes == ("a", "B", "c1", "c2", "c10")


def test_errors_of_layout(refusal: Refusal, make: Make, tmp_path: Path) -> None:
    refusal(lambda: image_folder(make(["cats/1.jpg", "cats/2.jpg"])), "one class folder (cats)")


def test_images_without_folders(refusal: Refusal, make: Make) -> None:
    refusal(
        lambda: image_folder(make(["1.jpg", "2.jpg"])), "no class folders", "2 files", "<class>"
    )


def test_a_table_beside_the_images(refusal: Refusal, make: Make) -> None:
    refusal(lambda: image_folder(make(["1.jpg", "train.csv"])), "if train.csv", "dataset=csv")


def test_nothing_at_all(refusal: Refusal, make: Make) -> None:
    refusal(lambda: image_folder(make(["cats/", "dogs/"])), "holds no files")


def test_empty_class(refusal: Refusal, make: Make) -> None:
    refusal(lambda: image_folder(make([*PETS, "mice/"])), "'mice' holds no image")


def test_class_without_training_images(refusal: Refusal, make: Make) -> None:
    refusal(
        lambda: image_folder(make([*SPLITS, "test/mice/1.jpg"])), "'mice'", "train", "cats, dogs"
    )


def test_one_split_under_two_names(lay_out: LayOut, refusal: Refusal, tmp_path: Path) -> None:
    names = SPLITS + [f"validation/{name}" for name in PETS]
    refusal(lambda: image_folder(lay_out(tmp_path / "pets", names)), "val", "validation")


def test_missing_root(lay_out: LayOut, refusal: Refusal, tmp_path: Path) -> None:
    lay_out(tmp_path / "pets", PETS)
    refusal(lambda: image_folder(tmp_path / "pest"), "does not exist", "did you mean 'pets'")
    refusal(lambda: image_folder(None), "not set")


def test_root_of_another_kind(zip_up: LayOut, refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "pets.rar").write_bytes(b"Rar!")
    refusal(lambda: image_folder(tmp_path / "pets.rar"), "neither a folder nor a whole zip")
    cut = zip_up(tmp_path / "pets.zip", PETS).read_bytes()[:-30]
    (tmp_path / "pets.zip").write_bytes(cut)
    refusal(lambda: image_folder(tmp_path / "pets.zip"), "neither a folder nor a whole zip")


def test_a_pipe_is_not_waited_for(
    refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(zipfile, "is_zipfile", lambda place: pytest.fail(f"{place} is opened"))
    refusal(lambda: image_folder(tmp_path / "pipe"), "neither a folder nor a whole zip")


def test_an_encrypted_zip(zip_up: LayOut, refusal: Refusal, tmp_path: Path) -> None:
    path = zip_up(tmp_path / "pets.zip", PETS)
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of each file, and of the list
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    refusal(
        lambda: image_folder(path), "holds no files but 3 that are passed over", "cats/1.jpg: encr"
    )
