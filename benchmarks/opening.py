"""Seconds until all images of a folder have been seen once, beside Keras.

    python benchmarks/opening.py --keras <python> [--images 4000]

Makes JPEGs of 500x375 in two class folders; cnnexp opens them at 150 pixels and goes through all of
them in shuffled batches, and so does Keras's image_dataset_from_directory, each twice, in a process
of its own; imports are not counted. What counts is the second time, which is each further run of
an experiment; the first is shown beside it. --keras: the Python of an environment with
tensorflow-cpu. Nothing else should run on the machine meanwhile.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from commands import SIDES, done
from PIL import Image, ImageFilter

SIZE = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--keras", required=True, help="Python of an environment with tensorflow-cpu"
    )
    parser.add_argument("--images", type=int, default=4000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder / "photos", options.images)
        seconds: dict[str, list[float]] = {}
        for _ in range(2):
            for side, python, script in (
                ("cnnexp", sys.executable, "open_cnnexp"),
                ("Keras", options.keras, "open_keras"),
            ):
                ran = done([python, str(SIDES / f"{script}.py"), "photos", str(SIZE)], folder)
                found = ran.last_line()
                assert found["images"] == options.images, found
                seconds.setdefault(side, []).append(found["seconds"])
                print(f"{side}: {found['seconds']:.2f} s", flush=True)
    print(f"\n{options.images:,} JPEGs at {SIZE} pixels, the second time: cnnexp is "
          f"{seconds['Keras'][1] / seconds['cnnexp'][1]:.0f} times as fast; the first: "
          f"{seconds['Keras'][0] / seconds['cnnexp'][0]:.1f} times")  # fmt: skip


def write_photographs(folder: Path, count: int) -> None:
    """Smooth noise, all of them different; as large and as slow to decode as photographs."""
    drawn = np.random.default_rng(0)
    for number in range(count):
        of_class = folder / ("a" if number % 2 else "b")
        of_class.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(drawn.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        image = small.resize((500, 375), Image.Resampling.BICUBIC)
        image.filter(ImageFilter.SHARPEN).save(of_class / f"{number:05}.jpg", quality=90)


if __name__ == "__main__":
    main()
