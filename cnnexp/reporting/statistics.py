"""What may be concluded from models' answers to the same test images, with one or several seeds.

Two things are left to chance: which images were in the test set, and which seeds the networks were
trained from. Both are drawn again together, the same images for all models, so that differences
are paired.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

RESAMPLES = 10_000
CHUNK = 4_000_000  # weights in memory at a time
LEVEL = 0.05


class Draws(NamedTuple):
    """What chance could have given. mean: (G,) accuracies as measured. draws: (G, R), resampled.

    covariance: (G, G), of the draws. seed_variance: (G,), what better and worse seeds add to the
    variance of each mean; zero for one seed. seeds: (G,). images: how many.
    """

    mean: np.ndarray
    draws: np.ndarray
    covariance: np.ndarray
    seed_variance: np.ndarray
    seeds: np.ndarray
    images: int


class Intervals(NamedTuple):
    """Each (M,). low, high: 95% intervals. p: two-sided, of a true value of zero."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def resample(
    right: np.ndarray,
    groups: Sequence[Sequence[int]],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Draws:
    """Accuracies of G groups, drawn `resamples` times: images with replacement, the same for all;
    and, of a group with S > 1 seeds, S - 1 seeds with replacement.

    right: (N, runs) bool. groups: the columns of each. Drawing S - 1 makes the variance of a mean
    of few unbiased (Rao and Wu 1988, "Resampling inference with complex survey data"). The two are
    added, so that what seeds differ by on single images counts twice and not three times (Owen
    2007, "The pigeonhole bootstrap"): intervals are rather too wide than too narrow.
    """
    count, runs = right.shape
    generator = np.random.default_rng(seed)
    answers = np.ascontiguousarray(right, dtype=np.float32)  # sums of up to 2**24 are exact
    accuracies = np.empty((runs, resamples), dtype=np.float32)
    rows = max(1, CHUNK // count)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(0, count, (size, count), dtype=np.int32)
        drawn += count * np.arange(size, dtype=np.int32)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        accuracies[:, start : start + size] = (weights.astype(np.float32) @ answers).T / count
    own = right.mean(0, dtype=np.float64)  # (runs,)
    draws = np.empty((len(groups), resamples), dtype=np.float32)
    variance = np.zeros(len(groups))
    for number, members in enumerate(groups):
        columns, s = list(members), len(members)
        if s == 1:
            draws[number] = accuracies[columns[0]]
            continue
        shares = generator.multinomial(s - 1, np.full(s, 1 / s), resamples) / (s - 1)  # (R, S)
        draws[number] = accuracies[columns].mean(0) + shares @ own[columns] - own[columns].mean()
        # Seeds that are equally good still differ by as much, on single images.
        by_chance = right[:, columns].var(1, ddof=1).mean() / count
        variance[number] = max(own[columns].var(ddof=1) - by_chance, 0) / s
    mean = np.array([own[list(members)].mean() for members in groups])
    # Not numpy's cov: it would double the memory.
    apart = draws - draws.mean(1, keepdims=True)
    covariance = (apart @ apart.T).astype(np.float64) / resamples
    return Draws(mean, draws, covariance, variance, np.array([len(m) for m in groups]), count)


def accuracies(drawn: Draws) -> Intervals:
    """Of each group's accuracy; its p is of an accuracy of zero and says nothing."""
    variance = np.diag(drawn.covariance)
    freedom = _freedom(drawn, variance, np.arange(len(variance)))
    return _intervals(drawn.mean, iter(drawn.draws), variance, freedom, within=(0, 1))


def differences(drawn: Draws, first: int, others: Sequence[int]) -> Intervals:
    """Accuracy of group `first` minus that of each of `others`, from the same draws.

    Interval: percentiles, stretched about the mean by t / z where seeds are few, for a spread that
    is estimated from two or three seeds is itself uncertain (Welch and Satterthwaite's degrees of
    freedom, as Hesterberg 2015, "What teachers should know about the bootstrap", expands them).
    p: twice the share of draws on the other side of zero, each count plus one (Davison and Hinkley
    1997), through the same t; where no draw is there, the normal curve says how far out zero lies.
    """
    them = np.asarray(others)
    cov = drawn.covariance
    variance = np.maximum(cov[first, first] + np.diag(cov)[them] - 2 * cov[first, them], 0)
    freedom = _freedom(drawn, variance, np.full(len(them), first), them)
    apart = (drawn.draws[first] - drawn.draws[other] for other in them)
    mean = drawn.mean[first] - drawn.mean[them]
    return _intervals(mean, apart, variance, freedom, within=(-1, 1))


def holm(p: np.ndarray) -> np.ndarray:
    """P values of M comparisons, corrected for all of them (Holm 1979). p: (M,)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return corrected


def accuracy_interval(right: int, count: int) -> tuple[float, float]:
    """95% interval of an accuracy of `right` out of `count` images (Wilson 1927)."""
    from scipy.stats import binomtest  # a second to import, which not everybody need wait for

    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _freedom(drawn: Draws, variance: np.ndarray, *sides: np.ndarray) -> np.ndarray:
    """(M,) degrees of freedom of variances that are sums of the sides' seeds' and the images'."""
    rest, squares = variance.copy(), np.zeros(len(variance))
    for groups in sides:
        own = drawn.seed_variance[groups]
        squares += own**2 / np.maximum(drawn.seeds[groups] - 1, 1)
        rest -= own
    squares += np.maximum(rest, 0) ** 2 / max(drawn.images - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / squares
    return np.nan_to_num(freedom, nan=np.inf, posinf=np.inf).clip(1, 1e9)


def _intervals(
    mean: np.ndarray,
    draws: Iterable[np.ndarray],
    variance: np.ndarray,
    freedom: np.ndarray,
    *,
    within: tuple[float, float],
) -> Intervals:
    """mean, variance, freedom: (M,). draws: M times (R,), one after the other: they stay small.

    within: what is possible; of few seeds that are far apart an interval would reach beyond.
    """
    edges, beyond, count = np.empty((len(mean), 2)), np.empty(len(mean)), 1
    for row, draw in enumerate(draws):
        count = len(draw)
        ranks = [int(LEVEL / 2 * (count - 1)), math.ceil((1 - LEVEL / 2) * (count - 1))]
        edges[row] = np.partition(draw, ranks)[ranks]
        beyond[row] = min((draw <= 0).sum(), (draw >= 0).sum())
    stretch = stdtrit(freedom, 1 - LEVEL / 2) / ndtri(1 - LEVEL / 2)
    low, high = ((mean + stretch * (edges[:, side] - mean)).clip(*within) for side in (0, 1))
    p = np.minimum(2 * (beyond + 1) / (count + 1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = 2 * ndtr(-np.abs(mean) / np.sqrt(variance))
    p = np.where((beyond == 0) & (variance > 0), np.minimum(p, tail), p)
    return Intervals(mean, low, high, 2 * stdtr(freedom, ndtri(p / 2)))  # z to the same t
