"""What may be concluded from models' answers to the same test images, with one or several seeds.

Two things are left to chance: which images were in the test set, and which seeds the networks were
trained from. Both add to the variance of a difference; the images are the same for all models, so
that differences are paired. Images that belong together, of one patient, say, are no independent
evidence: there the groups of images are the units that were drawn (Rao and Scott 1992).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

LEVEL = 0.05


class Measured(NamedTuple):
    """Accuracies of G groups, and what they vary by. mean: (G,).

    covariance: (G, G), of the means, as other images would have given. seed_variance: (G,), of one
    seed's accuracy from another's, with S - 1; zero for one seed. seeds: (G,). images: how many.
    units: how many clusters of images were drawn; as many where none belong together.
    """

    mean: np.ndarray
    covariance: np.ndarray
    seed_variance: np.ndarray
    seeds: np.ndarray
    images: int
    units: int


class Intervals(NamedTuple):
    """Each (M,). low, high: 95% intervals. p: two-sided, of a true value of zero."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def measure(
    right: np.ndarray, groups: Sequence[Sequence[int]], clusters: np.ndarray | None = None
) -> Measured:
    """right: (N, runs) bool, in the order of the images, or what `f1_of_images` gives. groups: the
    columns of each. clusters: (N,) of the images that belong together; None: none do.
    """
    count = len(right)
    accuracies = right.mean(0, dtype=np.float64)  # (runs,)
    seeds = np.array([len(members) for members in groups])
    shares = np.stack([right[:, list(members)].mean(1) for members in groups])  # (G, N)
    spread = [
        accuracies[list(members)].var(ddof=1) if len(members) > 1 else 0.0 for members in groups
    ]
    mean = shares.mean(1)
    if clusters is None:
        covariance = np.atleast_2d(np.cov(shares, bias=True)) / count
        return Measured(mean, covariance, np.array(spread), seeds, count, count)
    sums = cluster_sums(shares - mean[:, None], clusters)
    units = sums.shape[1]
    covariance = units / max(units - 1, 1) * (sums @ sums.T) / count**2
    return Measured(mean, covariance, np.array(spread), seeds, count, units)


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """values: (G, N) -> (G, C), of each cluster. clusters: (N,)."""
    _, number = np.unique(clusters, return_inverse=True)
    return np.stack([np.bincount(number, weights=row) for row in values])


def f1_of_images(
    labels: Sequence[int] | np.ndarray, predictions: Sequence[int] | np.ndarray, k: int
) -> np.ndarray:
    """(N,) what each image adds to F1: their mean is the mean F1 of the classes that have images,
    their variance over N that of F1, for `measure` in place of right and wrong.

    F1 of a class, 2 TP / (2 TP + FP + FN), to the first order in each image's weight (the
    infinitesimal jackknife, Efron 1982).
    """
    true, said = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    counts = confusion_counts(true, said, k)
    images = counts.sum(axis=1)
    f1 = scores_of_classes(counts)[2]
    there = images > 0
    weight = np.where(
        there, len(true) / np.maximum(images + counts.sum(axis=0), 1) / there.sum(), 0
    )
    own = 2 * (true == said) * weight[true] - (f1 * weight)[true] - (f1 * weight)[said]
    return np.asarray(f1[there].mean() + own)


