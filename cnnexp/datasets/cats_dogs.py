"""Kaggle's Cats and Dogs: 12,500 photographs of each, some files broken (Elson et al. 2007)."""

import re
import zipfile
from pathlib import Path

from cnnexp.data.download import download as fetch
from cnnexp.datasets.archive import FileList, list_files
from cnnexp.datasets.class_folders import children, from_folders
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError

URL = (
    "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
    "kagglecatsanddogs_5340.zip"  # about 825 MB; Microsoft publishes no checksum
)
CLASSES = ("Cat", "Dog")
LAYOUT = "the official zip, or a folder with PetImages/Cat and PetImages/Dog (or Cat and Dog)"


def cats_dogs(
    root: str | Path | None = None,
    cache: str | Path = "~/.cache/cnnexp",
    download: bool = True,
) -> Source:
    """root: the zip, or a folder with PetImages or with Cat and Dog; null: downloaded."""
    files = list_files(_place(cache, download) if root is None else root, LAYOUT)
    base = _base(files)
    names = {name.casefold(): name for name in children(files, base)}
    folders = {names[name.casefold()]: (label, "") for label, name in enumerate(CLASSES)}
    return from_folders("cats_dogs", files, base, CLASSES, folders)


def _place(cache: str | Path, download: bool) -> Path:
    path = Path(cache).expanduser() / "downloads" / URL.rsplit("/", 1)[-1]
    if not download and not path.exists():
        raise InputError(
            f"cats_dogs is not at {path} and dataset.download=false; "
            "set dataset.download=true or dataset.root=<zip or folder>"
        )
    return fetch(URL, path, fits=zipfile.is_zipfile)


def _base(files: FileList) -> str:
    """The folder with the two classes' folders in it: the root, PetImages, or the uppermost one."""
    lower = {folder.casefold() for folder in files.folders}
    above = (folder.rpartition("/") for folder in files.folders)
    first, second = (name.casefold() for name in CLASSES)
    found = [
        base
        for base, slash, name in above
        if name.casefold() == first and f"{base}{slash}{second}".casefold() in lower
    ]
    if not found:
        tops = ", ".join(children(files, "")[:5]) or "no folder"
        zips = [name for name in files.names if re.fullmatch(r"[^/]+\.zip", name)]
        meant = f"; did you mean dataset.root={files.root / zips[0]}?" if len(zips) == 1 else ""
        raise InputError(
            f"dataset.root={files.root} holds no folders Cat and Dog (found: {tops}); "
            f"expected {LAYOUT}{meant}"
        )
    return min(found, key=lambda folder: (folder.count("/") + bool(folder), folder))
