"""A network's answers on a split: predictions and figures of merit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import build_batches, device_of
from cnnexp.frozen import last_frozen, store_outputs
from cnnexp.logits import to_probabilities
from cnnexp.reporting.metrics import classification_metrics
from cnnexp.reporting.predictions import write_predictions
from cnnexp.reporting.statistics import interval_over
from cnnexp.reporting.units import of_groups
from cnnexp.training.predict import predict_logits

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Tested:
    """N answers in the order of the split. metrics: `test/accuracy` and so on, by full name.

    logits: (N, K) or (N, 1). probabilities: (N, K). labels, indices: (N,). clusters: (N,) names of
    groups; None: no images belong together. interval: 95%, of the accuracy. precision: of the
    network's passes, "bf16-mixed" and so on.
    """

    metrics: dict[str, float]
    interval: tuple[float, float]
    logits: torch.Tensor
    probabilities: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    clusters: np.ndarray | None
    precision: str


def answer(config: Config, network: nn.Sequential, images: ImageSet, *, precision: str) -> Tested:
    """Run `network` over the test images once; its last phase's frozen blocks, where they were run
    before, not at all.
    """
    stored, blocks = None, last_frozen(config, network)
    if blocks:
        stored = store_outputs(config, network, images, "test", blocks=blocks, precision=precision)
    logits, labels, indices = predict_logits(
        network,
        build_batches(config, images, "test", stored=stored),
        precision=precision,
        device=device_of(config),
        skip=0 if stored is None else blocks,
    )
    shares = to_probabilities(logits)
    metrics = classification_metrics(logits, shares, labels, images.classes)
    right = (shares.argmax(1) == labels).numpy()
    clusters = images.clusters(indices.numpy())
    return Tested(
        {f"test/{name}": value for name, value in metrics.items()},
        interval_over(right, clusters),
        logits,
        shares.numpy(),
        labels.numpy(),
        indices.numpy(),
        clusters,
        precision,
    )


def verdict(tested: Tested) -> str:
    """One line: accuracy with its interval, and the loss."""
    low, high = tested.interval
    count = len(tested.labels)
    images = f"{count:,} image{'s' * (count != 1)}{of_groups(tested.clusters)}"
    return (
        f"accuracy {tested.metrics['test/accuracy']:.4f} (95% interval {low:.3f} to {high:.3f}, "
        f"{images}), loss {tested.metrics['test/loss']:.4f}"
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
