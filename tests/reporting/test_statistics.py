"""Statistics of a comparison: against exact tests, worked examples and simulated experiments."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binomtest, norm, t, ttest_ind
from sklearn.metrics import f1_score

from cnnexp.reporting.statistics import (
    accuracies,
    accuracy_interval,
    differences,
    f1_of_images,
    holm,
    interval_over,
    measure,
)


def pair(a: np.ndarray, b: np.ndarray) -> tuple[float, ...]:
    """(mean, low, high, p) of b minus a. a, b: (S, N) bool."""
    groups = [range(len(a)), range(len(a), len(a) + len(b))]
    measured = measure(np.concatenate([a, b]).T, groups)
    return tuple(float(values[0]) for values in differences(measured, 1, [0], [0, 1]))


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
    a = np.array([[True] * 500 + [False] * 500])
    b = np.array([[True] * 480 + [False] * 20 + [True] * 80 + [False] * 420])
    mean, *_, p = pair(a, b)
    z = mean / np.sqrt((0.1 - 0.06**2) / 1000)
    assert np.log10(p) == pytest.approx(np.log10(2 * norm.sf(z)), abs=0.3)


def test_equal_answers_are_no_difference() -> None:
    """As if one image of fifty were another: 1.96 standard errors of 1/50, by Student's t."""
    same = np.random.default_rng(0).random((3, 50)) < 0.8
    mean, low, high, p = pair(same[:1], same[:1])
    assert (mean, p) == (0, 1)
    assert (low, high) == pytest.approx((-0.0402, 0.0402), abs=1e-4)
    mean, low, high, p = pair(same, same)
    assert mean == 0
    assert low < 0 < high
    assert p == 1


@pytest.mark.parametrize("differ", [3, 4, 6, 8])
def test_a_handful_of_different_answers_decides_hardly_sooner_than_in_mcnemars_test(
    differ: int,
) -> None:
    a, b = np.zeros((2, 1, 800), dtype=bool)
    b[0, :differ] = True
    exact = binomtest(differ, differ).pvalue
    assert exact / 4 < pair(a, b)[3] < exact
    assert (pair(a, b)[3] < 0.05) == (differ >= 5)


def test_no_interval_reaches_beyond_what_is_possible() -> None:
    """Two seeds that lie far apart: with Student's t, it would end at about 500 points."""
    seeds = [[True] * 95 + [False] * 5, [True] * 20 + [False] * 80]
    a, b = np.zeros((2, 100), dtype=bool), np.array(seeds)
    mean, low, high, _ = pair(a, b)
    assert mean == pytest.approx(0.575)
    assert low < 0 < high == 1.0
    own = accuracies(measure(b.T, [range(2)]), [[0]])
    assert 0 <= own.low[0] < 0.05
    assert 0.95 < own.high[0] <= 1


def test_the_seeds_of_a_side_are_averaged() -> None:
    a = np.array([[True, False], [False, False]])
    b = np.array([[True, True]])
    assert pair(a, b)[0] == pytest.approx(0.75)


def test_where_only_seeds_vary_it_is_nearly_welchs_t_test() -> None:
    """10,000 images: what images add is nothing beside seeds that are 2 points apart."""
    rates = np.array([[0.80, 0.82, 0.85, 0.81], [0.86, 0.84, 0.83, 0.88]])
    count = 10_000
    right = np.stack([np.arange(count) < rate * count for rate in rates.ravel()])
    mean, low, high, p = pair(right[:4], right[4:])
    exact = ttest_ind(rates[1], rates[0], equal_var=False)
    assert mean == pytest.approx(0.0325, abs=1e-4)
    assert p == pytest.approx(exact.pvalue, rel=0.35)
    interval = exact.confidence_interval()
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=0.012)


