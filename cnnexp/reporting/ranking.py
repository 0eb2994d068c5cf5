"""ROC and precision-recall curves: how well a binary network ranks one class above the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy.special import stdtrit
from scipy.stats import rankdata

from cnnexp.reporting.metrics import auroc
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.statistics import LEVEL, cluster_sums, wilson
from cnnexp.reporting.style import BLUE, INK, QUIET, house_style

SIDE, BETWEEN = 3.5, 0.95  # inches


class Area(NamedTuple):
    """low, high: a 95% interval; both None where one of the classes has a single image, which says
    nothing of how far others of its class would lie apart.
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.3f} (one image: no interval)"
        return f"{self.value:.3f} (95%: {self.low:.3f} to {self.high:.3f})"


def roc_area(positive: np.ndarray, scores: np.ndarray, clusters: np.ndarray | None = None) -> Area:
    """The area under the ROC curve. positive: (N,) bool, some of each. scores: (N,). clusters: (N,)
    of the images that belong together; None: none do.

    Its variance, by DeLong et al. 1988, is that of the two classes' placements; by midranks as Sun
    and Xu 2014 have it. Of few images it is often too small by luck, for an area of 1 it is 0. So
    it is taken to be no smaller than that of two exponential distributions, with the mean of m and
    n for either (Newcombe 2006, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic", part 2, method 5). Of clusters it is that of the sums of their images'
    placements (Obuchowski 1997), and the least is that of as many images as there are clusters.
    """
    value = auroc(scores, positive)
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    # How many of the other class each image is ranked above, as a share.
    above = (ranks[positive] - rankdata(scores[positive])) / n
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
    overlap = (1 - value) / (2 - value) + value / (1 + value)
    m, n = units(positive, clusters)
    least = (1 + ((m + n) / 2 - 1) * overlap) / (m * n)
    return _interval(value, above, below, least, in_turn(positive, clusters))


def units(positive: np.ndarray, clusters: np.ndarray | None) -> tuple[int, int]:
    """How many images are positive, and negative; or how many clusters have such."""
    if clusters is None:
        return int(positive.sum()), int((~positive).sum())
    return len(np.unique(clusters[positive])), len(np.unique(clusters[~positive]))


def in_turn(positive: np.ndarray, clusters: np.ndarray | None) -> np.ndarray | None:
    """(N,) those of the positive images, then of the others."""
    return None if clusters is None else np.append(clusters[positive], clusters[~positive])


def average_precision(
    positive: np.ndarray, scores: np.ndarray, clusters: np.ndarray | None = None
) -> Area:
    """The area under the precision-recall curve, by steps. Arguments as for `roc_area`.

    It is the mean over positive images of k / (k + f): k positive ones and f others are ranked as
    high as it, or above. Its variance is that of what each image adds, to first order: a positive
    one its own share, and f / (k + f)^2 to each one below; another takes k / (k + f)^2 off those
    (the delta method, as DeLong's for the ROC curve). It is taken to be no smaller than that of a
    share of as many images as the rarer class has, which Boyd, Eng, Page 2013 take for it, "Area
    under the Precision-Recall Curve: Point Estimates and Confidence Intervals", equation 2.
    """
    from sklearn.metrics import average_precision_score  # here: a second, for two classes alone

    value = float(average_precision_score(positive, scores))
    hits, others = np.sort(scores[positive]), np.sort(scores[~positive])
    m, n = len(hits), len(others)
    k, f = m - np.searchsorted(hits, hits), n - np.searchsorted(others, hits)

    def below(weights: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Sum of the weights of the positive images that are ranked no higher than each score."""
        return np.append(0, np.cumsum(weights))[np.searchsorted(hits, at, side="right")]

    gain = k / (k + f) + below(f / (k + f) ** 2, hits)
    loss = n / m * below(k / (k + f) ** 2, others)
    order = np.argsort(scores, kind="stable")  # as gain and loss are
    own = in_turn(positive[order], None if clusters is None else clusters[order])
    return _interval(value, gain, -loss, 1 / min(units(positive, clusters)), own)


def _interval(
    value: float,
    first: np.ndarray,
    second: np.ndarray,
    least: float,
    clusters: np.ndarray | None,
) -> Area:
    """95% interval of a mean over two classes. first, second: what their images add; clusters: of
    these, one after the other.

    Wilson's, of as many images as would have given its variance (Korn and Graubard 1998), with
    Student's t and the degrees of freedom of Brunner and Munzel 2000. least: the smallest variance
    in parts of value (1 - value), so that perfect rankings have an interval.
    """
    if min(len(first), len(second)) < 2:
        return Area(value, None, None)
    if clusters is None:
        variances = np.array([part.var(ddof=1) / len(part) for part in (first, second)])
        freedoms = np.array([len(first) - 1, len(second) - 1])
    else:
        added = [(part - part.mean()) / len(part) for part in (first, second)]
        sums = cluster_sums(np.concatenate(added)[None], clusters)
        if (free := sums.size - 1) < 1:
            return Area(value, None, None)
        variances, freedoms = (free + 1) / free * (sums**2).sum(1), np.array([free])
    total, spread = variances.sum(), value * (1 - value)
    certain = total < 1e-12 or spread < 1e-12
    freedom = freedoms.min() if certain else total**2 / (variances**2 / freedoms).sum()
    count = 1 / max(least, 0 if certain else total / spread)
    low, high = wilson(value, count, stdtrit(freedom, 1 - LEVEL / 2))
    return Area(value, float(low), float(high))


@house_style
def roc_and_pr(
    labels: Sequence[int] | np.ndarray,
    scores: np.ndarray,
    classes: Sequence[str],
    clusters: np.ndarray | None = None,
) -> Picture:
    """Both curves of a binary problem, with the threshold 0.5 marked; class 1 is the positive one.

    labels: N numbers, 0 or 1. scores: (N,) log-odds of class 1, which rank as its probabilities do,
    also where these are all but 1. classes: 2 names. clusters: as for `roc_area`. Where the test
    images are all of one class there are no curves, and the figure says so.
    """
    if len(classes) != 2:
        raise ValueError(f"ROC and precision-recall curves are for 2 classes, not {len(classes)}")
    positive = np.asarray(labels) == 1
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
    from sklearn.metrics import precision_recall_curve, roc_curve

    area = roc_area(positive, scores, clusters)
    precise = average_precision(positive, scores, clusters)
    said = scores > 0  # as argmax decides, where equal for class 0
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
