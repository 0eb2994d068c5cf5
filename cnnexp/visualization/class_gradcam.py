"""Class means of Grad-CAM: where in the image the network looks for each class, on average."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.colors import Normalize
from torch import nn

from cnnexp.config.types import PositiveInt
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture, picture_name
from cnnexp.reporting.style import QUIET, house_style
from cnnexp.visualization.gradcam import gradcam_maps
from cnnexp.visualization.layers import default_layer, find_layer
from cnnexp.visualization.overlay import heat_over, heat_scale, strength
from cnnexp.visualization.probe import Probe

SIDE, GAP, BETWEEN, ACROSS, BAR = 1.15, 0.05, 0.25, 5, 1.0  # inches; classes in a row
KEY = "visualization.class_gradcam.layer"


class ClassMean(NamedTuple):
    """label: a class's number. images: how many were averaged.

    pixels: (H, W, 3) their mean, 0 to 255. heat: (H, W) mean Grad-CAM map for that class, >= 0, in
    units of the score.
    """

    label: int
    images: int
    pixels: np.ndarray
    heat: np.ndarray


def class_mean(
    network: nn.Sequential, images: torch.Tensor, label: int, layer: str | None = None
) -> ClassMean:
    """Of images (B, 3, H, W) uint8, B >= 1. layer: as in `gradcam_maps`."""
    targets = torch.full((len(images),), label, dtype=torch.int64, device=images.device)
    heat = gradcam_maps(network, images, targets, layer, KEY).maps.mean(dim=0)
    pixels = images.float().mean(dim=0).permute(1, 2, 0)
    return ClassMean(label, len(images), pixels.cpu().numpy(), heat.cpu().numpy())


def chosen_classes(labels: np.ndarray, predictions: np.ndarray, most: int) -> list[int]:
    """Up to `most` classes that are there, in order; of more, those with the lowest recall."""
    images = np.bincount(labels)
    right = np.bincount(labels[predictions == labels], minlength=len(images))
    recall = right / np.maximum(images, 1)
    there = np.flatnonzero(images)
    return sorted(there[np.argsort(recall[there], kind="stable")[:most]].tolist())


def central_share(heat: np.ndarray) -> float | None:
    """Of the sum of a map (H, W), what lies in the middle quarter of its area; None if it is 0.

    0.25 for an even map.
    """
    rows, columns = (_middle(size) for size in heat.shape)
    total = float(heat.sum())
    return float(rows @ heat @ columns) / total if total > 0 else None


@house_style
def class_gradcam(
    probe: Probe, *, classes: PositiveInt = 20, images: PositiveInt = 32, layer: str | None = None
) -> dict[str, Picture]:
    """Mean image and mean map of the rightly predicted test images of each class."""
    name = picture_name("class_gradcam", layer)
    if layer is None:
        height, width = probe.images.shape[-2:]
        layer = default_layer(probe.network, (height, width))
    else:
        find_layer(probe.network, layer, KEY)
    labels, predictions = probe.test.labels, probe.probabilities.argmax(1)
    chosen = chosen_classes(labels, predictions, classes)
    right = {c: np.flatnonzero((labels == c) & (predictions == c)) for c in chosen}
    means = []
    for label in probe.progress([c for c in chosen if len(right[c])], "class means of Grad-CAM"):
        own = right[label]
        # Spread over the split: neighbours in it may be frames of one film.
        some = own[np.linspace(0, len(own) - 1, min(images, len(own))).round().astype(int)]
        seen = probe.test.take(some, probe.device)
        means.append(class_mean(probe.network, seen, label, layer))
    never = [probe.classes[c] for c in chosen if not len(right[c])]
    lines = [
        f"Per class: the mean of up to {images} rightly predicted test images, and their mean map. "
        "One scale.",
    ]
    if len(chosen) < len(np.unique(labels)):
        lines.append(f"The {len(chosen)} of {len(np.unique(labels))} classes with lowest recall.")
    if never:
        of = f"{never[0]} is" if len(never) == 1 else f"{len(never)} of {len(chosen)} classes are"
        lines.append(f"Not shown: {of} never predicted right.")
    numbers = {
        probe.classes[mean.label]: {
            "images": mean.images,
            "maximum": float(mean.heat.max()),
            "central_share": central_share(mean.heat),
        }
        for mean in means
    }
    shares = [n["central_share"] for n in numbers.values() if n["central_share"] is not None]
    middle = f"{np.mean(shares):.0%}" if shares else "none"
    return {
        name: Picture(
            _page(means, probe.classes, f"Class means of Grad-CAM at {layer}", lines).figure,
            title=f"Class means of Grad-CAM at {layer}",
            reading="Where, on average, the evidence for a class lies; only rightly predicted "
            "images count, and one scale serves all. A bright middle is mostly the photographer's "
            "bias: objects stand in the middle of pictures, and whatever finds them looks central "
            "on average; it does not show that the network finds them. What deserves a closer look "
            "is a mean at an edge or in a corner: a background, a watermark, a border may have "
            "decided.",
            alt=f"Mean image and mean heat map for {len(means)} classes; on average {middle} of "
            "the evidence lies in the middle quarter of the image (an even map: 25%).",
            numbers={"layer": layer, "classes": numbers, "never_right": never},
        )
    }


def _page(
    means: Sequence[ClassMean], classes: Sequence[str], title: str, lines: Sequence[str]
) -> Page:
    pair = 2 * SIDE + GAP
    across = max(1, min(ACROSS, len(means)))
    cell = 0.32 + SIDE + 0.42
    width = max(2 * MARGIN + across * (pair + BETWEEN) - BETWEEN / 2 + BAR, 7.5)
    page = Page(width, max(1, -(-len(means) // across)) * cell, title, lines)
    if not means:
        page.text(MARGIN, 0.2, "No test image was predicted right: there is nothing to average.")
        return page
    norm = Normalize(0, max(float(mean.heat.max()) for mean in means) or 1.0)
    for i, mean in enumerate(means):
        x, y = MARGIN + (i % across) * (pair + BETWEEN), 0.32 + (i // across) * cell
        name = fitted(classes[mean.label], pair, 10, "bold")
        page.text(x, y - 0.06, name, va="bottom", fontweight="bold")
        page.image(x, y, SIDE, SIDE, mean.pixels.round().astype(np.uint8))
        heat_over(page, (x + SIDE + GAP, y, SIDE, SIDE), mean.pixels, mean.heat, norm)
        some = "1 image" if mean.images == 1 else f"{mean.images} images"
        said = f"{some} · {strength(float(mean.heat.max()))}"
        page.text(x, y + SIDE + 0.08, said, fontsize=9, color=QUIET)
    bar = page.axes(MARGIN + across * (pair + BETWEEN), 0.32, 0.14, SIDE)
    heat_scale(bar, norm, "evidence for the class")
    return page


def _middle(size: int) -> np.ndarray:
    """(size,) 1 in the middle half, 0 outside, a fraction where the border cuts a pixel."""
    edges = np.clip(np.arange(size + 1), size / 4, 3 * size / 4)
    return np.diff(edges)