def test_seeds_that_agree_by_luck_count_as_the_others() -> None:
    """Worked by hand: variances of the seeds 0.02, 0 and 0.0002 (sum / 3 is the average 0.0067333,
    with 3 degrees of freedom); a group of one seed has the average, too.
    """
    rates = [0.9, 0.7, 0.6, 0.6, 0.80, 0.78, 0.5]
    right = np.stack([np.arange(10_000) < rate * 10_000 for rate in rates]).T
    measured = measure(right, [[0, 1], [2, 3], [4, 5], [6]])
    found = differences(measured, 0, [1, 2, 3], range(4))
    of_images = [
        (right[:, :2].mean(1) - right[:, others].mean(1)).var() / 10_000 + 1e-8
        for others in ([2, 3], [4, 5], [6])
    ]
    average, sizes = 0.0202 / 3, np.array([2, 2, 1])  # seeds of the other side
    variance = 0.01 + average / sizes + of_images
    # The average has a third of the first group's 0.02 in it: it is one estimate, not two.
    first, third = 0.02 * (1 / 2 + 1 / 3 / sizes), 0.0002 * (1 / 3 / sizes)
    freedom = variance**2 / (first**2 + third**2 + np.square(of_images) / 9999)
    half = t.ppf(0.975, freedom) * np.sqrt(variance)
    assert found.mean == pytest.approx([0.2, 0.01, 0.3])
    assert found.high == pytest.approx(np.minimum(found.mean + half, 1))
    # Of the two calm ones alone: the more spread out of both counts for both.
    calm = differences(measured, 2, [1], [1, 2])
    assert calm.high[0] < differences(measured, 2, [1], range(4)).high[0]


def test_an_accuracys_interval_of_one_seed_is_wilsons() -> None:
    for right, count in ((870, 1000), (3, 1000), (0, 1000), (1000, 1000), (9, 10), (1, 1)):
        found = accuracies(measure(np.arange(count)[:, None] < right, [[0]]), [[0]])
        own = (found.low[0], found.high[0])
        assert own == pytest.approx(accuracy_interval(right, count), abs=1e-6)


def test_an_accuracys_interval_has_the_seeds_in_it() -> None:
    """Three seeds, images alike: Student's interval of a mean with 2 degrees of freedom."""
    rates = np.array([0.80, 0.82, 0.87])
    right = np.stack([np.arange(100_000) < rate * 100_000 for rate in rates]).T
    found = accuracies(measure(right, [range(3)]), [[0]])
    half = t.ppf(0.975, 2) * rates.std(ddof=1) / np.sqrt(3)
    assert found.high[0] - found.low[0] == pytest.approx(2 * half, rel=0.05)


def test_what_images_add_to_f1() -> None:
    """Its mean is F1 as scikit-learn has it, its standard error that of the jackknife."""
    generator = np.random.default_rng(0)
    labels = np.where(generator.random(300) < 0.8, 0, generator.integers(1, 3, 300))
    said = np.where(generator.random(300) < 0.7, labels, generator.integers(0, 3, 300))
    found = f1_of_images(labels, said, 4)  # of the fourth class there is no image
    assert found.mean() == pytest.approx(f1_score(labels, said, average="macro"))
    without = [
        f1_score(np.delete(labels, i), np.delete(said, i), average="macro") for i in range(300)
    ]
    assert found.std() / np.sqrt(300) == pytest.approx(np.std(without) * np.sqrt(299), rel=0.02)


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
    found = []
    for place in range(0, right.shape[1], 2 * seeds):
        groups = [range(place, place + seeds), range(place + seeds, place + 2 * seeds)]
        found.append(differences(measure(right, groups), 1, [0], [0, 1]).p[0] < 0.05)
    return np.array(found)


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.9, 0.97])
def test_identical_models_are_not_distinguished(accuracy: float) -> None:
    """500 test sets of 800 images: at most 8%, three standard errors above 5%."""
    right = simulated(np.random.default_rng(0), 500, 800, [accuracy, accuracy])
    assert decided(right, 1).mean() <= 0.08


