"""Statistics of a comparison: against exact tests, worked examples and simulated experiments."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binomtest, norm, ttest_ind

from cnnexp.reporting.statistics import accuracies, differences, holm, resample


def pair(a: np.ndarray, b: np.ndarray, resamples: int = 10_000) -> tuple[float, ...]:
    """(mean, low, high, p) of b minus a. a, b: (S, N) bool."""
    drawn = resample(np.concatenate([a, b]).T, [range(len(a)), range(len(a), len(a) + len(b))],
                     resamples)  # fmt: skip
    return tuple(float(values[0]) for values in differences(drawn, 1, [0]))


def test_agrees_with_mcnemars_exact_test_for_one_seed() -> None:
    """100 images: A alone right on 5, B alone on 18, both on 60: of 23 that differ 18 for B."""
    a = np.array([[True] * 65 + [False] * 35])
    b = np.array([[True] * 60 + [False] * 5 + [True] * 18 + [False] * 17])
    mean, low, high, p = pair(a, b)
    assert mean == pytest.approx(0.13)
    assert p == pytest.approx(binomtest(18, 23).pvalue, abs=0.01)
    # Of the mean of 100 values of -1, 0, 1: 1.96 standard errors either way.
    error = 1.96 * np.sqrt((0.23 - 0.13**2) / 100)
    assert (low, high) == pytest.approx((0.13 - error, 0.13 + error), abs=0.02)


def test_far_from_zero_p_follows_the_normal_curve() -> None:
    """Beyond what 10,000 draws can say, so that 1,000 pairs may still be corrected for."""
    a = np.array([[True] * 500 + [False] * 500])
    b = np.array([[True] * 480 + [False] * 20 + [True] * 80 + [False] * 420])
    mean, *_, p = pair(a, b)
    z = mean / np.sqrt((0.1 - 0.06**2) / 1000)
    assert np.log10(p) == pytest.approx(np.log10(2 * norm.sf(z)), abs=0.5)


def test_equal_answers_are_no_difference() -> None:
    same = np.random.default_rng(0).random((3, 50)) < 0.8
    mean, low, high, p = pair(same[:1], same[:1])
    assert (mean, low, high, p) == (0, 0, 0, 1)
    mean, low, high, p = pair(same, same)
    assert mean == 0
    assert low < 0 < high
    assert p > 0.5


def test_no_interval_reaches_beyond_what_is_possible() -> None:
    """Two seeds that lie far apart: stretched by Student's t, it would end at about 150 points."""
    seeds = [[True] * 95 + [False] * 5, [True] * 20 + [False] * 80]
    a, b = np.zeros((2, 100), dtype=bool), np.array(seeds)
    mean, low, high, _ = pair(a, b)
    assert mean == pytest.approx(0.575)
    assert low < 0 < high == 1.0
    drawn = resample(b.T, [range(2)])
    own = accuracies(drawn)
    assert (float(own.low[0]), float(own.high[0])) == (0.0, 1.0)


def test_the_seeds_of_a_side_are_averaged() -> None:
    a = np.array([[True, False], [False, False]])
    b = np.array([[True, True]])
    assert pair(a, b)[0] == pytest.approx(0.75)


def test_where_only_seeds_vary_it_is_welchs_t_test() -> None:
    """10,000 images: what images add is nothing beside seeds that are 2 points apart."""
    rates = np.array([[0.80, 0.82, 0.85, 0.81], [0.86, 0.84, 0.83, 0.88]])
    count = 10_000
    right = np.stack([np.arange(count) < rate * count for rate in rates.ravel()])
    mean, low, high, p = pair(right[:4], right[4:], 4000)
    exact = ttest_ind(rates[1], rates[0], equal_var=False)
    assert mean == pytest.approx(0.0325, abs=1e-4)
    assert p == pytest.approx(exact.pvalue, rel=0.35)
    interval = exact.confidence_interval()
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=0.012)


