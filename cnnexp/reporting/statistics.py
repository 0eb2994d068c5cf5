"""What may be concluded from two models' answers to the same test images."""

from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 10_000


class Difference(NamedTuple):
    """mean: of B minus A, in accuracy. low, high: its 95% interval. p: of no difference."""

    mean: float
    low: float
    high: float
    p: float


def paired_difference(right_a: np.ndarray, right_b: np.ndarray, seed: int = 0) -> Difference:
    """Accuracy of B minus that of A. right_a, right_b: (S, N) bool, S seeds by the same N images.

    Each image's share of seeds that got it right is paired. Interval: bootstrap over the images
    (Efron and Tibshirani 1993, percentiles); p: sign-flip permutation test of the mean, two-sided.
    The seeds count as they are: what other seeds would have given is not in the interval.
    """
    if right_a.shape[1:] != right_b.shape[1:]:
        raise ValueError(f"{right_a.shape[1]} and {right_b.shape[1]} images: not the same ones")
    paired = right_b.mean(0) - right_a.mean(0)  # (N,) in [-1, 1]
    if not paired.any():
        return Difference(0.0, 0.0, 0.0, 1.0)
    generator = np.random.default_rng(seed)
    interval = stats.bootstrap(
        (paired,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=generator, batch=500
    ).confidence_interval
    p = stats.permutation_test(
        (paired, np.zeros_like(paired)),
        lambda a, b, axis: (a - b).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=500,
        rng=generator,
    ).pvalue
    return Difference(float(paired.mean()), float(interval.low), float(interval.high), float(p))
