"""ROC and precision-recall curves: how well a binary network ranks one class above the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy.stats import rankdata
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import BLUE, INK, QUIET, house_style

SIDE, BETWEEN = 3.5, 0.95  # inches
Z = 1.96  # 95%


class Area(NamedTuple):
    """low, high: a 95% interval; both None where the area is 0 or 1, for which there is none."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} (95%: {self.low:.3f} to {self.high:.3f})"


def roc_area(positive: np.ndarray, scores: np.ndarray) -> Area:
    """The area under the ROC curve. positive: (N,) bool, some of each. scores: (N,).

    Its variance: DeLong et al. 1988, by midranks as Sun and Xu 2014 have it; the interval is
    computed for the logit of the area, so that it stays within 0 and 1.
    """
    value = float(roc_auc_score(positive, scores))
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    # How many of the other class each image is ranked above, as a share.
    above = (ranks[positive] - rankdata(scores[positive])) / n
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
    variances = [float(v.var(ddof=1)) / len(v) if len(v) > 1 else np.inf for v in (above, below)]
    return _interval(value, sum(variances))


def average_precision(positive: np.ndarray, scores: np.ndarray) -> Area:
    """The area under the precision-recall curve, by steps. Arguments as for `roc_area`.

    The logit interval of Boyd, Eng, Page 2013, "Area under the Precision-Recall Curve: Point
    Estimates and Confidence Intervals", equation 2: n is the number of positive images.
    """
    value = float(average_precision_score(positive, scores))
    return _interval(value, value * (1 - value) / int(positive.sum()))


def _interval(value: float, variance: float) -> Area:
    spread = value * (1 - value)  # the inverse of the logit's slope
    if spread < 1e-12 or not np.isfinite(variance):
        return Area(value, None, None)
    logit, error = np.log(value / (1 - value)), Z * np.sqrt(variance) / spread
    low, high = (float(1 / (1 + np.exp(-x))) for x in (logit - error, logit + error))
    return Area(value, low, high)


@house_style
def roc_and_pr(
    labels: Sequence[int] | np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> Picture:
    """Both curves of a binary problem, with the threshold 0.5 marked; class 1 is the positive one.

    labels: N numbers, 0 or 1. probabilities: (N, 2). classes: 2 names. Where the test images are
    all of one class there are no curves, and the figure says so.
    """
    if len(classes) != 2:
        raise ValueError(f"ROC and precision-recall curves are for 2 classes, not {len(classes)}")
    positive = np.asarray(labels) == 1
    scores = np.asarray(probabilities, dtype=np.float64)[:, 1]
    share = float(positive.mean())
    width = 2 * MARGIN + 0.6 + 2 * SIDE + BETWEEN + 0.15  # the last tick's text
    line = f"{int(positive.sum()):,} of {len(positive):,} test images: {share:.1%}"
    name = fitted(classes[1], width - 5.5, 10)
    page = Page(width, 0.55 + SIDE + 0.65, "ROC and precision-recall curves",
                [f"Positive class: {name} ({line})"])  # fmt: skip
    title, reading = "ROC and precision-recall curves", (
        "A point is a threshold on the probability of the positive class; the circle is 0.5. The "
        "area under the ROC curve is the chance that a positive image is ranked above a negative "
        "one; it looks good where positives are rare, and the precision-recall curve, whose chance "
        "line is their share, then tells more. Neither says whether the probabilities are right."
    )  # fmt: skip
    if positive.all() or not positive.any():
        page.text(MARGIN, 0.2, "No curves: all test images are of one class.")
        return Picture(page.figure, title, reading, "No curves: all test images are of one class.")
    area, precise = roc_area(positive, scores), average_precision(positive, scores)
    said = scores > 0.5  # as argmax decides, where equal for class 0
    hits, alarms = float(said[positive].mean()), float(said[~positive].mean())
    precision = float(positive[said].mean()) if said.any() else None
    left = MARGIN + 0.6
    axes = _axes(page, left, "ROC", f"area {area}")
    false_rate, true_rate, _ = roc_curve(positive, scores, drop_intermediate=False)
    axes.plot(false_rate, true_rate, color=BLUE, clip_on=False)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.2, linestyle="--", label="chance")
    _mark(axes, alarms, hits)
    axes.set_xlabel("negatives taken for positive")
    axes.set_ylabel("positives found (recall)")
    right = left + SIDE + BETWEEN
    axes = _axes(page, right, "Precision and recall", f"average precision {precise}")
    precisions, recalls, _ = precision_recall_curve(positive, scores)
    precisions[-1] = precisions[-2]  # scikit-learn ends in a 1 that no threshold gives
    axes.plot(recalls, precisions, color=BLUE, drawstyle="steps-post", clip_on=False)
    axes.axhline(share, color=QUIET, linewidth=1.2, linestyle="--", label=f"chance ({share:.1%})")
    if precision is not None:
        _mark(axes, hits, precision)
    axes.set_xlabel("positives found (recall)")
    axes.set_ylabel("right of those taken for positive (precision)")
    for each in page.figure.axes:
        each.legend(loc="lower right" if each is not axes or share < 0.5 else "lower left")
    numbers: dict[str, Any] = {
        "positive": classes[1],
        "images": len(positive),
        "positives": int(positive.sum()),
        "roc_auc": area._asdict(),
        "average_precision": precise._asdict(),
        "at_0.5": {"recall": hits, "false_positive_rate": alarms, "precision": precision},
    }
    return Picture(
        page.figure,
        title,
        reading,
        f"ROC curve with area {area} and precision-recall curve with average precision {precise}; "
        f"positive class {classes[1]}, {line}.",
        numbers,
    )


def _axes(page: Page, x: float, name: str, area: str) -> Axes:
    page.text(x, 0.02, name, fontsize=11, fontweight="bold")
    page.text(x, 0.23, area, fontsize=9, color=QUIET)
    axes = page.axes(x, 0.55, SIDE, SIDE)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.grid(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return axes


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        x, y, "o", ms=10, mfc="none", mec=INK, mew=1.8, clip_on=False, label="threshold 0.5",
        linestyle="none",
    )  # fmt: skip
