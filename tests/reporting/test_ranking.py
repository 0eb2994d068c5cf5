from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy import stats

from cnnexp.logits import log_odds
from cnnexp.reporting.metrics import classification_metrics
from cnnexp.reporting.ranking import Area, average_precision, roc_and_pr, roc_area

POSITIVE = np.array([True, False, True, True, False, False])
SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.4, 0.1])


def test_areas_by_hand() -> None:
    """Of 9 pairs, 0.9 wins 3, 0.7 wins 2, 0.4 wins 1 and ties 1: 6.5 / 9."""
    assert roc_area(POSITIVE, SCORES).value == pytest.approx(6.5 / 9)
    # Thresholds 0.9, 0.7, 0.4: recall by thirds, precision 1, 2/3, 3/5.
    assert average_precision(POSITIVE, SCORES).value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def wilson(share: float, count: float, t: float) -> list[float]:
    centre = (share + t**2 / (2 * count)) / (1 + t**2 / count)
    half = t * np.sqrt(share * (1 - share) / count + t**2 / (4 * count**2)) / (1 + t**2 / count)
    return [centre - half, centre + half]


def test_interval_of_delong_by_hand() -> None:
    """Each positive ranks above 3, 2, 1.5 of 3 negatives; each negative is below 1, 2.5, 3 of 3."""
    area = roc_area(POSITIVE, SCORES)
    above, below = np.array([3, 2, 1.5]) / 3, np.array([1, 2.5, 3]) / 3
    parts = np.array([above.var(ddof=1), below.var(ddof=1)]) / 3
    a, freedom = 6.5 / 9, parts.sum() ** 2 / (parts**2 / 2).sum()
    delong = parts.sum() / (a * (1 - a))
    newcombe = (1 + 2 * ((1 - a) / (2 - a) + a / (1 + a))) / 9
    expected = wilson(a, 1 / max(delong, newcombe), stats.t.ppf(0.975, freedom))
    assert (area.low, area.high) == pytest.approx(expected)


@pytest.mark.parametrize("area", [roc_area, average_precision])
@pytest.mark.parametrize(("m", "n", "shift"), [(40, 60, 1.0), (5, 50, 1.0), (5, 50, 2.5)])
def test_intervals_hold_what_they_promise(
    area: Callable[..., Area], m: int, n: int, shift: float
) -> None:
    """The truth is inside for about 95% of 300 draws or more; of 5 positives the logit's interval,
    which it was, held it in 85% (d' = 1) and in 80% or less (2.5).
    """
    generator = np.random.default_rng(0)
    grid = (np.arange(100_000) + 0.5) / 100_000  # the share of positives that rank lower
    false = stats.norm.sf(stats.norm.ppf(grid) + shift)
    truth = float((m * (1 - grid) / (m * (1 - grid) + n * false)).mean())
    if area is roc_area:
        truth = float(stats.norm.cdf(shift / np.sqrt(2)))
    positive = np.arange(m + n) < m
    drawn = [area(positive, generator.normal(size=m + n) + shift * positive) for _ in range(300)]
    assert sum(each.low <= truth <= each.high for each in drawn) / 300 > 0.93


def test_perfect_and_hopeless_rankings_have_an_interval() -> None:
    """Of 3 + 3 images, two degrees of freedom, and the smallest variance there is."""
    best = roc_area(POSITIVE, POSITIVE.astype(float))
    t = stats.t.ppf(0.975, 2)
    assert best == pytest.approx((1, *wilson(1, 9 / (1 + 2 / 2), t)))
    worst = roc_area(POSITIVE, -POSITIVE.astype(float))
    assert worst == pytest.approx((0, 1 - best.high, 1 - best.low))
    precise = average_precision(POSITIVE, POSITIVE.astype(float))
    assert precise == pytest.approx((1, *wilson(1, 3, t)))


def test_one_image_of_a_class_has_no_interval_and_the_figure_says_why() -> None:
    one = np.array([True, False, False])
    assert roc_area(one, np.array([0.5, 0.6, 0.4])) == (0.5, None, None)
    assert str(average_precision(one, -1.0 * one)) == "0.333 (one image: no interval)"


