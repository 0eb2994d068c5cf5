"""Paired differences: by hand, by an exact test, and no difference where there is none."""

import numpy as np
import pytest
from scipy.stats import binomtest

from cnnexp.reporting.statistics import paired_difference


def test_agrees_with_mcnemars_exact_test_for_one_seed() -> None:
    """100 images: A alone right on 5, B alone on 18, both on 60: of 23 that differ 18 for B."""
    a = np.array([[True] * 65 + [False] * 35])
    b = np.array([[True] * 60 + [False] * 5 + [True] * 18 + [False] * 17])
    found = paired_difference(a, b)
    assert found.mean == pytest.approx(0.13)
    assert found.p == pytest.approx(binomtest(18, 23).pvalue, abs=0.01)
    # Of the mean of 100 values of -1, 0, 1: 1.96 standard errors either way.
    error = 1.96 * np.sqrt((0.23 - 0.13**2) / 100)
    assert (found.low, found.high) == pytest.approx((0.13 - error, 0.13 + error), abs=0.02)


def test_equal_answers_are_no_difference() -> None:
    same = np.random.default_rng(0).random((3, 50)) < 0.8
    assert paired_difference(same, same) == (0, 0, 0, 1)


def test_the_seeds_of_a_side_are_averaged() -> None:
    a = np.array([[True, False], [False, False]])
    b = np.array([[True, True]])
    assert paired_difference(a, b).mean == pytest.approx(0.75)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="not the same ones"):
        paired_difference(np.ones((1, 3), bool), np.ones((1, 4), bool))
