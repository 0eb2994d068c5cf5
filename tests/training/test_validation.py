"""What an epoch reached on the validation images, beside scikit-learn."""

import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from cnnexp.training.loss import Loss
from cnnexp.training.validation import figures_of, sums_of


@pytest.mark.parametrize("classes", [2, 7])
def test_figures_are_those_of_others(classes: int) -> None:
    """The last of seven classes has no images, another is never said."""
    torch.manual_seed(0)
    logits = torch.randn(200, classes)
    labels = torch.randint(0, max(classes - 1, 2), (200,))
    logits[:, 1] -= 100 * (classes == 7)
    found = figures_of(sums_of(Loss("cross_entropy"), logits, labels, classes))
    said = logits.argmax(1)
    there = labels.unique().tolist()
    f1 = f1_score(labels, said, labels=there, average="macro", zero_division=0)
    assert found["val/f1"].item() == pytest.approx(f1, abs=1e-6)
    assert found["val/accuracy"].item() == pytest.approx((said == labels).float().mean().item())
    assert found["val/loss"].item() == pytest.approx(F.cross_entropy(logits, labels).item())


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_a_process_without_an_image_changes_nothing(name: str) -> None:
    logits, labels = torch.zeros(0, 2 if name == "cross_entropy" else 1), torch.zeros(0).long()
    assert sums_of(Loss(name), logits, labels, 2).tolist() == [0.0] * 7


def test_one_logit() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 1), torch.randint(0, 2, (50,))
    found = figures_of(sums_of(Loss("bce"), logits, labels, 2))
    f1 = f1_score(labels, logits[:, 0] > 0, average="macro")
    assert found["val/f1"].item() == pytest.approx(f1, abs=1e-6)


def test_parts_add_up() -> None:
    torch.manual_seed(0)
    loss, logits, labels = Loss("cross_entropy"), torch.randn(90, 5), torch.randint(0, 5, (90,))
    whole = figures_of(sums_of(loss, logits, labels, 5))
    parts = [sums_of(loss, logits[i], labels[i], 5) for i in (slice(0, 20), slice(20, 90))]
    for name, value in figures_of(parts[0] + parts[1]).items():
        assert value.item() == pytest.approx(whole[name].item(), abs=1e-6)
