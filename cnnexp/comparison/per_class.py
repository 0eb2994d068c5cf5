"""Where groups differ: the share of each class that each finds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import FuncFormatter

from cnnexp.comparison.labels import PALETTE, colour, names_within
from cnnexp.comparison.scores import Score
from cnnexp.reporting.page import MARGIN, Page, fitted, text_width
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import FAINT, INK, QUIET, house_style

MOST_CLASSES = 20
MOST_GROUPS = 20  # columns of the heat map
ROW = 0.3  # inches
LONGEST = 1.8  # inches of a name
MARKERS = "osD^vP"

READING = (
    "Recall: the share of a class's test images that is recognised, mean of the seeds. A class "
    "with few test images scatters: with {n:,} of them, as {name} has, one standard error is up to "
    "{points:.1f} points. Higher recall may come with more false alarms of that class: each run's "
    "confusion matrix shows both."
)


@house_style
def recall_per_class(
    scores: Sequence[Score], classes: Sequence[str], labels: np.ndarray
) -> Picture:
    """A dot per group up to six of them, else a heat map; the classes that spread most first, of
    more than 20 only those. labels: (N,) of the test images.
    """
    counts = np.bincount(labels, minlength=len(classes))
    fewest = int(np.where(counts, counts, len(labels)).argmin())
    recall = np.stack([score.recall for score in scores])  # (G, K)
    apart = recall.max(0) - recall.min(0)
    order = np.argsort(-apart, kind="stable")[:MOST_CLASSES]
    line = (
        f"the {len(order)} of {len(classes)} classes where they differ most"
        if len(classes) > len(order)
        else "classes where they differ most first"
    )
    names = [fitted(classes[k], LONGEST, 9) for k in order]
    draw = _dots if len(scores) <= len(PALETTE) else _heat
    page = draw(scores, recall[:, order], names, line)
    widest = order[0]
    best, worst = int(recall[:, widest].argmax()), int(recall[:, widest].argmin())
    return Picture(
        page.figure,
        title="Recall per class",
        reading=READING.format(
            n=counts[fewest], name=classes[fewest], points=50 / np.sqrt(counts[fewest])
        ),
        alt=f"Recall per class and group. Widest apart: {classes[widest]}, from "
        f"{100 * recall[worst, widest]:.0f}% ({scores[worst].group.label}) to "
        f"{100 * recall[best, widest]:.0f}% ({scores[best].group.label}).",
        numbers={classes[k]: [round(float(v), 4) for v in recall[:, k]] for k in order},
    )


def _dots(scores: Sequence[Score], recall: np.ndarray, names: Sequence[str], line: str) -> Page:
    left = MARGIN + max(text_width(name, 9) for name in names) + 0.15
    labels = names_within([score.group.label for score in scores], 3.2, 9)
    columns = 2 if len(labels) > 1 else 1
    legend = 0.22 * -(-len(labels) // columns) + 0.12
    height = ROW * len(names)
    names_end = MARGIN + 3.6 * (columns - 1) + 0.22 + max(text_width(label, 9) for label in labels)
    width = max(left + 5.6, names_end) + MARGIN
    page = Page(width, legend + height + 0.55, "Recall per class", [line])
    for i, label in enumerate(labels):
        x, y = MARGIN + 3.6 * (i % columns), 0.22 * (i // columns)
        place = (x + 0.08, y + 0.08)
        page.canvas.plot(*place, MARKERS[i], color=colour(i), ms=7, mec="white", mew=0.5)
        page.text(x + 0.22, y, label, fontsize=9, color=INK)
    axes = page.axes(left, legend, 5.6, height)
    rows = np.arange(len(names))
    axes.hlines(rows, recall.min(0), recall.max(0), color=FAINT, lw=3, zorder=1)
    for i in reversed(range(len(scores))):
        axes.plot(
            recall[i],
            rows + 0.1 * (i - (len(scores) - 1) / 2),
            MARKERS[i],
            color=colour(i),
            ms=7,
            mec="white",
            mew=0.7,
            zorder=3,
        )
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    low, high = float(recall.min()), float(recall.max())
    margin = 0.05 * max(high - low, 0.02)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axes.grid(True, axis="x")
    axes.set_xlabel("recall")
    axes.spines["left"].set_visible(False)
    return page


def _heat(scores: Sequence[Score], recall: np.ndarray, names: Sequence[str], line: str) -> Page:
    shown = recall[:MOST_GROUPS].T  # (K, G)
    means = recall.mean(0)[:, None]
    apart = 100 * (shown - means)
    labels = names_within([score.group.label for score in scores[:MOST_GROUPS]], 2.4, 8.5)
    left = MARGIN + max(text_width(name, 9) for name in names) + 0.15
    cell = float(np.clip(7 / len(labels), 0.36, 0.7))
    above = max(text_width(label, 8.5) for label in labels) + 0.12
    more = f"; the first {len(labels)} of {len(scores)} groups" if len(scores) > len(labels) else ""
    page = Page(
        left + cell * len(labels) + MARGIN + 1.2, above + ROW * len(names) + 0.2,
        "Recall per class, against the mean of all groups", [f"points; {line}{more}"],
    )  # fmt: skip
    axes = page.axes(left, above, cell * len(labels), ROW * len(names))
    limit = max(float(np.abs(apart).max()), 0.1)
    norm = TwoSlopeNorm(0, -limit, limit)
    axes.imshow(apart, cmap="RdBu", norm=norm, aspect="auto")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for column, label in enumerate(labels):
        x = left + cell * (column + 0.5)
        page.text(x, above - 0.06, label, rotation=90, ha="center", va="bottom", fontsize=8.5)
    for row, column in np.ndindex(apart.shape):
        dark = abs(apart[row, column]) > 0.62 * limit
        axes.text(
            column, row, f"{apart[row, column]:+.0f}".replace("-", "−"), ha="center",
            va="center_baseline", fontsize=8, color="white" if dark else INK,
        )  # fmt: skip
    bar = page.axes(left + cell * len(labels) + 0.25, above, 0.13, min(1.3, ROW * len(names)))
    page.figure.colorbar(ScalarMappable(norm, "RdBu"), cax=bar)
    bar.tick_params(labelsize=8, labelcolor=QUIET)
    return page
