"""Your own images: one folder per class, in a folder or a zip, with or without given splits."""

from collections.abc import Sequence
from pathlib import Path

from cnnexp.datasets.archive import FileList, list_files, natural
from cnnexp.datasets.class_folders import children, from_folders, holds_images
from cnnexp.datasets.source import Source
from cnnexp.datasets.table_file import TABLES
from cnnexp.errors import InputError

LAYOUT = "<root>/<class>/<image>, or <root>/{train,validation,test}/<class>/<image>"
SPELLINGS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst"),
}


def image_folder(root: str | Path | None) -> Source:
    """root: a folder or zip of `LAYOUT`; folders around it that hold nothing else are ignored."""
    if root is None:
        raise InputError(f"dataset.root is not set; give a folder or zip: {LAYOUT}")
    files = list_files(root, LAYOUT)
    if not files.names:
        passed = f" but {_few(files.listed)}" if files.listed else ""
        raise InputError(f"dataset.root={files.root} holds no files{passed}; expected {LAYOUT}")
    base = _base(files)
    splits = _splits(files, base)
    if splits:
        classes = _classes(files, [f"{base}/{splits['train']}" if base else splits["train"]])
        folders = {}
        for split, folder in splits.items():
            for name in children(files, f"{base}/{folder}" if base else folder):
                if name not in classes:
                    raise InputError(
                        f"dataset.root={files.root}: class {name!r} is in {folder} and not in "
                        f"{splits['train']} ({', '.join(classes)}); use the same names in both"
                    )
                folders[f"{folder}/{name}"] = (classes.index(name), split)
    else:
        classes = _classes(files, [base])
        folders = {name: (label, "") for label, name in enumerate(classes)}
    place = files.root.resolve()
    name = (place.name if place.is_dir() else place.stem) or "image_folder"
    return from_folders(name, files, base, classes, folders)


def _few(listed: Sequence[tuple[str, str]]) -> str:
    """`20 that are passed over (Cat/1.jpg: encrypted)`"""
    name, reason = listed[0]
    return (
        f"{len(listed):,} that {'is' if len(listed) == 1 else 'are'} passed over ({name}: {reason})"
    )


def _base(files: FileList) -> str:
    """Down through single folders of folders without images: the usual top folder of an archive."""
    base = ""
    while len(inside := children(files, base)) == 1:
        below = f"{base}/{inside[0]}" if base else inside[0]
        if not children(files, below) or holds_images(files, below):
            break
        base = below
    return base


def _splits(files: FileList, base: str) -> dict[str, str]:
    """split -> its folder's name; empty unless there is a train folder and at least one other."""
    found: dict[str, str] = {}
    for folder in children(files, base):
        split = next((s for s, words in SPELLINGS.items() if folder.casefold() in words), None)
        # A test folder without classes, as Kaggle has them, holds no labels: it is no split.
        if split and children(files, f"{base}/{folder}" if base else folder):
            if split in found:
                raise InputError(
                    f"dataset.root={files.root}: both {found[split]} and {folder} mean the {split} "
                    "split; keep one of them"
                )
            found[split] = folder
    return found if "train" in found and len(found) > 1 else {}


def _classes(files: FileList, places: list[str]) -> list[str]:
    classes = sorted({name for place in places for name in children(files, place)}, key=natural)
    if len(classes) < 2:
        what = f"one class folder ({classes[0]})" if classes else "no class folders"
        where = f" in {places[0]}" if places[0] else ""
        count = len(files.names)
        tables = [name for name in files.names if name.casefold().endswith(TABLES)]
        table = f"; if {tables[0]} has the classes, use dataset=csv" if tables else ""
        raise InputError(
            f"dataset.root={files.root} holds {what}{where}, with {count:,} "
            f"file{'s' * (count != 1)} in all; two classes are needed: {LAYOUT}{table}"
        )
    return classes
