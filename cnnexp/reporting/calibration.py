"""The reliability diagram: is the network right as often as it says it is?

Guo et al. 2017, "On Calibration of Modern Neural Networks", equations 2, 3 and 5.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.ticker import PercentFormatter
from torchmetrics.functional.classification import multiclass_calibration_error

from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.statistics import accuracy_interval
from cnnexp.reporting.style import BLUE, QUIET, VERMILION, house_style

BINS = 15  # as Guo et al. take, and as the metric calibration_error is computed
SIDE, PANEL = 3.6, 2.5  # inches


class Bin(NamedTuple):
    """Images whose confidence is in [start, start + 1/15), the last one's end included.

    confidence: their mean. accuracy: the share of them that is right; low, high: its 95% interval.
    """

    start: float
    images: int
    confidence: float
    accuracy: float
    low: float
    high: float


def reliability_bins(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """The bins that hold an image. labels: (N,). probabilities: (N, K); confidence: their max."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(1) == labels
    edges = torch.linspace(0, 1, BINS + 1).numpy()  # torchmetrics' own, to the last bit
    places = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, BINS - 1)
    bins = []
    for place in np.unique(places):
        own = places == place
        count, hits = int(own.sum()), int(right[own].sum())
        low, high = accuracy_interval(hits, count)
        mean = float(sure[own].mean(dtype=np.float64))
        bins.append(Bin(float(edges[place]), count, mean, hits / count, low, high))
    return bins


@house_style
def reliability_diagram(
    labels: Sequence[int] | np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> Picture:
    """Accuracy against confidence, how many images have which confidence, and the mean gap.

    labels: N >= 1 class numbers. probabilities: (N, K), each row sums to 1. classes: K names. The
    expected calibration error is torchmetrics' (which puts a confidence of exactly 1 in a bin of
    its own): the one that the run's metrics hold.
    """
    true = np.asarray(labels, dtype=np.int64)
    bins = reliability_bins(true, probabilities)
    count = len(true)
    accuracy = float((probabilities.argmax(1) == true).mean())
    confidence = float(probabilities.max(axis=1).mean(dtype=np.float64))
    error = float(
        multiclass_calibration_error(
            torch.from_numpy(np.asarray(probabilities)), torch.from_numpy(true), len(classes), BINS
        )
    )
    gap = confidence - accuracy
    trend = (
        f"over-confident by {100 * gap:.1f} points"
        if gap > 0
        else f"under-confident by {-100 * gap:.1f} points"
    )
    trend = "neither over- nor under-confident" if abs(gap) < 0.0005 else f"on average {trend}"
    page = Page(
        2 * MARGIN + 0.65 + SIDE + 0.35 + PANEL,
        SIDE + 0.35 + 0.9 + 0.55,
        "Reliability diagram",
        ["Is the network right as often as it says?"],
    )
    left, below = MARGIN + 0.65, 0.1 + SIDE + 0.2
    axes = page.axes(left, 0.1, SIDE, SIDE)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.2, linestyle="--")
    axes.axvline(1 / len(classes), color=QUIET, linewidth=1, linestyle=":")
    for b in bins:
        axes.plot([b.confidence] * 2, [b.low, b.high], color=BLUE, linewidth=1.5)
    axes.plot([b.confidence for b in bins], [b.accuracy for b in bins], "o", color=BLUE, ms=6)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.grid(True)
    axes.set_ylabel("accuracy")
    axes.tick_params(labelbottom=False)
    shares = page.axes(left, below, SIDE, 0.9)
    heights = [b.images / count for b in bins]
    shares.bar([b.start for b in bins], heights, 1 / BINS, align="edge", color=BLUE, ec="white")
    shares.axvline(confidence, color=VERMILION, linewidth=1.5)
    shares.set_xlim(0, 1.02)
    shares.set_ylim(0, 1.08 * max(heights))
    shares.set_xlabel("confidence: probability of the predicted class")
    shares.set_ylabel("images")
    for axis in (axes.yaxis, shares.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    for each in (axes, shares):
        each.set_xticks(np.linspace(0, 1, 6))
    shares.set_yticks([0, max(heights)], ["0", f"{max(heights):.0%}"])
    x = left + SIDE + 0.35
    for row, (name, value) in enumerate(
        [
            ("accuracy", f"{accuracy:.1%}"),
            ("mean confidence", f"{confidence:.1%}"),
            ("calibration error", f"{error:.3f}"),
            ("test images", f"{count:,}"),
        ]
    ):
        page.text(x, 0.1 + 0.25 * row, name, color=QUIET)
        page.text(x + PANEL, 0.1 + 0.25 * row, value, ha="right", fontweight="bold")
    notes = (
        f"{trend[0].upper()}{trend[1:]}",
        f"Calibration error: expected, {BINS} bins",
        "Bars: 95% intervals (Wilson 1927)",
        "Dashed: right as often as it says",
        f"Dotted: 1/{len(classes)}, the least there can be",
        "Upright line below: mean confidence",
    )
    for row, note in enumerate(notes):
        page.text(x, 1.3 + 0.22 * row, note, fontsize=8.5, color=QUIET)
    return Picture(
        page.figure,
        title="Reliability diagram",
        reading="A point is the images of about the same confidence: below the dashed line the "
        "network is right less often than it says. The expected calibration error is the mean "
        "distance from that line, weighted by images; it depends on the number of bins "
        f"({BINS}), is never quite 0 on few images, and says nothing of how often the network is "
        "right.",
        alt=f"Accuracy against confidence in {len(bins)} bins; mean confidence {confidence:.1%}, "
        f"accuracy {accuracy:.1%}, {trend}; expected calibration error {error:.3f}.",
        numbers={
            "calibration_error": error,
            "bins": BINS,
            "accuracy": accuracy,
            "confidence": confidence,
            "points": [b._asdict() for b in bins],
        },
    )
