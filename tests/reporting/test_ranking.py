from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from cnnexp.reporting.ranking import average_precision, roc_and_pr, roc_area

POSITIVE = np.array([True, False, True, True, False, False])
SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.4, 0.1])


def test_areas_by_hand() -> None:
    """Of 9 pairs, 0.9 wins 3, 0.7 wins 2, 0.4 wins 1 and ties 1: 6.5 / 9."""
    assert roc_area(POSITIVE, SCORES).value == pytest.approx(6.5 / 9)
    # Thresholds 0.9, 0.7, 0.4: recall by thirds, precision 1, 2/3, 3/5.
    assert average_precision(POSITIVE, SCORES).value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_variance_of_delong_by_hand() -> None:
    """Each positive ranks above 3, 2, 1.5 of 3 negatives; each negative is below 1, 2.5, 3 of 3."""
    area = roc_area(POSITIVE, SCORES)
    above, below = np.array([3, 2, 1.5]) / 3, np.array([1, 2.5, 3]) / 3
    error = np.sqrt(above.var(ddof=1) / 3 + below.var(ddof=1) / 3)
    a = 6.5 / 9
    logit, spread = np.log(a / (1 - a)), 1.96 * error / (a * (1 - a))
    expected = [1 / (1 + np.exp(-x)) for x in (logit - spread, logit + spread)]
    assert (area.low, area.high) == pytest.approx(expected)


def test_intervals_hold_what_they_promise() -> None:
    """The truth (d' = 1: 0.7602) is inside for about 95% of 300 draws of 40 + 60 images."""
    generator = np.random.default_rng(0)
    positive = np.arange(100) < 40
    inside = 0
    for _ in range(300):
        area = roc_area(positive, generator.normal(size=100) + positive)
        inside += area.low < 0.7602 < area.high
    assert 0.91 < inside / 300 < 0.98


def test_perfect_and_hopeless_rankings_have_no_interval() -> None:
    assert roc_area(POSITIVE, POSITIVE.astype(float)) == (1, None, None)
    assert roc_area(POSITIVE, -POSITIVE.astype(float)) == (0, None, None)
    assert str(average_precision(POSITIVE, POSITIVE.astype(float))) == "1.000"
    one = np.array([True, False, False])
    assert roc_area(one, np.array([0.5, 0.6, 0.4])) == (0.5, None, None)


def test_curves_by_hand() -> None:
    probabilities = np.stack([1 - SCORES, SCORES], axis=1)
    picture = roc_and_pr(POSITIVE.astype(int), probabilities, ("cat", "dog"))
    roc, pr = picture.figure.axes
    curve, chance, mark = roc.lines
    expected = [[0, 0], [0, 1 / 3], [1 / 3, 1 / 3], [1 / 3, 2 / 3], [2 / 3, 1], [1, 1]]
    assert np.allclose(curve.get_xydata(), expected)
    assert chance.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert np.allclose(mark.get_xydata(), [[1 / 3, 2 / 3]])  # above 0.5: 2 of 3, and 1 of 3
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


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(label: int, legible: Callable[[Figure], None]) -> None:
    picture = roc_and_pr([label] * 4, np.full((4, 2), 0.5), ("cat", "dog"))
    assert "No curves: all test images are of one class." in [
        text.get_text() for text in picture.figure.texts
    ]
    legible(picture.figure)


def test_three_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="not 3"):
        roc_and_pr([0], np.ones((1, 3)) / 3, ("a", "b", "c"))


@pytest.mark.parametrize("name", ["dog", "a rather long name of a class that goes on " * 3])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_legible(name: str, share: float, legible: Callable[[Figure], None]) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random(400) < share).astype(int)
    scores = 1 / (1 + np.exp(-generator.normal(size=400) - labels))
    figure = roc_and_pr(labels, np.stack([1 - scores, scores], 1), ("cat", name)).figure
    legible(figure)


def test_interval_of_boyd_by_hand() -> None:
    """Three positives: the logit's standard error is 1 / sqrt(3 a (1 - a))."""
    area = average_precision(POSITIVE, SCORES)
    a = (1 + 2 / 3 + 3 / 5) / 3
    logit, error = np.log(a / (1 - a)), 1.96 / np.sqrt(3 * a * (1 - a))
    expected = [1 / (1 + np.exp(-x)) for x in (logit - error, logit + error)]
    assert (area.low, area.high) == pytest.approx(expected)


def test_a_half_is_the_first_class_as_argmax_has_it() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    picture = roc_and_pr([1, 1, 0, 0], np.stack([1 - scores, scores], axis=1), ("cat", "dog"))
    assert picture.numbers["at_0.5"] == {
        "recall": 0.5,
        "false_positive_rate": 0.0,
        "precision": 1.0,
    }
