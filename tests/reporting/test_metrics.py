"""Figures of merit against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from cnnexp.reporting.metrics import classification_metrics

CLASSES = ["cat", "dog", "owl", "emu"]


def answers(labels: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, probabilities and labels; some of each class right."""
    truth = torch.tensor(labels)
    logits = torch.randn(len(truth), 4, generator=torch.Generator().manual_seed(0))
    logits += torch.nn.functional.one_hot(truth, 4)
    return logits, logits.softmax(1), truth


def test_as_scikit_learn_has_them() -> None:
    logits, shares, labels = answers([0, 1, 2, 3, 3] * 20)
    found = classification_metrics(logits, shares, labels, CLASSES)
    exact = shares.double() / shares.double().sum(1, True)
    area = roc_auc_score(labels, exact, multi_class="ovr")
    assert found["auroc"] == pytest.approx(area, abs=1e-6)
    assert 0.6 < found["auroc"] < 0.9
    said = shares.argmax(1)
    assert found["f1"] == pytest.approx(f1_score(labels, said, average="macro"), abs=1e-6)
    assert found["accuracy"] == pytest.approx(float((said == labels).float().mean()))
    assert found["loss"] == pytest.approx(log_loss(labels, exact), abs=1e-5)


def test_a_class_without_images_counts_nowhere() -> None:
    logits, shares, labels = answers([0, 1, 2] * 20)
    found = classification_metrics(logits, shares, labels, CLASSES)
    areas = [roc_auc_score(labels == label, shares[:, label]) for label in range(3)]
    assert found["auroc"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert "f1/emu" not in found


def test_one_class_alone_has_no_curve() -> None:
    logits, shares, labels = answers([2] * 20)
    assert "auroc" not in classification_metrics(logits, shares, labels, CLASSES)


@pytest.mark.parametrize("sure", [1, 20, 200])
def test_a_sure_network_is_ranked_by_its_logits(sure: float) -> None:
    """In float32 most of its probabilities are 0 or 1."""
    logits, _, labels = answers([0, 1, 2, 3] * 100)
    logits = logits * sure
    found = classification_metrics(logits, logits.softmax(1), labels, CLASSES)
    exact = log_odds_by_hand(logits)
    areas = [roc_auc_score(labels == k, exact[:, k]) for k in range(4)]
    assert found["auroc"] == pytest.approx(np.mean(areas), abs=1e-9)


def log_odds_by_hand(logits: torch.Tensor) -> np.ndarray:
    wide = logits.double()
    rest = [wide[:, [j for j in range(4) if j != k]].logsumexp(1) for k in range(4)]
    return (wide - torch.stack(rest, dim=1)).numpy()


def test_one_logit_is_ranked_as_it_is() -> None:
    one = torch.linspace(-300, 300, 60)[torch.randperm(60, generator=torch.Generator())][:, None]
    labels = (torch.rand(60, generator=torch.Generator()) < one[:, 0].sigmoid() * 0.6 + 0.2).long()
    shares = torch.cat([1 - one.sigmoid(), one.sigmoid()], dim=1)
    found = classification_metrics(one, shares, labels, ["no", "yes"])
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, one[:, 0]), abs=1e-12)
