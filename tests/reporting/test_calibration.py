from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import binomtest

from cnnexp.logits import to_probabilities
from cnnexp.reporting.calibration import reliability_bins, reliability_diagram
from cnnexp.reporting.metrics import classification_metrics

# Confidence 0.9, 0.9, 0.92, 0.6, 1.0: right, right, wrong, wrong, right.
PROBABILITIES = np.array([[0.9, 0.1], [0.1, 0.9], [0.92, 0.08], [0.4, 0.6], [0.0, 1.0]])
LABELS = np.array([0, 1, 1, 0, 1])


def test_bins_by_hand() -> None:
    """Fifteenths: 9/15 = 0.6 <= 0.6, 13/15 = 0.867 <= 0.9 and 0.92, 14/15 <= 1."""
    first, second, third = reliability_bins(LABELS, PROBABILITIES)
    assert (first.start, first.images, first.accuracy) == (pytest.approx(9 / 15), 1, 0)
    assert (second.start, second.images) == (pytest.approx(13 / 15), 3)
    assert second.confidence == pytest.approx(2.72 / 3)
    assert second.accuracy == pytest.approx(2 / 3)
    assert (third.start, third.images, third.accuracy) == (pytest.approx(14 / 15), 1, 1)
    interval = binomtest(2, 3).proportion_ci(method="wilson")
    assert (second.low, second.high) == pytest.approx((interval.low, interval.high))


def test_numbers_by_hand() -> None:
    picture = reliability_diagram(LABELS, PROBABILITIES, ("cat", "dog"))
    # 1/5 * |0 - 0.6| + 3/5 * |2/3 - 2.72/3| + 1/5 * |1 - 1|
    assert picture.numbers["calibration_error"] == pytest.approx(0.12 + 0.6 * 0.24, abs=1e-6)
    assert picture.numbers["accuracy"] == 0.6
    assert picture.numbers["confidence"] == pytest.approx(4.32 / 5)
    assert picture.numbers["bins"] == 15
    texts = [text.get_text() for text in picture.figure.texts]
    assert {"60.0%", "86.4%", "0.264", "5", "On average over-confident by 26.4 points"} <= set(
        texts
    )
    above, below = picture.figure.axes
    points = [line for line in above.lines if line.get_marker() == "o"]
    assert np.allclose(points[0].get_xydata(), [[0.6, 0], [2.72 / 3, 2 / 3], [1, 1]])
    assert [bar.get_height() for bar in below.patches] == pytest.approx([0.2, 0.6, 0.2])


def test_error_is_the_one_in_the_metrics() -> None:
    logits = 4 * torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    shares, labels = logits.softmax(1), torch.arange(300) % 5
    metrics = classification_metrics(logits, shares, labels, "abcde")
    picture = reliability_diagram(labels.numpy(), shares.numpy(), "abcde")
    assert picture.numbers["calibration_error"] == metrics["calibration_error"]
    points = picture.numbers["points"]
    by_bins = sum(p["images"] / 300 * abs(p["accuracy"] - p["confidence"]) for p in points)
    assert by_bins == pytest.approx(metrics["calibration_error"], abs=1e-5)


def test_classes_without_images_are_no_part_of_a_mean() -> None:
    shares = torch.eye(3)[[0, 1, 2, 1]]
    metrics = classification_metrics(shares.log(), shares, torch.tensor([0, 1, 0, 1]), "abc")
    assert metrics["recall"] == (0.5 + 1) / 2
    assert "recall/c" not in metrics


@pytest.mark.parametrize("k", [2, 100])
@pytest.mark.parametrize("count", [1, 2, 10_000])
@pytest.mark.parametrize("sharpness", [0.0, 3.0, 1000.0])
def test_legible(k: int, count: int, sharpness: float, legible: Callable[[Figure], None]) -> None:
    generator = torch.Generator().manual_seed(k)
    shares = (sharpness * torch.randn(count, k, generator=generator)).softmax(1).numpy()
    picture = reliability_diagram(np.arange(count) % k, shares, ["a long name " * 9] * k)
    assert sum(point["images"] for point in picture.numbers["points"]) == count
    legible(picture.figure)


def test_an_edge_belongs_to_the_bin_above() -> None:
    edge = torch.linspace(0, 1, 16)[12].numpy()
    (found,) = reliability_bins(np.array([0]), np.array([[edge, 1 - edge]], dtype=np.float32))
    assert found.start == float(edge)


def test_of_one_logit_the_loss_is_that_of_its_probabilities() -> None:
    logits, labels = torch.tensor([[3.0], [-1.0], [0.5]]), torch.tensor([1, 0, 0])
    shares = to_probabilities(logits)
    found = classification_metrics(logits, shares, labels, ["a", "b"])
    wanted = -shares[[0, 1, 2], labels].log().mean().item()
    assert found["loss"] == pytest.approx(wanted)
