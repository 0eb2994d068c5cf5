"""Accuracy of some runs against others on the same test images: difference, interval, p.

    python benchmarks/paired.py --a outputs/vgg16_frozen/* --b outputs/vgg16_finetune/*

Each side: the folders of runs that differ in their seed.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from cnnexp.reporting.statistics import paired_difference


def right(folder: Path) -> dict[str, bool]:
    """Path of a test image -> whether the run got it right."""
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return {row["path"]: row["prediction"] == row["label"] for row in csv.DictReader(file)}


def table(folders: list[Path]) -> tuple[list[str], np.ndarray]:
    """Paths, and (S, N) bool."""
    runs = [right(folder) for folder in folders]
    paths = sorted(runs[0])
    if any(sorted(run) != paths for run in runs):
        raise SystemExit(f"error: {', '.join(map(str, folders))}: not tested on the same images")
    return paths, np.array([[run[path] for path in paths] for run in runs])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--a", type=Path, nargs="+", required=True)
    parser.add_argument("--b", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    (paths, a), (others, b) = table(options.a), table(options.b)
    if paths != others:
        raise SystemExit("error: the two sides were not tested on the same images")
    found = paired_difference(a, b)
    for name, side in (("a", a), ("b", b)):
        each = ", ".join(f"{accuracy:.4f}" for accuracy in side.mean(1))
        print(f"{name}: {side.mean():.4f} over {len(side)} runs ({each})")
    print(
        f"b - a: {found.mean:+.4f}, 95% interval {found.low:+.4f} to {found.high:+.4f}, "
        f"p = {found.p:.2g}, {len(paths)} images"
    )


if __name__ == "__main__":
    main()
