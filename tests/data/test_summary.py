import csv
from pathlib import Path

import numpy as np

from cnnexp.data.image_set import ImageSet, LeftOut
from cnnexp.data.summary import summary, write_left_out


def image_set(classes: int, left_out: int) -> ImageSet:
    labels = np.arange(10 * classes) % classes
    index = np.arange(10 * classes)
    return ImageSet(
        name="letters",
        classes=tuple(f"class{i}" for i in range(classes)),
        images=np.zeros((10 * classes, 4, 4, 3), np.uint8),
        labels=labels,
        paths=tuple(f"{i:03d}" for i in index),
        sha256=tuple(f"{i:064d}" for i in index),
        split={
            "train": index[: 6 * classes],
            "validation": index[6 * classes : 8 * classes],
            "test": index[8 * classes :],
        },
        left_out=tuple(LeftOut(f"bad{i:02d}", "empty file") for i in range(left_out)),
        notes=("mind the gap",),
        digest="",
    )


def test_classes_and_splits_are_tabled() -> None:
    assert summary(image_set(2, 0)) == [
        "letters: 20 images of 2 classes, 4x4 pixels",
        "                 train  validation        test",
        "  class0             6           2           2",
        "  class1             6           2           2",
        "note: mind the gap",
    ]


def test_many_classes_are_ranges() -> None:
    assert summary(image_set(30, 0))[1] == (
        "  180 train (6 per class), 60 validation (2 per class), 60 test (2 per class)"
    )


def test_one_line_for_all_classes() -> None:
    assert summary(image_set(2, 0), by_class=False)[1:] == [
        "  12 train (6 per class), 4 validation (2 per class), 4 test (2 per class)",
        "note: mind the gap",
    ]


def test_left_out_files_are_listed_and_long_lists_cut() -> None:
    lines = summary(image_set(2, 3))
    assert lines[4:8] == [
        "left out 3 of 23 files:",
        "  bad00: empty file",
        "  bad01: empty file",
        "  bad02: empty file",
    ]
    lines = summary(image_set(2, 25))
    assert "left out 25 of 45 files:" in lines
    assert sum("empty file" in line for line in lines) == 20
    assert "  … and 5 more, listed in left_out.csv" in lines


def test_csv(tmp_path: Path) -> None:
    write_left_out(tmp_path / "left_out.csv", [LeftOut('odd, "name".jpg', "empty file")])
    with open(tmp_path / "left_out.csv", newline="") as file:
        assert list(csv.reader(file)) == [["path", "reason"], ['odd, "name".jpg', "empty file"]]
