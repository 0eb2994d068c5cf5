"""A network's answers on a split: predictions, figures of merit, pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import build_batches, device_of, visualisers
from cnnexp.reporting.figures import confusion_matrix, save_figure
from cnnexp.reporting.metrics import accuracy_interval, classification_metrics
from cnnexp.runs import write_predictions
from cnnexp.training.loss import probabilities
from cnnexp.training.predict import predict_logits
from cnnexp.visualization.probe import Probe

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Tested:
    """N answers in the order of the split. metrics: `test/accuracy` and so on, by full name.

    probabilities: (N, K). labels, indices: (N,). interval: 95%, of the accuracy.
    """

    metrics: dict[str, float]
    interval: tuple[float, float]
    probabilities: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


def answer(
    config: Config, network: nn.Sequential, images: ImageSet, *, precision: str, split: str = "test"
) -> Tested:
    """Run `network` over a split once."""
    logits, labels, indices = predict_logits(
        network,
        build_batches(config, images, split),
        precision=precision,
        device=device_of(config),
    )
    shares = probabilities(logits)
    metrics = classification_metrics(logits, shares, labels, images.classes)
    right = int((shares.argmax(1) == labels).sum())
    return Tested(
        {f"{split}/{name}": value for name, value in metrics.items()},
        accuracy_interval(right, len(labels)),
        shares.numpy(),
        labels.numpy(),
        indices.numpy(),
    )


def verdict(tested: Tested) -> str:
    """One line: accuracy with its interval, and the loss."""
    low, high = tested.interval
    return (
        f"accuracy {tested.metrics['test/accuracy']:.4f} (95% interval {low:.3f} to {high:.3f}, "
        f"{len(tested.labels):,} images), loss {tested.metrics['test/loss']:.4f}"
    )


def save_predictions(path: Path, tested: Tested, images: ImageSet) -> None:
    write_predictions(
        path,
        classes=images.classes,
        paths=[images.paths[i] for i in tested.indices],
        indices=tested.indices,
        probabilities=tested.probabilities,
        labels=tested.labels,
    )


def check_pictures(config: Config, network: nn.Sequential, images: ImageSet) -> None:
    """Let each visualiser look at two training images: its mistakes come before the training."""
    probe = make_probe(network, images, device_of(config), split="train", count=2)
    for visualise in visualisers(config).values():
        visualise(probe)


def draw(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    tested: Tested,
    folder: Path,
    say: Callable[[str], None],
) -> list[Path]:
    """The pictures of a run: the confusion matrix and each configured visualiser's; the files.

    Visualisers see the same test images, taken class by class in turn.
    """
    predictions = tested.probabilities.argmax(1)
    figures = {"confusion_matrix": confusion_matrix(tested.labels, predictions, images.classes)}
    probe = make_probe(network, images, device_of(config))
    for name, visualise in visualisers(config).items():
        say(f"{name} …")
        figures |= visualise(probe)
    written = []
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")
        written.append(folder / f"{name}.png")
    return written


def make_probe(
    network: nn.Sequential,
    images: ImageSet,
    device: torch.device,
    split: str = "test",
    count: int = 64,
) -> Probe:
    """Up to `count` images: the first of each class, then the second of each, and so on."""
    members = images.split[split]
    labels = np.asarray(images.labels)[members]
    turn = np.empty(len(members), dtype=int)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    chosen = members[np.lexsort((labels, turn))][:count]
    pixels = torch.from_numpy(images.images[chosen]).permute(0, 3, 1, 2)
    return Probe(
        network=network.eval().to(device),
        images=pixels.to(device),
        labels=torch.from_numpy(np.asarray(images.labels)[chosen]).to(device),
        classes=images.classes,
        paths=tuple(images.paths[i] for i in chosen),
    )
