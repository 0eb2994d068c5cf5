"""Images per second and memory of training: cnnexp beside what one would use instead, in turns.

    python benchmarks/training_throughput.py [--rounds 5] [--epochs 3] [--keras <python>] [word …]

All train the network of experiment=cifar10_baseline, each in a process of its own, with the same
images, batch size, crops and mirrors, optimizer and schedule: cnnexp as a user starts it (metrics,
MLflow, checkpoints), benchmarks/sides/loop.py in cnnexp's precision, the usual Lightning template
and Keras in float32, which is what they do unless told otherwise, and in bfloat16. --keras: the
Python of an environment with tensorflow-cpu.

A round's rate is the median of its epochs but the first, of training without validation; memory is
the process's largest resident size, and that without the files that it maps, which are libraries
and cnnexp's store of decoded images. Without words the images are generated ones of CIFAR-10's
size; `dataset=cifar10 dataset.root=<folder>` takes the real ones. Prints each round and the median
ratios. Nothing else should run on the machine meanwhile.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from commands import SIDES, Done, baseline, done, loaded, newest_run, ours

from cnnexp.experiment import precision_of

GENERATED = ["dataset=shapes", "dataset.classes=6", "dataset.images=20000", "dataset.image_size=32",
             "dataset.split={train:0.8,validation:0.1,test:0.1}"]  # fmt: skip
OURS = "cnnexp"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="2 or more: the first is not counted")
    parser.add_argument("--keras", help="Python of an environment with tensorflow-cpu")
    parser.add_argument("words", nargs="*", help="of the command line of cnnexp")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs: 2 or more, the first is not counted")
    overrides = baseline(options.words or GENERATED, options.epochs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, images = loaded(overrides)
        chosen = images.split["train"]
        data = folder / "images.npz"
        np.savez(data, images=images.images[chosen], labels=images.labels[chosen])
        precision = precision_of(config)
        sides = {OURS: ours(*overrides)}
        wanted = [("loop", sys.executable, precision)]
        others = [("template", sys.executable)]
        others += [("keras_fit", options.keras)] if options.keras else []
        wanted += [
            (*side, kind) for side in others for kind in dict.fromkeys(("32-true", precision))
        ]
        for script, python, kind in wanted:
            words = [str(SIDES / f"{script}.py"), str(data), str(options.epochs), kind]
            sides[f"{script}, {kind}"] = [python, *words]
        rates, resident, own = defaultdict(list), defaultdict(list), defaultdict(list)
        parameters = {}
        for number in range(1, options.rounds + 1):
            for side, command in sides.items():
                ran, rate, parameters[side] = measured(command, folder)
                if parameters[side] != parameters[OURS]:
                    sys.exit(f"another network, of so many parameters: {parameters}")
                rates[side].append(rate)
                resident[side].append(ran.resident)
                own[side].append(ran.own)
                print(
                    f"round {number}: {side:22} {rate:8,.0f} images/s {ran.resident:8,.0f} MiB, "
                    f"{ran.own:8,.0f} MiB without mapped files",
                    flush=True,
                )
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{len(chosen):,} images, {options.rounds} rounds; medians")  # fmt: skip
    print(f"{'':22} {'images/s':>9} {'cnnexp':>7} {'MiB':>7} {'cnnexp':>7} {'own MiB':>9} "
          f"{'cnnexp':>7}")  # fmt: skip
    for side in sides:
        columns = []
        for found in (rates, resident, own):
            ratios = [ours / other for ours, other in zip(found[OURS], found[side], strict=True)]
            columns += [statistics.median(found[side]), statistics.median(ratios)]
        print("{:22} {:9,.0f} {:6.2f}x {:7,.0f} {:6.2f}x {:9,.0f} {:6.2f}x".format(side, *columns))


def measured(command: list[str], folder: Path) -> tuple[Done, float, int]:
    """A side that is run in this folder, its images/s and its parameters."""
    ran = done(command, folder)
    if "-m" in command:
        run = newest_run(folder)
        (phase,) = run["phases"].values()
        rates = [epoch["images_per_s"] for epoch in phase["history"]]
        parameters = int(run["metrics"]["parameters"])
    else:
        found = ran.last_line()
        rates, parameters = found["images_per_s"], found["parameters"]
    return ran, statistics.median(rates[1:]), parameters


if __name__ == "__main__":
    main()
