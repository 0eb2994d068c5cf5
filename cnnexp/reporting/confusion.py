"""The confusion matrix: which classes are taken for which."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter

from cnnexp.reporting.page import MARGIN, Page, fitted, text_width
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.statistics import confusion_counts
from cnnexp.reporting.style import INK, QUIET, house_style
from cnnexp.reporting.units import percent

MANY = 10  # classes; beyond them the cells hold no percentages, and the worst pairs are listed
LONGEST = 1.7  # inches of a class's name
SMALLEST_FONT = 5.0  # points; smaller counts aren't written


@house_style
def confusion_matrix(
    labels: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    classes: Sequence[str],
) -> Picture:
    """Counts, shaded by their share of the true class; recall per class; the worst pairs.

    labels, predictions: N class numbers, 0 to K-1. classes: K names, written up to K = 150.
    """
    counts = confusion_counts(labels, predictions, len(classes))
    per_class = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(per_class, 1)
    k = len(classes)
    named = k <= 150  # more would be a page that no one reads and memory that no one has
    cell = float(np.clip(6.4 / k, 0.115 if named else 12 / k, 1.1))  # inches
    font = min(10.0, 0.85 * 72 * cell)
    names = [fitted(name, LONGEST, font) if named else "" for name in classes]
    longest = max(text_width(name, font) for name in names)
    upright = longest > 0.92 * cell and k > 5
    below = longest if upright else font / 72
    under = names if upright else [fitted(name, 0.92 * cell, font) for name in names]
    left = MARGIN + 0.3 + longest + 0.1
    side, recall = k * cell, 0.6
    pairs = worst_pairs(counts, 12) if k > MANY else []
    panel = left + side + recall + 0.25
    width = panel + (2.9 if pairs else 1.3)
    total, right = int(counts.sum()), int(np.trace(counts))
    accuracy = percent(right / total) if total else "no image"
    page = Page(
        max(width, 5.5),
        max(0.2 + side + below + 0.55, 2.2),
        "Confusion matrix",
        [f"{right:,} of {total:,} right: {accuracy}"],
    )
    axes = page.axes(left, 0.2, side, side)
    norm = PowerNorm(0.5, 0, 1)  # a share of 1% is seen, which is what one looks for
    axes.imshow(shares, cmap="Blues", norm=norm, aspect="auto")
    axes.set_xticks(range(k) if named else [], under if named else [])
    axes.tick_params(axis="x", labelrotation=90 if upright else 0)
    axes.set_yticks(range(k) if named else [], names if named else [])
    axes.tick_params(labelsize=font)
    axes.tick_params(length=0, pad=3)
    axes.set_xlabel("predicted", color=QUIET)
    page.text(MARGIN, 0.2 + side / 2, "true", rotation=90, va="center", color=QUIET)
    if k <= 40:
        axes.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5 if k <= MANY else 0.5)
        axes.tick_params(which="minor", length=0)
    _write_counts(axes, counts, shares, cell)
    if named:
        page.text(left + side + 0.1, 0.0, "recall", fontsize=8, color=QUIET)
    for row in range(k if named else 0):
        value = _percent(shares[row, row]) if per_class[row, 0] else "none"
        y = 0.2 + (row + 0.5) * cell
        page.text(left + side + 0.1, y, value, va="center_baseline", fontsize=min(font, 9))
    bar = page.axes(panel, 0.3, 0.13, 1.3)
    page.figure.colorbar(
        ScalarMappable(norm, "Blues"), cax=bar, format=PercentFormatter(1), ticks=[0, 0.1, 0.5, 1]
    )
    bar.tick_params(labelsize=8)
    page.text(panel, 0.0, "share of true class", fontsize=8, color=QUIET)
    if pairs:
        page.text(panel, 1.9, "Most often confused", fontweight="bold")
        for line, (true, predicted, count) in enumerate(pairs):
            room = 2.6 - text_width(f" → : {count}", 9)
            first = fitted(
                classes[true], max(room / 2, room - text_width(classes[predicted], 9)), 9
            )
            second = fitted(classes[predicted], room - text_width(first, 9), 9)
            page.text(panel, 2.15 + 0.19 * line, f"{first} → {second}: {count}", fontsize=9)
    often = "".join(
        f"; most often {classes[true]} is taken for {classes[said]}, {count:,} of "
        f"{int(counts[true].sum()):,}"
        for true, said, count in worst_pairs(counts, 1)
    )
    return Picture(
        page.figure,
        title="Confusion matrix",
        reading="A row is a true class, a column what was predicted: off the diagonal are the "
        "mistakes, an empty cell is none. Shades are shares of the row, on a square-root scale, "
        "so that rare ones are seen; recall is the diagonal's share.",
        alt=f"{right:,} of {total:,} test images are right{often}.",
    )


def worst_pairs(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """The off-diagonal (true, predicted, count) > 0, largest first, at most `most`."""
    wrong = [(int(t), int(p), int(counts[t, p])) for t, p in np.argwhere(counts) if t != p]
    return sorted(wrong, key=lambda pair: (-pair[2], pair[:2]))[:most]


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray, cell: float) -> None:
    widest = max((str(n) for n in counts.flat), key=len)
    font = min(12.0, 10 * 0.8 * cell / text_width(widest, 10), 72 * cell * 0.6)
    if font < SMALLEST_FONT:
        return
    percentages = len(counts) <= MANY
    for row, column in np.argwhere(counts):  # of a good network most cells are empty
        share = float(shares[row, column])
        up = 0.08 / cell if percentages else 0  # 1 is a cell
        place: dict[str, Any] = {
            "ha": "center", "va": "center", "color": "white" if share > 0.3 else INK,
        }  # fmt: skip
        axes.text(column, row - up, str(counts[row, column]), fontsize=font, **place)
        if percentages:
            axes.text(column, row + 0.13 / cell, _percent(share), fontsize=min(8, font), **place)


def _percent(share: float) -> str:
    """Whole per cent; 0% and 100% only for none and all."""
    if 0 < share < 0.01:
        return "<1%"
    return f"{math.floor(1000 * share) / 10}%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"
