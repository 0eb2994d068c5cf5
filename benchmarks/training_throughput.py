"""Images per second and memory of training: cnnexp beside what one would use instead, in turns.

    python benchmarks/training_throughput.py [--rounds 5] [--epochs 3] [--keras <python>] [word …]

All train the network of experiment=cifar10_baseline, each in a process of its own, with the same
images, batch size, crops and mirrors, optimizer and schedule: cnnexp as a user starts it (metrics,
MLflow, checkpoints), benchmarks/sides/loop.py in cnnexp's precision, the usual Lightning template
and Keras in float32, which is what they do unless told otherwise, and in bfloat16. --keras: the
Python of an environment with tensorflow-cpu.

A round's rate is the median of its epochs but the first, of training without validation; memory is
the process's largest resident size. Without words the images are generated ones of CIFAR-10's size;
`dataset=cifar10 dataset.root=<folder>` takes the real ones. Prints each round and the median
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
from commands import SIDES, absolute, done, newest_run, ours

from cnnexp.command import checked
from cnnexp.config.compose import compose
from cnnexp.experiment import find_images, load_images, precision_of

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
    typed = absolute(options.words or GENERATED)
    overrides = [
        "experiment=cifar10_baseline",
        *typed,
        f"trainer.max_epochs={options.epochs}",
        "trainer.accelerator=cpu",
        "visualization=none",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = checked(compose(overrides).config, overrides)
        images = load_images(config, find_images(config))
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
        rates, memory, parameters = defaultdict(list), defaultdict(list), {}
        for number in range(1, options.rounds + 1):
            for side, command in sides.items():
                rate, mib, count = measured(command, folder)
                parameters[side] = count
                if count != parameters[OURS]:
                    sys.exit(f"another network, of so many parameters: {parameters}")
                rates[side].append(rate)
                memory[side].append(mib)
                print(
                    f"round {number}: {side:22} {rate:8,.0f} images/s {mib:8,.0f} MiB", flush=True
                )
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{len(chosen):,} images, {options.rounds} rounds; medians")  # fmt: skip
    print(f"{'':22} {'images/s':>9} {'cnnexp is':>10} {'MiB':>8} {'cnnexp has':>11}")
    for side in sides:
        ratios = [ours / other for ours, other in zip(rates[OURS], rates[side], strict=True)]
        sizes = [ours / other for ours, other in zip(memory[OURS], memory[side], strict=True)]
        median = statistics.median
        print(
            f"{side:22} {median(rates[side]):9,.0f} {median(ratios):9.2f}x "
            f"{median(memory[side]):8,.0f} {median(sizes):10.2f}x"
        )


def measured(command: list[str], folder: Path) -> tuple[float, float, int]:
    """(images/s, MiB, parameters) of a side that is run in this folder."""
    ran = done(command, folder)
    if "-m" in command:
        run = newest_run(folder)
        (phase,) = run["phases"].values()
        rates = [epoch["images_per_s"] for epoch in phase["history"]]
        parameters = int(run["metrics"]["parameters"])
    else:
        found = ran.last_line()
        rates, parameters = found["images_per_s"], found["parameters"]
    return statistics.median(rates[1:]), ran.resident, parameters


if __name__ == "__main__":
    main()
