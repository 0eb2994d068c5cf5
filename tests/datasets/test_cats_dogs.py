"""Cats and Dogs in its official layout."""

from collections.abc import Callable
from pathlib import Path

from cnnexp.datasets.cats_dogs import cats_dogs
from cnnexp.datasets.source import Source

LayOut = Callable[[Path, list[str]], Path]
Make = Callable[[list[str]], Path]
Refusal = Callable[..., None]
Table = Callable[[Source], dict[str, tuple[str, str]]]
OFFICIAL = ["PetImages/Cat/0.jpg", "PetImages/Cat/1.jpg", "PetImages/Dog/0.jpg", "readme[1].txt"]


def test_cats_dogs_official(table: Table, make: Make) -> None:
    source = cats_dogs(make(OFFICIAL))
    assert source.classes == ("Cat", "Dog")
    assert table(source) == {
        "Cat/0.jpg": ("Cat", ""),
        "Cat/1.jpg": ("Cat", ""),
        "Dog/0.jpg": ("Dog", ""),
    }
    assert source.read(2) == b"PetImages/Dog/0.jpg"
    assert source.listed == (("readme[1].txt", "outside the class folders"),)


def test_cats_dogs_folder_of_the_classes(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", OFFICIAL)
    assert list(cats_dogs(root / "PetImages").paths) == list(cats_dogs(root).paths)


def test_cats_dogs_elsewhere(lay_out: LayOut, refusal: Refusal, tmp_path: Path) -> None:
    refusal(lambda: cats_dogs(lay_out(tmp_path / "pets", ["ducks/1.jpg"])), "Cat and Dog", "ducks")


def test_cats_dogs_without_download(refusal: Refusal, tmp_path: Path) -> None:
    refusal(
        lambda: cats_dogs(cache=tmp_path, download=False), "dataset.download=false", str(tmp_path)
    )


def test_cats_dogs_already_downloaded(zip_up: LayOut, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    zip_up(tmp_path / "downloads" / "kagglecatsanddogs_5340.zip", OFFICIAL)
    assert len(cats_dogs(cache=tmp_path).paths) == 3


def test_a_damaged_zip_is_nobody_elses_to_delete(refusal: Refusal, tmp_path: Path) -> None:
    path = tmp_path / "downloads" / "kagglecatsanddogs_5340.zip"
    path.parent.mkdir()
    path.write_bytes(b"half of it")
    refusal(lambda: cats_dogs(cache=tmp_path), path.name)
    assert path.read_bytes() == b"half of it"