def test_rao_and_wus_draws_have_the_unbiased_variance() -> None:
    """Two seeds, all images alike: half of the sample variance, not a quarter."""
    right = np.array([[True] * 100, [True] * 80 + [False] * 20]).T
    drawn = resample(right, [[0, 1]])
    by_images = resample(right.mean(1, keepdims=True), [[0]])
    own = float(drawn.covariance[0, 0] - by_images.covariance[0, 0])
    assert own == pytest.approx(0.2**2 / 2 / 2, rel=0.05)


def test_the_same_result_each_time_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.random.default_rng(1).random((90, 4)) < 0.7
    first, again = (resample(right, [[0, 1], [2, 3]], 300) for _ in range(2))
    np.testing.assert_array_equal(first.draws, again.draws)
    whole = accuracies(first)
    assert (whole.low < whole.mean).all()
    assert (whole.mean < whole.high).all()
    monkeypatch.setattr("cnnexp.reporting.statistics.CHUNK", 1000)  # bounded memory
    assert resample(right, [[0, 1], [2, 3]], 300).draws.shape == (2, 300)


def test_an_accuracys_interval_is_nearly_wilsons() -> None:
    right = np.arange(1000)[:, None] < 870
    found = accuracies(resample(right, [[0]]))
    assert (found.low[0], found.high[0]) == pytest.approx((0.8477, 0.8894), abs=0.002)


def test_holm() -> None:
    """The worked example of Wikipedia's article: four hypotheses at 5%, the first two rejected."""
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    assert (holm(p) < 0.05).tolist() == [True, False, False, True]
    np.testing.assert_allclose(holm(np.array([0.5, 0.6])), [1, 1])
    assert len(holm(np.array([]))) == 0


def simulated(
    generator: np.random.Generator, sets: int, images: int, accuracies: Sequence[float],
    *, seeds: int = 1, apart: float = 0.0,
) -> np.ndarray:  # fmt: skip
    """(N, sets * 2 * seeds) bool: in each set two models on the same images, which are as hard for
    one as for the other (their latent scores have a correlation of 0.7).
    """
    hard = generator.standard_normal((images, sets, 1, 1)) * np.sqrt(0.7)
    own = generator.standard_normal((images, sets, 2, seeds)) * np.sqrt(0.3)
    rates = np.array(accuracies)[:, None] + apart * generator.standard_normal((sets, 2, seeds))
    return (hard + own < ndtri(rates)).reshape(images, -1)


def decided(right: np.ndarray, seeds: int) -> np.ndarray:
    """Whether the second model of each set is found better or worse than the first, alone."""
    groups = [range(i, i + seeds) for i in range(0, right.shape[1], seeds)]
    drawn = resample(right, groups, 400)
    return np.array([differences(drawn, g + 1, [g]).p[0] < 0.05 for g in range(0, len(groups), 2)])


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.9, 0.97])
def test_identical_models_are_not_distinguished(accuracy: float) -> None:
    """500 test sets of 800 images: at most 7%."""
    right = simulated(np.random.default_rng(0), 500, 800, [accuracy, accuracy])
    assert decided(right, 1).mean() <= 0.07


def test_identical_models_with_seeds_that_vary_are_not_distinguished() -> None:
    """Three seeds each, half a point apart: also where images alone would be too sure."""
    generator = np.random.default_rng(0)
    right = simulated(generator, 500, 800, [0.85, 0.85], seeds=3, apart=0.005)
    assert decided(right, 3).mean() <= 0.07
    many = simulated(generator, 200, 5000, [0.85, 0.85], seeds=3, apart=0.005)
    assert decided(many, 3).mean() <= 0.07
    alone = np.array([pair_of_images(many, place) for place in range(200)])
    assert alone.mean() > 0.1, "without the seeds' part it would be wrong more often"


def pair_of_images(right: np.ndarray, place: int) -> bool:
    """The paired test that knows no seeds: |mean| > 1.96 standard errors over images."""
    six = right[:, 6 * place : 6 * place + 6]
    paired = six[:, 3:].mean(1) - six[:, :3].mean(1)
    return bool(abs(paired.mean()) > 1.96 * paired.std() / np.sqrt(len(paired)))


def test_five_points_are_found() -> None:
    """2,000 images, one seed each."""
    right = simulated(np.random.default_rng(0), 200, 2000, [0.75, 0.80])
    assert decided(right, 1).mean() >= 0.8
