"""What a person is told about the images: a few lines in the console, and left_out.csv."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnexp.data.image_set import ImageSet, LeftOut
from cnnexp.datasets.source import SPLITS
from cnnexp.files import whole_file

LINES = 20  # of left-out files in the console; the file has all
TABLE = 12  # classes with a line of their own


def write_left_out(path: Path | str, left_out: Sequence[LeftOut]) -> None:
    """left_out.csv: path, reason."""
    with whole_file(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "reason"))
        rows.writerows((item.path, item.reason) for item in left_out)


def summary(images: ImageSet, *, by_class: bool = True) -> list[str]:
    """Counts per split, what was left out and why, notes; one string per line. by_class: a line for
    each class, of up to `TABLE`.
    """
    size = images.images.shape[1]
    total = sum(len(images.split[name]) for name in SPLITS)
    lines = [
        f"{images.name}: {total:,} images of {len(images.classes)} classes, {size}x{size} pixels",
        *_counts(images, by_class),
    ]
    if images.left_out:
        # Copies are both decoded and left out: count each file once.
        files = len(set(images.paths) | {item.path for item in images.left_out})
        lines.append(f"left out {len(images.left_out):,} of {files:,} files:")
        lines += [f"  {item.path}: {item.reason}" for item in images.left_out[:LINES]]
        if len(images.left_out) > LINES:
            rest = len(images.left_out) - LINES
            lines.append(f"  … and {rest:,} more, listed in left_out.csv")
    return lines + [f"note: {note}" for note in images.notes]


def _counts(images: ImageSet, by_class: bool) -> list[str]:
    k = len(images.classes)
    table = {s: np.bincount(images.labels[images.split[s]], minlength=k) for s in SPLITS}
    if k > TABLE or not by_class:
        ranges = (f"{table[s].sum():,} {s} ({_range(table[s])} per class)" for s in SPLITS)
        return ["  " + ", ".join(ranges)]
    width = max(8, *(len(name) for name in images.classes))
    lines = ["  " + " " * width + "".join(f"{name:>12}" for name in SPLITS)]
    for label, name in enumerate(images.classes):
        lines.append(f"  {name:<{width}}" + "".join(f"{table[s][label]:>12,}" for s in SPLITS))
    return lines


def _range(counts: np.ndarray) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
