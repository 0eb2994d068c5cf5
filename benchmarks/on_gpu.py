"""What cnnexp makes of a GPU: a CIFAR-10 recipe in seconds, VGG16 beside the card's matrix rate.

    python benchmarks/on_gpu.py fast [--runs 5] [word …]   seconds of training and test accuracy
    python benchmarks/on_gpu.py vgg16 [--batch 256]        share of the rate of a matrix product
    python benchmarks/on_gpu.py loop [word …]              images/s beside a hand-written loop

fast: experiment=cifar10_fast with seeds 0, 1, …, all in one process; the first run's seconds hold
what the process does once. Seconds: of training with validation and checkpoints; the test images
are answered once, after it. Then benchmarks/sides/fast_loop.py, the published recipe as a bare loop
on all 50,000 images. vgg16: all blocks train, on generated images of 150 pixels; its
multiplications (three times the forward pass's) a second, as a share of what a product of two
bfloat16 matrices of 8,192 rows reaches on the same card; data, augmentation, optimizer, metrics and
MLflow included. loop: benchmarks/sides/loop.py. Nothing else should use the GPU.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from commands import SIDES, absolute, done, loaded, newest_run, ours

import cnnexp
from cnnexp.experiment import precision_of


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("what", choices=["fast", "vgg16", "loop"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("words", nargs="*", help="of the command line of cnnexp")
    options = parser.parse_intermixed_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU here")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    words = absolute(options.words)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        if options.what == "fast":
            fast(words, options.runs)
        elif options.what == "vgg16":
            vgg16(words, options.batch)
        else:
            loop(words)


def fast(words: list[str], runs: int) -> None:
    seconds, right = [], []
    for seed in range(runs):
        result = cnnexp.run(
            ["experiment=cifar10_fast", "visualization=none", *words, f"seed={seed}"]
        )
        seconds.append(result.metrics["train_s"])
        right.append(100 * result.metrics["test/accuracy"])
        print(f"seed {seed}: {seconds[-1]:.2f} s, {right[-1]:.2f}%", flush=True)
    summed("cnnexp", seconds, right)
    overrides = ["experiment=cifar10_fast", *words]
    _, images = loaded(overrides)
    parts = {"": np.concatenate([images.split[name] for name in ("train", "validation")]),
             "test_": images.split["test"]}  # fmt: skip
    arrays = {f"{name}images": images.images[of] for name, of in parts.items()}
    arrays |= {f"{name}labels": images.labels[of] for name, of in parts.items()}
    np.savez("images.npz", **arrays)
    script = [sys.executable, str(SIDES / "fast_loop.py"), "images.npz", str(runs)]
    theirs = done(script, Path.cwd()).last_line()
    loop_s, plain, mean = zip(*theirs, strict=True)
    print("the loop's seconds:", *(f"{value:.2f}" for value in loop_s))
    summed("the loop", loop_s, [100 * share for share in plain])
    summed("… over six forms of an image", loop_s, [100 * share for share in mean])


def summed(who: str, seconds: Sequence[float], right: Sequence[float]) -> None:
    spread = f" ± {statistics.stdev(right):.2f}" if len(right) > 1 else ""
    reached = f"{statistics.mean(right):.2f}{spread}% of the test images right"
    print(f"{who}: {statistics.mean(seconds):.2f} s of training, {reached}")


def vgg16(words: list[str], batch: int) -> None:
    cnnexp.run([
        "model=vgg16", "model.weights=null", "phases=whole", "dataset=shapes",
        "dataset.images=6000", "dataset.image_size=150", "augmentation=crop_flip",
        f"dataset.batch_size={batch}", "optimizer=sgd", "optimizer.lr=0.001",
        "trainer.max_epochs=3", "visualization=none", *words,
    ])  # fmt: skip
    run = newest_run(Path.cwd())
    (phase,) = run["phases"].values()
    rate = statistics.median(epoch["images_per_s"] for epoch in phase["history"][1:])
    reached, most = rate * 6 * run["metrics"]["multiply_adds"], matrix_rate()
    print(f"{rate:,.0f} images/s, {reached / 1e12:.0f} of {most / 1e12:.0f} TFLOP/s: "
          f"{reached / most:.0%}")  # fmt: skip


def matrix_rate(size: int = 8192, rounds: int = 20) -> float:
    """FLOP/s of a product of two bfloat16 matrices."""
    left, right = torch.randn(2, size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        left @ right
    torch.cuda.synchronize()
    began_s = time.perf_counter()
    for _ in range(rounds):
        left @ right
    torch.cuda.synchronize()
    return rounds * 2 * size**3 / (time.perf_counter() - began_s)


def loop(words: list[str]) -> None:
    overrides = ["experiment=cifar10_baseline", "trainer.max_epochs=4", "visualization=none",
                 *words]  # fmt: skip
    config, images = loaded(overrides)
    chosen = images.split["train"]
    np.savez("images.npz", images=images.images[chosen], labels=images.labels[chosen])
    done(ours(*overrides), Path.cwd())
    (phase,) = newest_run(Path.cwd())["phases"].values()
    rates = [epoch["images_per_s"] for epoch in phase["history"]]
    script = [sys.executable, str(SIDES / "loop.py"), "images.npz", "4", precision_of(config)]
    theirs = done([*script, "0", "cuda"], Path.cwd()).last_line()["images_per_s"]
    own, other = (statistics.median(found[1:]) for found in (rates, theirs))
    print(f"cnnexp {own:,.0f} images/s, the loop {other:,.0f}: {own / other:.2f} times")


if __name__ == "__main__":
    main()
