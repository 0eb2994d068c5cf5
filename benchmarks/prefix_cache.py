"""Time of a frozen phase with and without stored outputs: the same run twice, in one process.

    python benchmarks/prefix_cache.py [--epochs 20] [override …]

Trains experiment=vgg16_frozen at 150 pixels on 2,400 images, 800 for validation, first with an
empty cache, then with training.prefix_cache=false. Without overrides the images are generated and
the weights are drawn, which changes no time; `dataset=cats_dogs dataset.root=…
model.weights=<file>` takes real ones. Times are those of training: the frozen blocks' one pass, or
all of them, epochs and validation. Prints both, their ratio, and how far the two learning curves
lie apart. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch

import cnnexp

GENERATED = ["dataset=shapes", "dataset.classes=2", "dataset.images=4000", "model.weights=null"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for cached in (True, False):
            result = cnnexp.run(
                ["experiment=vgg16_frozen", *(options.overrides or GENERATED),
                 "dataset.image_size=150", f"trainer.max_epochs={options.epochs}",
                 f"training.prefix_cache={str(cached).lower()}", "paths.cache=cache",
                 "visualization=none", "tracking=none"]
            )  # fmt: skip
            assert result.folder is not None
            info = json.loads((Path(result.folder) / "run.json").read_text())
            found[cached] = (result.metrics["train_s"], info["phases"]["head"]["history"])
    (ours_s, ours), (theirs_s, theirs) = found[True], found[False]
    apart = {
        name: max(abs(a[name] - b[name]) for a, b in zip(ours, theirs, strict=True))
        for name in ("train/loss", "val/loss", "val/accuracy")
    }
    print(
        f"\nstored {ours_s:.1f} s, not stored {theirs_s:.1f} s: {theirs_s / ours_s:.1f} times, "
        f"{options.epochs} epochs, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print("largest distance of the curves:", ", ".join(f"{k} {v:.4f}" for k, v in apart.items()))


if __name__ == "__main__":
    main()
