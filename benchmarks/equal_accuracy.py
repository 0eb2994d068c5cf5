"""Whether what makes cnnexp fast costs accuracy: the same training by a hand-written loop, seeds.

    python benchmarks/equal_accuracy.py [--seeds 3] [--epochs 10] [word …]

experiment=cifar10_baseline and benchmarks/sides/loop.py: the same network, images, batch size,
crops and mirrors, optimizer and schedule, each with its own random numbers; both answer the same
test images when they have trained. cnnexp takes the weights of the epoch that was best on the
validation images, the loop its last ones, which the schedule makes nearly the same. Words are those
of the command line of cnnexp: `dataset=cifar10 dataset.root=<folder>`. What runs beside it does not
matter.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from commands import SIDES, baseline, done, loaded, newest_run, ours
from scipy.stats import ttest_ind

from cnnexp.experiment import precision_of


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("words", nargs="*", help="of the command line of cnnexp")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds: 2 or more, one has no spread")
    overrides = [*baseline(options.words, options.epochs), "tracking=none"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, images = loaded(overrides)
        train, test = images.split["train"], images.split["test"]
        data = folder / "images.npz"
        np.savez(
            data,
            images=images.images[train],
            labels=images.labels[train],
            test_images=images.images[test],
            test_labels=images.labels[test],
        )
        reached: dict[str, list[float]] = {"cnnexp": [], "the loop": []}
        for seed in range(options.seeds):
            done(ours(*overrides, f"seed={seed}"), folder)
            reached["cnnexp"].append(newest_run(folder)["metrics"]["test/accuracy"])
            words = [str(data), str(options.epochs), precision_of(config), str(seed)]
            ran = done([sys.executable, str(SIDES / "loop.py"), *words], folder)
            reached["the loop"].append(ran.last_line()["accuracy"])
            both = ", ".join(f"{side} {100 * found[-1]:.2f}%" for side, found in reached.items())
            print(f"seed {seed}: {both}", flush=True)
    for side, found in reached.items():
        mean, spread = statistics.mean(found), statistics.stdev(found)
        print(f"{side:8} {100 * mean:.2f}% ± {100 * spread:.2f} over {options.seeds} seeds")
    test_of_means = ttest_ind(*reached.values(), equal_var=False)
    low, high = test_of_means.confidence_interval(0.95)
    apart = statistics.mean(reached["cnnexp"]) - statistics.mean(reached["the loop"])
    print(
        f"{len(train):,} training images, {len(test):,} test images, {options.epochs} epochs: "
        f"cnnexp {100 * apart:+.2f} points (95% interval {100 * low:+.2f} to {100 * high:+.2f})"
    )


if __name__ == "__main__":
    main()
