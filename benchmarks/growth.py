"""Time and memory with ten times as many images: opening them, and an epoch.

    python benchmarks/growth.py [--images 2000] [--times 10] [--size 96]

Two folders of JPEGs; of each a first run (cache and all) and a second one. Memory is the largest of
the process, without the files that it maps: the store of decoded images is one. Seconds are of the
whole command, less those of one that is as small as can be.
Nothing else should run on the machine meanwhile.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from commands import done, ours
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (60, options.images, options.images * options.times):
            write_images(folder / str(count), count, options.size)
            command = ours(
                "dataset=image_folder", f"dataset.root={count}",
                f"dataset.image_size={options.size}",
                "trainer.max_epochs=1", "visualization=none", "tracking=none", "paths.cache=cache",
            )  # fmt: skip
            for run in ("first", "second"):
                ran = found[count, run] = done(command, folder)
                print(f"{count:7,} images, {run:6} run: {ran.seconds:7.1f} s, {ran.own:6,.0f} MiB",
                      flush=True)  # fmt: skip
    few, many = options.images, options.images * options.times
    for run in ("first", "second"):
        least_s = found[60, run].seconds
        times = (found[many, run].seconds - least_s) / (found[few, run].seconds - least_s)
        memory = found[many, run].own - found[few, run].own
        print(f"{run} run, {options.times} times as many images: {times:.1f} times the time, "
              f"{memory:+,.0f} MiB")  # fmt: skip


def write_images(folder: Path, count: int, size: int) -> None:
    """In two class folders, all of them different."""
    drawn = np.random.default_rng(0)
    for number in range(count):
        of_class = folder / ("a" if number % 2 else "b")
        of_class.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(drawn.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(of_class / f"{number:06}.jpg")


if __name__ == "__main__":
    main()
