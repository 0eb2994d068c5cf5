"""Images per second of training: cnnexp beside a hand-written PyTorch loop, in turns, in one
process.

    python benchmarks/training_throughput.py [--rounds 5] [--epochs 2] [override …]

Both train the network of experiment=cifar10_baseline with the same images, batch size, precision,
memory format, augmentation, optimizer and schedule. cnnexp's side is the whole product: Lightning,
metrics, MLflow, checkpoints; its rate is the one that a run reports, of training without
validation. Without overrides the images are generated ones of CIFAR-10's size; `dataset=cifar10
dataset.root=<folder>` takes the real ones. Prints each round and the median ratio. Nothing else
should run on the machine meanwhile.
"""

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

import torch

import cnnexp
from cnnexp.command import checked
from cnnexp.config.compose import compose
from cnnexp.config.instantiate import call
from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import (
    build_network,
    device_of,
    find_images,
    fit_normalization,
    load_images,
    precision_of,
)
from cnnexp.training.optimization import parameter_groups
from cnnexp.training.precision import autocast

GENERATED = ["dataset=shapes", "dataset.classes=6", "dataset.images=20000", "dataset.image_size=32",
             "dataset.batch_size=128", "visualization=none"]  # fmt: skip


def hand_written(config: dict[str, Any], images: ImageSet, epochs: int) -> float:
    """The loop that a careful person would write; images per second."""
    device, precision = device_of(config), precision_of(config)
    network = build_network(config, len(images.classes))
    fit_normalization(network, images)
    network = network.to(device, memory_format=torch.channels_last).train()
    chosen = torch.from_numpy(images.split["train"])
    pixels = torch.from_numpy(images.images)
    labels = torch.from_numpy(images.labels)
    augment = call(config["augmentation"])
    groups = parameter_groups(network, config["optimizer"]["lr"])
    optimizer = call(config["optimizer"], params=groups)
    size = config["dataset"]["batch_size"]
    steps = -(-len(chosen) // size) * epochs
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config["optimizer"]["lr"], total_steps=steps, cycle_momentum=False
    )
    began = time.perf_counter()
    for _ in range(epochs):
        order = chosen[torch.randperm(len(chosen))]
        for batch in order.split(size):
            x = augment(pixels[batch].permute(0, 3, 1, 2)).to(device)
            y = labels[batch].to(device)
            with autocast(precision, device):
                loss = torch.nn.functional.cross_entropy(network(x).float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return len(chosen) * epochs / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    overrides = [
        "experiment=cifar10_baseline",
        *(options.overrides or GENERATED),
        f"trainer.max_epochs={options.epochs}",
    ]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        config = checked(compose(overrides).config, overrides)
        images = load_images(config, find_images(config))
        hand_written(config, images, 1)  # warm-up: threads, memory, oneDNN's kernels
        for number in range(1, options.rounds + 1):
            ours = cnnexp.run(overrides).metrics["images_per_s"]
            loop = hand_written(config, images, options.epochs)
            ratios.append(ours / loop)
            print(
                f"round {number}: cnnexp {ours:,.0f}, loop {loop:,.0f} images/s, "
                f"ratio {ratios[-1]:.3f}"
            )
    print(f"\nmedian ratio {statistics.median(ratios):.3f} over {options.rounds} rounds, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{precision_of(config)} on {device_of(config)}")  # fmt: skip


if __name__ == "__main__":
    main()
