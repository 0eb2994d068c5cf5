"""The figures of a classifier's run: how it learned, and what it confuses."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from cnnexp.files import whole_file
from cnnexp.reporting.page import MARGIN, Page, fitted, text_width
from cnnexp.reporting.style import (
    BLUE,
    DOTS_PER_INCH,
    INK,
    MISSING_GLYPH,
    ORANGE,
    QUIET,
    house_style,
)

MANY = 10  # classes; beyond them the cells hold no percentages, and the worst pairs are listed
LONGEST = 1.7  # inches of a class's name
SMALLEST_FONT = 5.0  # points; smaller counts aren't written


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a PNG; the same figure gives the same bytes (no date, no version inside)."""
    with whole_file(path, "wb") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


@house_style
def confusion_matrix(
    labels: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    classes: Sequence[str],
) -> Figure:
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
    accuracy = f"{100 * right / total:.1f}%" if total else "no image"
    page = Page(
        max(width, 5.5),
        max(0.2 + side + below + 0.55, 2.2),
        "Confusion matrix",
        [f"{right} of {total} right: {accuracy}"],
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
    return page.figure


def confusion_counts(
    labels: Sequence[int] | np.ndarray, predictions: Sequence[int] | np.ndarray, k: int
) -> np.ndarray:
    """(k, k) int64: how many images of class row were predicted as class column."""
    true, said = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (true, said), 1)
    return counts


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
    for (row, column), count in np.ndenumerate(counts):
        share = float(shares[row, column])
        colour = "white" if share > 0.3 else INK if count else "#9AA4AE"
        up = 0.08 / cell if percentages and count else 0  # 1 is a cell
        place: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        axes.text(column, row - up, str(count), fontsize=font, **place)
        if percentages and count:
            axes.text(column, row + 0.13 / cell, _percent(share), fontsize=min(8, font), **place)


def _percent(share: float) -> str:
    """Whole per cent; 0% and 100% only for none and all."""
    if 0 < share < 0.01:
        return "<1%"
    return f"{math.floor(1000 * share) / 10}%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


@house_style
def learning_curves(
    metrics: Sequence[Mapping[str, Any]],
    *,
    monitor: str = "val/accuracy",
    phases: Mapping[str, int] | None = None,
    chosen: int | None = None,
) -> Figure:
    """Loss, accuracy and learning rate against the epoch; the best epoch is marked.

    phases: name -> its epochs, in order; a line is drawn between two. chosen: the epoch that is
    marked in place of the best of all: the one whose weights the run ended with.

    metrics: a row per epoch: epoch (from 1), train/loss, val/loss, train/accuracy, val/accuracy,
    lr; what is missing, None or not finite isn't drawn. monitor: whose best epoch is
    marked: the smallest if it ends in "loss", else the largest; of equals the first.
    """
    best = next(
        (point for point in _series(metrics, monitor) if point[0] == chosen),
        best_epoch(metrics, monitor),
    )
    rates = _series(metrics, "lr")
    widths = [4.1, 4.1] + ([2.3] if rates else [])
    line = f"{len(metrics)} epochs" if len(metrics) != 1 else "1 epoch"
    if best:
        value = f"{best[1]:.4f}" if monitor.endswith("loss") else f"{100 * best[1]:.1f}%"
        of = f"the best of {list(phases)[-1]}" if phases and len(phases) > 1 else "the best"
        line += f"; {of} is epoch {best[0]}: {monitor} {value}"
    page = Page(
        2 * MARGIN + sum(widths) + 0.75 * len(widths) - 0.15, 3.75, "Learning curves", [line]
    )
    x = MARGIN + 0.55
    for width, name in zip(widths, ("loss", "accuracy", "lr"), strict=False):
        axes = page.axes(x, 0.3, width, 2.85)
        axes.grid(True)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if name == "lr":
            axes.set_title("Learning rate")
            axes.plot(*zip(*rates, strict=True), color=QUIET, **_marks(rates))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_ylim(0, 1.05 * max(rate for _, rate in rates) or None)
        else:
            _training_and_validation(axes, metrics, name, best[0] if best else None)
        begun = 0
        for phase, epochs in (phases or {}).items():
            if begun:
                axes.axvline(begun + 0.5, color=QUIET, linewidth=1, linestyle=":")
            if phases and len(phases) > 1:
                place = (begun + 0.5 + epochs / 2, 0.99)
                axes.text(*place, phase, transform=axes.get_xaxis_transform(), color=QUIET,
                          ha="center", va="top", fontsize="small")  # fmt: skip
            begun += epochs
        if len(metrics) == 1:
            axes.set_xticks([int(metrics[0].get("epoch", 1))])
        x += width + 0.75
    return page.figure


def best_epoch(metrics: Sequence[Mapping[str, Any]], monitor: str) -> tuple[int, float] | None:
    """(epoch, value) of the first best row; None where no row has a finite value."""
    series = _series(metrics, monitor)
    if not series:
        return None
    sign = 1 if monitor.endswith("loss") else -1
    return min(series, key=lambda point: (sign * point[1], point[0]))


def _series(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of the rows that have a finite one."""
    points = []
    for number, row in enumerate(metrics, start=1):
        value = row.get(key)
        if value not in (None, "") and math.isfinite(float(value)):
            points.append((int(row.get("epoch", number)), float(value)))
    return points


def _training_and_validation(
    axes: Axes, metrics: Sequence[Mapping[str, Any]], name: str, best: int | None
) -> None:
    """Both lines of loss or accuracy; told apart by colour, dashes and markers."""
    axes.set_title(name.capitalize())
    train, validation = _series(metrics, f"train/{name}"), _series(metrics, f"val/{name}")
    if train:
        style = {"color": BLUE, "linestyle": "--", "label": "training"} | _marks(train)
        axes.plot(*zip(*train, strict=True), **style)
    if validation:
        style = {"color": ORANGE, "label": "validation"} | _marks(validation)
        axes.plot(*zip(*validation, strict=True), **style)
        marked = [point for point in validation if point[0] == best]
        if marked:
            axes.plot(
                *marked[0], "o", ms=11, mfc="none", mec=INK, mew=1.8, label=f"best epoch ({best})"
            )
    if name == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    elif train or validation:
        axes.set_ylim(0, 1.08 * max(value for _, value in train + validation) or None)
    if train or validation:
        axes.legend(loc="best")


def _marks(points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """A marker per epoch while they are few; a single epoch has no line."""
    return {"marker": "o", "markersize": 4} if len(points) <= 20 else {}