def test_curves_by_hand() -> None:
    picture = roc_and_pr(POSITIVE.astype(int), SCORES - 0.5, ("cat", "dog"))
    roc, pr = picture.figure.axes
    curve, chance, mark = roc.lines
    expected = [[0, 0], [0, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 2 / 3], [2 / 3, 1], [1, 1]]
    assert np.allclose(curve.get_xydata(), expected)
    assert chance.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert np.allclose(mark.get_xydata(), [[1 / 3, 2 / 3]])  # above 0: 2 of 3, and 1 of 3
    curve, chance, mark = pr.lines
    steps = [[1, 0.5], [1, 0.6], [2 / 3, 2 / 3], [1 / 3, 0.5], [1 / 3, 1], [0, 1]]
    assert np.allclose(curve.get_xydata(), steps)
    assert curve.get_drawstyle() == "steps-post"
    assert list(chance.get_ydata()) == [0.5, 0.5]
    assert np.allclose(mark.get_xydata(), [[2 / 3, 2 / 3]])
    assert picture.numbers["positive"] == "dog"
    assert picture.numbers["positives"] == 3
    texts = [text.get_text() for text in picture.figure.texts]
    assert "Positive class: dog (3 of 6 test images: 50.0%)" in texts
    assert any(text.startswith("area 0.722 (95%: ") for text in texts)


def test_the_area_is_that_of_the_metrics() -> None:
    """Of a sure network, too, whose probabilities are all 0 or 1 in float32."""
    odds = torch.tensor(SCORES * 400 + 100)
    logits, labels = torch.stack([-odds, odds], dim=1).float(), torch.tensor(POSITIVE).long()
    found = classification_metrics(logits, logits.softmax(1), labels, ("cat", "dog"))
    picture = roc_and_pr(labels.numpy(), log_odds(logits)[:, 1].numpy(), ("cat", "dog"))
    assert found["auroc"] == picture.numbers["roc_auc"]["value"] == pytest.approx(6.5 / 9)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(label: int, legible: Callable[[Figure], None]) -> None:
    picture = roc_and_pr([label] * 4, np.zeros(4), ("cat", "dog"))
    assert "No curves: all test images are of one class." in [
        text.get_text() for text in picture.figure.texts
    ]
    legible(picture.figure)


def test_three_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="not 3"):
        roc_and_pr([0], np.zeros(1), ("a", "b", "c"))


@pytest.mark.parametrize("name", ["dog", "a rather long name of a class that goes on " * 3])
@pytest.mark.parametrize("share", [0.0025, 0.02, 0.5, 0.97])
def test_legible(name: str, share: float, legible: Callable[[Figure], None]) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.permutation(400) < 400 * share).astype(int)  # 0.0025: a single one
    figure = roc_and_pr(labels, generator.normal(size=400) + labels, ("cat", name)).figure
    legible(figure)


def test_interval_of_average_precision_by_hand() -> None:
    """0.7 and 0.4 gain by 0.9, as do 0.4 and itself by 0.7: k, f are 1, 0; 2, 1; 3, 2."""
    area = average_precision(POSITIVE, SCORES)
    gain = np.array([1 + 1 / 9 + 2 / 25, 2 / 3 + 1 / 9 + 2 / 25, 3 / 5 + 2 / 25])
    loss = np.array([2 / 9 + 3 / 25, 3 / 25, 0])  # of 0.8, 0.4, 0.1
    parts = np.array([gain.var(ddof=1), loss.var(ddof=1)]) / 3
    a, freedom = (1 + 2 / 3 + 3 / 5) / 3, parts.sum() ** 2 / (parts**2 / 2).sum()
    count = 1 / max(parts.sum() / (a * (1 - a)), 1 / 3)
    expected = wilson(a, count, stats.t.ppf(0.975, freedom))
    assert (area.low, area.high) == pytest.approx(expected)


@pytest.mark.parametrize("area", [roc_area, average_precision])
def test_areas_over_patients(area: Callable[..., Area]) -> None:
    """15 patients of the one class and 30 of the other, each alike within: of 200 experiments the
    interval holds the true area in nine of ten, where images count in eight of ten at most.
    """
    generator, held, naive = np.random.default_rng(0), 0, 0
    many = np.arange(60_000) < 20_000
    truth = area(many, generator.standard_normal(60_000) + 1.5 * many).value
    for _ in range(200):
        sizes = generator.integers(3, 8, 45)
        clusters = np.repeat(np.arange(45), sizes)
        own = generator.standard_normal(45)[clusters] * np.sqrt(0.6)
        scores = own + generator.standard_normal(len(clusters)) * np.sqrt(0.4)
        positive = clusters < 15
        order = generator.permutation(len(clusters))
        given = positive[order], (scores + 1.5 * positive)[order]
        found, alone = area(*given, clusters[order]), area(*given)
        assert found.value == alone.value
        held += found.low <= truth <= found.high
        naive += alone.low <= truth <= alone.high
    assert held >= 180
    assert naive <= 165


def test_a_half_is_the_first_class_as_argmax_has_it() -> None:
    picture = roc_and_pr([1, 1, 0, 0], np.array([0.0, 2.0, 0.0, -2.0]), ("cat", "dog"))
    assert picture.numbers["at_0.5"] == {
        "recall": 0.5,
        "false_positive_rate": 0.0,
        "precision": 1.0,
    }
