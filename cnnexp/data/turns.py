"""Which images to show of many: the first of each class, then the second of each, and so on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def turns(labels: ArrayLike) -> np.ndarray:
    """(N,) int64: how many of the same label come before. labels: (N,), numbers or names."""
    known, codes = np.unique(np.asarray(labels), return_inverse=True)
    found = np.empty(len(codes), dtype=np.int64)
    for code in range(len(known)):
        own = np.flatnonzero(codes == code)
        found[own] = np.arange(len(own))
    return found


def in_turn(labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """(N,) int64, an order: the first of each label, the labels sorted, then the second of each."""
    return np.lexsort((np.unique(np.asarray(labels), return_inverse=True)[1], turns(labels)))
