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
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from cnnexp.command import checked
from cnnexp.config.compose import compose
from cnnexp.experiment import find_images, load_images, precision_of

GENERATED = ["dataset=shapes", "dataset.classes=6", "dataset.images=20000", "dataset.image_size=32",
             "dataset.split={train:0.8,validation:0.1,test:0.1}"]  # fmt: skip
SIDES = Path(__file__).resolve().parent / "sides"
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
    root = "dataset.root="  # each side is started in a folder of its own
    typed = [
        f"{root}{Path(word.removeprefix(root)).resolve()}" if word.startswith(root) else word
        for word in options.words or GENERATED
    ]
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
        sides = {OURS: [sys.executable, "-m", "cnnexp", *overrides, "paths.outputs=runs"]}
        wanted = [("loop", sys.executable, precision)]
        others = [("template", sys.executable)]
        others += [("keras_fit", options.keras)] if options.keras else []
        wanted += [
            (*side, kind) for side in others for kind in dict.fromkeys(("32-true", precision))
        ]
        for script, python, kind in wanted:
            words = [str(SIDES / f"{script}.py"), str(data), str(options.epochs), kind]
            sides[f"{script}, {kind}"] = [python, *words]
        rates, memory = defaultdict(list), defaultdict(list)
        for number in range(1, options.rounds + 1):
            for side, command in sides.items():
                rate, mib = measured(command, folder)
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


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """(images/s, MiB) of a side that is run in this folder."""
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(f"{' '.join(command)}:\n{text}")
    if "-m" in command:
        newest = max(folder.glob("runs/*/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
        (phase,) = json.loads(newest.read_text())["phases"].values()
        epochs = [epoch["images_per_s"] for epoch in phase["history"]]
    else:
        epochs = json.loads(text.strip().splitlines()[-1])["images_per_s"]
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return statistics.median(epochs[1:]), used.ru_maxrss * unit / 2**20


if __name__ == "__main__":
    main()
