"""Losses against values by hand."""

import math

import pytest
import torch

from cnnexp.logits import to_probabilities
from cnnexp.training.loss import Loss, balanced_weights


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert Loss()(logits, torch.tensor([1, 0])).item() == pytest.approx(expected)


def test_one_logit_is_two_with_the_first_at_zero() -> None:
    logits = torch.randn(8, 1)
    labels = torch.tensor([0, 1] * 4)
    both = torch.cat([torch.zeros(8, 1), logits], 1)
    torch.testing.assert_close(Loss("bce")(logits, labels), Loss()(both, labels))
    torch.testing.assert_close(to_probabilities(logits), both.softmax(1))


# Not both: torch weighs the smoothed part by class, one logit weighs the image.
@pytest.mark.parametrize(("smoothing", "weights"), [(0.0, None), (0.2, None), (0.0, [0.5, 3.0])])
def test_bce_agrees_with_cross_entropy(smoothing: float, weights: list[float] | None) -> None:
    logits, labels = torch.randn(6, 1), torch.tensor([0, 1, 1, 0, 1, 1])
    both = torch.cat([torch.zeros(6, 1), logits], 1)
    weight = None if weights is None else torch.tensor(weights)
    torch.testing.assert_close(
        Loss("bce", smoothing, weight)(logits, labels),
        Loss("cross_entropy", smoothing, weight)(both, labels),
    )


def test_mixed_labels() -> None:
    logits = torch.tensor([[0.0]])
    mixed = torch.tensor([[0.3, 0.7]])
    assert Loss("bce")(logits, mixed).item() == pytest.approx(math.log(2))
    logits = torch.tensor([[math.log(4)]])  # p = 0.8
    expected = -(0.7 * math.log(0.8) + 0.3 * math.log(0.2))
    assert Loss("bce")(logits, mixed).item() == pytest.approx(expected)


def test_balanced_weights() -> None:
    # 6 images, 3 classes: 6/(3*3), 6/(3*1), 6/(3*2).
    weights = balanced_weights(torch.tensor([0, 0, 0, 1, 2, 2]), 3)
    assert weights.tolist() == pytest.approx([2 / 3, 2.0, 1.0])
