"""Folders and zips as people and attackers make them."""

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.datasets.archive import LARGEST, natural
from cnnexp.datasets.image_folder import image_folder
from cnnexp.datasets.source import Source

LayOut = Callable[[Path, list[str]], Path]
Make = Callable[[list[str]], Path]
Refusal = Callable[..., None]
Table = Callable[[Source], dict[str, tuple[str, str]]]
PETS = ["cats/1.jpg", "cats/2.jpg", "dogs/1.jpg"]


def test_natural_order_is_total() -> None:
    names = ["1", "a", "", "a1b", "a1", "ab1", "10", "2", "A1", "²", "é", "0", "01", "9" * 5000]
    backwards = list(reversed(names))
    assert sorted(names, key=natural) == sorted(backwards, key=natural)
    assert sorted(["a10", "a9", "a09b", "a" + "9" * 5000, "a0"], key=natural) == [
        "a0", "a9", "a09b", "a10", "a" + "9" * 5000,
    ]  # fmt: skip


def test_fingerprint_follows_the_files(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "pets", PETS)
    before = image_folder(root).fingerprint
    assert image_folder(root).fingerprint == before
    info = (root / PETS[0]).stat()
    (root / PETS[0]).write_bytes(b"CATS/1.JPG")  # as long, and dated as before
    os.utime(root / PETS[0], ns=(info.st_atime_ns, info.st_mtime_ns))
    assert image_folder(root).fingerprint != before


def test_fingerprint_follows_the_zip(zip_up: LayOut, tmp_path: Path) -> None:
    one = image_folder(zip_up(tmp_path / "pets.zip", PETS)).fingerprint
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for name in PETS:
            archive.writestr(name, name.upper())
    assert image_folder(tmp_path / "other.zip").fingerprint != one


def test_links_in_a_circle_end(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "pets", PETS)
    (root / "cats" / "again").symlink_to(root, target_is_directory=True)
    (root / "cats" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "dogs" / "shared").symlink_to(root / "cats", target_is_directory=True)
    source = image_folder(root)
    assert [path for path in source.paths if path in PETS] == PETS
    assert "dogs/shared/1.jpg" in source.paths
    assert ("cats/again/", "a link to a folder above it") in source.listed
    assert ("cats/gone.jpg", "a broken link") in source.listed


def test_pipes_are_not_opened(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "pets", PETS)
    os.mkfifo(root / "cats" / "pipe.jpg")
    assert image_folder(root).listed == (("cats/pipe.jpg", "not an ordinary file"),)


def test_names_that_are_no_utf8_can_be_printed(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "pets", PETS)
    try:
        (root / "cats" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"au lait")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    source = image_folder(root)
    (i,) = [i for i, path in enumerate(source.paths) if "caf" in path]
    assert source.paths[i].encode("utf-8") == b"cats/caf\\udce9.jpg"
    assert source.read(i) == b"au lait"


def test_large_files_are_left_out(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "pets", PETS)
    with open(root / "cats" / "film.jpg", "wb") as file:
        file.truncate(LARGEST + 1)
    assert image_folder(root).listed == (("cats/film.jpg", "64 MiB: larger than 64 MiB"),)


def test_zips_cannot_point_outside(zip_up: LayOut, tmp_path: Path) -> None:
    outside = [
        "../cats/3.jpg",
        "/cats/4.jpg",
        "cats/../../5.jpg",
        "C:/cats/6.jpg",
        "..\\cats\\7.jpg",
    ]
    source = image_folder(zip_up(tmp_path / "pets.zip", [*PETS, *outside]))
    assert list(source.paths) == PETS
    assert {reason for _, reason in source.listed} == {
        "refused: its name points outside the archive"
    }
    assert len(source.listed) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]


def test_a_name_of_thousands_of_folders(zip_up: LayOut, tmp_path: Path) -> None:
    """Each of its ends would be kept: 2 GB of a name of 64 KiB."""
    deep = "a/" * 32_000 + "1.jpg"
    source = image_folder(zip_up(tmp_path / "pets.zip", [*PETS, deep]))
    assert list(source.paths) == PETS
    assert source.listed == ((deep, "more than 64 folders deep"),)


def test_zip_with_backslashes(zip_up: LayOut, tmp_path: Path) -> None:
    source = image_folder(zip_up(tmp_path / "pets.zip", [name.replace("/", "\\") for name in PETS]))
    assert list(source.paths) == PETS


def test_zip_bombs_are_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in PETS:
            archive.writestr(name, name)
        with archive.open("cats/bomb.jpg", "w") as file:
            for _ in range((LARGEST >> 20) + 1):
                file.write(bytes(1 << 20))
    source = image_folder(tmp_path / "pets.zip")
    assert source.listed == (("cats/bomb.jpg", "65 MiB: larger than 64 MiB"),)


def test_zip_that_lies_about_a_size_is_not_believed(tmp_path: Path) -> None:
    """The central directory says 100 bytes; a MiB would come out."""
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dogs/1.jpg", b"dog")
        archive.writestr("cats/1.jpg", bytes(1 << 20))
    content = path.read_bytes()
    true, lie = (1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")
    path.write_bytes(content.replace(true, lie))
    source = image_folder(path)
    with pytest.raises(zipfile.BadZipFile):
        source.read(list(source.paths).index("cats/1.jpg"))


def test_folder_that_may_not_be_entered(lay_out: LayOut, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "pets", [*PETS, "cats/closed/3.jpg"])
    (root / "cats" / "closed").chmod(0)
    if os.access(root / "cats" / "closed", os.R_OK):
        pytest.skip("this user may read everything")
    source = image_folder(root)
    (root / "cats" / "closed").chmod(stat.S_IRWXU)
    assert source.listed == (("cats/closed/", "cannot be opened: Permission denied"),)