def accuracies(measured: Measured, alike: Sequence[Sequence[int]]) -> Intervals:
    """Of each group's accuracy, over images and seeds; p says nothing here.

    alike: each group is in one of them, whose seeds say how far seeds lie apart, see `differences`.
    Wilson's interval (1927) of as many images as would have given that variance (Korn and Graubard
    1998), with Student's t: where no group has several seeds it is that of `accuracy_interval`. Of
    clusters that all agree nobody knows how alike they are within: each counts as one image.
    """
    mean, images = measured.mean, np.diag(measured.covariance)
    shares = np.zeros((len(mean), len(mean)))
    for among in alike:
        shares[list(among)] = _shares_of_seeds(measured, among)[list(among)]
    variance = images + shares @ measured.seed_variance
    squares = (shares * measured.seed_variance) ** 2 @ (1 / np.maximum(measured.seeds - 1, 1))
    # Wilson's own quantile is the normal curve's: what has degrees is seeds, and clusters.
    if measured.units < measured.images:
        squares += images**2 / max(measured.units - 1, 1)
    freedom = _freedom(variance, squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        count = np.where(variance > 0, mean * (1 - mean) / variance, measured.units)
    t = stdtrit(freedom, 1 - LEVEL / 2)
    low, high = wilson(mean, count, t)
    return Intervals(mean, low, high, np.zeros(len(mean)))


def differences(
    measured: Measured, first: int, others: Sequence[int], among: Sequence[int]
) -> Intervals:
    """Accuracy of group `first` minus that of each of `others`, by Student's t.

    among: groups whose seeds say how far seeds lie apart. Two or three seeds may agree by
    luck, so a group's are taken to lie as far apart as they did, or as those of `among` did on
    average, if that is more; those of a group of one seed, as on average. What seeds differ by on
    single images is in both variances: intervals are rather too wide than too narrow (Owen 2007,
    "The pigeonhole bootstrap"). Degrees of freedom: Satterthwaite 1946. The images' variance has
    one more image on which a model is right and the other wrong, so that a handful of different
    answers does not decide (as Agresti and Min 2005 for matched pairs).
    """
    them = np.asarray(others)
    cov = measured.covariance
    images = cov[first, first] + np.diag(cov)[them] - 2 * cov[first, them]
    images = np.maximum(images, 0) + 1 / measured.images**2
    shares = _shares_of_seeds(measured, among)
    shares = shares[first] + shares[them]  # (M, G)
    variance = images + shares @ measured.seed_variance
    squares = (shares * measured.seed_variance) ** 2 @ (1 / np.maximum(measured.seeds - 1, 1))
    squares += images**2 / max(measured.units - 1, 1)
    freedom = _freedom(variance, squares)
    mean, error = measured.mean[first] - measured.mean[them], np.sqrt(variance)
    half = stdtrit(freedom, 1 - LEVEL / 2) * error
    # Of few seeds that are far apart an interval would reach beyond what is possible.
    low, high = (mean - half).clip(-1, 1), (mean + half).clip(-1, 1)
    return Intervals(mean, low, high, 2 * stdtr(freedom, -np.abs(mean) / error))


def holm(p: np.ndarray) -> np.ndarray:
    """P values of M comparisons, corrected for all of them (Holm 1979). p: (M,)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return corrected


def wilson(mean: Any, count: Any, quantile: Any) -> tuple[Any, Any]:
    """Interval of a share that is the mean of `count` zeros and ones (Wilson 1927); numbers or
    arrays, quantile: 1.96 for 95%, or Student's. Of shares of 0 and 1 it is an interval, too.
    """
    grown = 1 + quantile**2 / count
    centre = (mean + quantile**2 / (2 * count)) / grown
    half = quantile * np.sqrt(mean * (1 - mean) / count + (quantile / (2 * count)) ** 2) / grown
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p value of two networks' answers to the same images. gained, lost: on how
    many the first, or the second, alone is right; were they equally good, each such image would be
    either's with probability 1/2 (McNemar 1947).
    """
    from scipy.stats import binomtest  # as below

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def accuracy_interval(right: int, count: int) -> tuple[float, float]:
    """95% interval of an accuracy of `right` out of `count` images (Wilson 1927)."""
    from scipy.stats import binomtest  # a second to import, which not everybody need wait for

    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def interval_over(right: np.ndarray, clusters: np.ndarray | None) -> tuple[float, float]:
    """95% interval of an accuracy. right: (N,) bool. clusters: as for `measure`."""
    if clusters is None:
        return accuracy_interval(int(right.sum()), len(right))
    found = accuracies(measure(right[:, None], [[0]], clusters), [[0]])
    return float(found.low[0]), float(found.high[0])


def confusion_counts(
    labels: Sequence[int] | np.ndarray, predictions: Sequence[int] | np.ndarray, k: int
) -> np.ndarray:
    """(k, k) int64: how many images of class row were predicted as class column."""
    true, said = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (true, said), 1)
    return counts


def scores_of_classes(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K, K) of `confusion_counts` -> precision, recall, F1 (K,) each; 0 without images."""
    right, true, said = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return (
        right / np.maximum(said, 1), right / np.maximum(true, 1),
        2 * right / np.maximum(true + said, 1),
    )  # fmt: skip


def _shares_of_seeds(measured: Measured, among: Sequence[int]) -> np.ndarray:
    """(G, G): how much of each group's seed variance is in the variance of a group's mean."""
    own, seeds = measured.seed_variance, measured.seeds
    weights = np.zeros(len(seeds))
    weights[list(among)] = seeds[list(among)] - 1
    if not weights.any():
        return np.zeros((len(seeds), len(seeds)))
    weights /= weights.sum()
    wide = own >= own @ weights
    return np.where(wide[:, None], np.eye(len(seeds)), weights) / seeds[:, None]


def _freedom(variance: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(M,) degrees of freedom of variances that are sums. squares: the sums of the parts' squares,
    each by its own degrees of freedom.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / squares
    return np.nan_to_num(freedom, nan=1e9, posinf=1e9).clip(1, 1e9)
