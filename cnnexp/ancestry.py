"""Runs that start from other runs' weights (`init_from`): what those have learned from."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.files import whole_file
from cnnexp.folders import run_folder
from cnnexp.runs import read_json

Config = Mapping[str, Any]
BEFORE = "learned_before.txt"  # a sha256 per line; only where splits.csv has not all of them


def ancestors(config: Config) -> int:
    """How many runs, one after the other, led to the weights that this one starts from."""
    if config["init_from"] is None:
        return 0
    return 1 + read_json(run_folder(config, "init_from") / "run.json").get("ancestors", 0)


def check_unseen(config: Config, images: ImageSet) -> str:
    """A line on validation images that the runs before have trained on; "" where there are none.

    Raises InputError where they have learned from test images: by training, or by validation,
    which chose their weights. A run that goes on was asked as it began.
    """
    if config["init_from"] is None or config["resume"] is not None:
        return ""
    start = run_folder(config, "init_from")
    learned = learned_by(start, "train", "validation")
    test = [images.sha256[i] for i in images.split["test"]]
    if seen := sum(sha256 in learned for sha256 in test):
        raise InputError(
            f"init_from={config['init_from']}: its weights come from {seen:,} of these "
            f"{len(test):,} test images; split the images as that run did (dataset.split_seed, "
            "dataset.split), or give others"
        )
    trained = learned_by(start, "train")
    validation = [images.sha256[i] for i in images.split["validation"]]
    if not (seen := sum(sha256 in trained for sha256 in validation)):
        return ""
    return (
        f"init_from: its weights come from {seen:,} of these {len(validation):,} validation "
        "images, on which figures are too good, therefore"
    )


def write_before(folder: Path, config: Config, images: ImageSet) -> None:
    """What the runs before have learned from and this one does not, or have trained on and this one
    does not: so that a run that starts from this one, or is tested or compared on other images,
    knows of it.
    """
    if config["init_from"] is None:
        return
    start = run_folder(config, "init_from")
    train, validation = (
        {images.sha256[i] for i in images.split[name]} for name in ("train", "validation")
    )
    learned = learned_by(start, "train", "validation")
    before = (learned_by(start, "train") - train) | (learned - train - validation)
    if before:
        with whole_file(folder / BEFORE) as file:
            file.writelines(f"{sha256}\n" for sha256 in sorted(before))


def learned_by(folder: Path, *splits: str) -> frozenset[str]:
    """sha256 of the images of these splits of a run, and of all that the runs before it have
    learned from.
    """
    rows = read_splits(folder / "splits.csv")
    return read_before(folder).union(sha256 for sha256, _, split in rows if split in splits)


def read_before(folder: Path) -> frozenset[str]:
    """sha256 of the images. Raises InputError."""
    path = folder / BEFORE
    try:
        return frozenset(path.read_text(encoding="utf-8").split() if path.exists() else ())
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def read_splits(path: Path) -> list[tuple[str, str, str]]:
    """(sha256, class, split) of each image of a run. Raises InputError."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [(row["sha256"], row["class"], row["split"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read ({error}); without it nobody knows what the run learned from"
    )
