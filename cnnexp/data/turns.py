"""Which images to show of many: the first of each class, then the second of each, and so on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def turns(labels: ArrayLike) -> np.ndarray:
    """(N,) int64: how many of the same label come before. labels: (N,), numbers or names."""
    _, codes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    found = np.empty(len(codes), dtype=np.int64)
    before = np.repeat(np.cumsum(counts) - counts, counts)  # of other labels, label by label
    found[np.argsort(codes, kind="stable")] = np.arange(len(codes)) - before
    return found


def in_turn(labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """(N,) int64, an order: the first of each label, the labels sorted, then the second of each."""
    return np.lexsort((np.unique(np.asarray(labels), return_inverse=True)[1], turns(labels)))