def test_identical_models_with_seeds_that_vary_are_not_distinguished() -> None:
    """Three seeds each, half a point apart: also where images alone would be too sure."""
    generator = np.random.default_rng(0)
    right = simulated(generator, 500, 800, [0.85, 0.85], seeds=3, apart=0.005)
    assert decided(right, 3).mean() <= 0.07
    many = simulated(generator, 200, 5000, [0.85, 0.85], seeds=3, apart=0.005)
    assert decided(many, 3).mean() <= 0.07
    alone = np.array([pair_of_images(many, place) for place in range(200)])
    assert alone.mean() > 0.1, "without the seeds' part it would be wrong more often"


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    "apart", [0.0, 0.015, 0.06, (0.06, 0.0, 0.0, 0.0), (0.06, 0.06, 0.0, 0.0)], ids=str
)
def test_of_four_equal_models_seldom_one_is_called_better(
    seeds: int, apart: float | tuple[float, ...]
) -> None:
    """All six pairs, Holm's correction, 300 experiments: at most 7%: 5%, and chance (of 1,000
    experiments 6% with two seeds, one model's alone far apart, and 0 to 3% else).
    """
    generator, wrong = np.random.default_rng(seeds), 0
    everyone = range(4)
    groups = [range(seeds * g, seeds * g + seeds) for g in everyone]
    for _ in range(300):
        hard = generator.standard_normal((1000, 1, 1)) * np.sqrt(0.7)
        own = generator.standard_normal((1000, 4, 1)) * np.sqrt(0.15)
        one = generator.standard_normal((1000, 4, seeds)) * np.sqrt(0.15)
        spread = np.broadcast_to(apart, 4)[:, None] * generator.standard_normal((4, seeds))
        right = (hard + own + one < ndtri(np.clip(0.8 + spread, 0.01, 0.99))).reshape(1000, -1)
        measured = measure(right, groups)
        p = [differences(measured, g, everyone[g + 1 :], everyone).p for g in everyone[:-1]]
        wrong += bool((holm(np.concatenate(p)) < 0.05).any())
    assert wrong <= 21


@pytest.mark.parametrize(
    ("seeds", "apart", "low", "high"),
    [((3, 3), (0.06, 0), 0, 36), ((2, 2), (0.06, 0), 24, 64), ((10, 2), (0, 0.04), 28, 72)],
    ids=str,
)
def test_how_often_two_equal_models_of_other_spreads_are_told_apart(
    seeds: tuple[int, int], apart: tuple[float, float], low: int, high: int
) -> None:
    """As docs/comparison.md says: of 400 experiments about 5% with three seeds each, 7 to 13% with
    two, or two beside ten; and what chance adds.
    """
    generator, wrong = np.random.default_rng(0), 0
    groups = [range(seeds[0]), range(seeds[0], sum(seeds))]
    for _ in range(400):
        answers = generator.standard_normal((1000, 1)) * np.sqrt(0.7)
        right = []
        for count, spread in zip(seeds, apart, strict=True):
            own = generator.standard_normal((1000, 1)) * np.sqrt(0.15)
            one = generator.standard_normal((1000, count)) * np.sqrt(0.15)
            rates = np.clip(0.8 + spread * generator.standard_normal(count), 0.01, 0.99)
            right.append(answers + own + one < ndtri(rates))
        measured = measure(np.concatenate(right, axis=1), groups)
        wrong += bool(differences(measured, 1, [0], [0, 1]).p[0] < 0.05)
    assert low <= wrong <= high


@pytest.mark.parametrize(("images", "rare"), [(200, 0.1), (1000, 0.02)])
def test_models_of_equal_f1_are_not_distinguished(images: int, rare: float) -> None:
    """Of 400 experiments at most 9%, 5% and chance; one seed each, recalls of 90 and 70%."""
    generator, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        labels = (np.arange(images) < max(2, rare * images)).astype(int)
        hard = generator.standard_normal((images, 1)) * np.sqrt(0.6)
        own = generator.standard_normal((images, 2)) * np.sqrt(0.4)
        right = hard + own < ndtri(np.where(labels, 0.7, 0.9))[:, None]
        said = np.where(right, labels[:, None], 1 - labels[:, None])
        figures = np.stack([f1_of_images(labels, column, 2) for column in said.T], axis=1)
        wrong += bool(differences(measure(figures, [[0], [1]]), 1, [0], [0, 1]).p[0] < 0.05)
    assert wrong <= 36


def patients(generator: np.random.Generator, count: int) -> np.ndarray:
    """Numbers of patients with 5 to 10 images each, of all images."""
    return np.repeat(np.arange(count), generator.integers(5, 11, count))


def test_clusters_by_hand() -> None:
    """Three patients: 2 of 2, 1 of 2 and 0 of 1 are right; the mean is 0.6."""
    right = np.array([[True], [True], [True], [False], [False]])
    measured = measure(right, [[0]], np.array(["b", "b", "a", "a", "c"]))
    assert (measured.images, measured.units) == (5, 3)
    assert measured.covariance[0, 0] == pytest.approx(3 / 2 * (0.8**2 + 0.2**2 + 0.6**2) / 25)
    alone = measure(right, [[0]], np.arange(5)).covariance
    assert alone == pytest.approx(5 / 4 * measure(right, [[0]]).covariance)


@pytest.mark.parametrize(("count", "share"), [(12, 0.7), (20, 0.97), (60, 0.9)])
def test_an_interval_over_patients_holds_the_accuracy(count: int, share: float) -> None:
    """Within a patient's images right and wrong correlate by 0.3; of 400 experiments at least 90 of
    100 hold it, where images are taken for independent at most 85.
    """
    generator, held, naive = np.random.default_rng(0), 0, 0
    for _ in range(400):
        clusters = patients(generator, count)
        beta = generator.beta(share * 7 / 3, (1 - share) * 7 / 3, count)
        right = generator.random(len(clusters)) < beta[clusters]
        low, high = interval_over(right, clusters)
        held += low <= share <= high
        low, high = interval_over(right, None)
        naive += low <= share <= high
    assert held >= 360
    assert naive <= 340


def test_images_of_one_group_that_are_all_right() -> None:
    """Nobody knows how alike they are: as of three images, not of thirty."""
    low, high = interval_over(np.ones(30, dtype=bool), np.arange(30) // 10)
    assert (low, high) == pytest.approx(accuracy_interval(3, 3))


def test_equal_models_on_patients_are_not_distinguished() -> None:
    """What one is good at are patients: images taken for independent err in a fifth."""
    generator, wrong = np.random.default_rng(0), [0, 0]
    for _ in range(400):
        clusters = patients(generator, 30)
        hard = 0.5 * generator.standard_normal(30)[clusters][:, None]
        own = 0.6 * generator.standard_normal((30, 2))[clusters]
        right = hard + own + 0.62 * generator.standard_normal((len(clusters), 2)) < ndtri(0.85)
        for place, together in enumerate((clusters, None)):
            measured = measure(right, [[0], [1]], together)
            wrong[place] += bool(differences(measured, 1, [0], [0, 1]).p[0] < 0.05)
    assert wrong[0] <= 32
    assert wrong[1] >= 60


def pair_of_images(right: np.ndarray, place: int) -> bool:
    """The paired test that knows no seeds: |mean| > 1.96 standard errors over images."""
    six = right[:, 6 * place : 6 * place + 6]
    paired = six[:, 3:].mean(1) - six[:, :3].mean(1)
    return bool(abs(paired.mean()) > 1.96 * paired.std() / np.sqrt(len(paired)))


def test_five_points_are_found() -> None:
    """2,000 images, one seed each."""
    right = simulated(np.random.default_rng(0), 200, 2000, [0.75, 0.80])
    assert decided(right, 1).mean() >= 0.8


def test_an_accuracys_interval_takes_seeds_that_agree_by_luck_as_those_of_its_like() -> None:
    """Two seeds each, 2 points apart: of 300 experiments the true 85% is in at least 92% of the
    intervals (by a group's own seeds alone in 90%); so for one seed beside one of five.
    """
    generator = np.random.default_rng(0)
    for seeds, groups in ((2, [[0, 1], [2, 3]]), (5, [[0], [5, 6, 7, 8, 9]])):
        inside = own = 0
        for _ in range(300):
            right = simulated(generator, 1, 1000, [0.85, 0.85], seeds=seeds, apart=0.02)
            measured = measure(right, groups)
            found, alone = accuracies(measured, [[0, 1]]), accuracies(measured, [[0], [1]])
            inside += found.low[0] <= 0.85 <= found.high[0]
            own += alone.low[0] <= 0.85 <= alone.high[0]
        assert inside >= 276
        assert own < inside


@pytest.mark.parametrize(("images", "rare"), [(400, 0.05), (400, 0.2), (2000, 0.02)])
def test_an_interval_of_f1_holds_it(images: int, rare: float) -> None:
    """Two classes, of each 90% are right; 1,500 experiments gave 93.9 to 95.0 of 100."""
    rng = np.random.default_rng(0)
    shares = np.array([[(1 - rare) * 0.9, (1 - rare) * 0.1], [rare * 0.1, rare * 0.9]])
    truth = np.mean(2 * np.diag(shares) / (shares.sum(0) + shares.sum(1)))
    held = 0
    for _ in range(300):
        cells = rng.choice(4, images, p=shares.ravel())
        added = f1_of_images(cells // 2, cells % 2, 2)
        interval = accuracies(measure(added[:, None], [[0]]), [[0]])
        held += int(interval.low[0] <= truth <= interval.high[0])
    assert 0.91 <= held / 300 <= 0.98
